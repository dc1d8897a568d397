# SPDX-License-Identifier: Apache-2.0
"""What an inspection costs beyond its operations and the network: checks, freshness, verdict, result object.

The engine of this measurement does nothing; the peer calls the same operations on the same buffers and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np

from rasant.bench.case import SIZES, Case, Peer, measure
from rasant.bench.peers_post import KERNEL, NETWORK, colour_image
from rasant.bench.scene import camera_of, domed_part
from rasant.engines import Engine, EngineInfo
from rasant.inspector import Inspector
from rasant.ops.background import fit_plane_ransac, height_above
from rasant.ops.depth import to_metres
from rasant.ops.fill import fill_holes
from rasant.ops.normalize import normalize_depth
from rasant.ops.pack import pack
from rasant.ops.score import score_map
from rasant.preprocess import PreprocessParams
from rasant.settings import Settings
from rasant.types import Frame
from rasant.verdict import Limits

TARGET_MS = 0.3


class Overhead(NamedTuple):
    """Milliseconds of a whole inspection, and of its operations alone."""

    size: str
    inspection_ms: float
    operations_ms: float

    @property
    def ms(self) -> float:
        """What is neither operation nor network."""
        return self.inspection_ms - self.operations_ms


class NoNetwork:
    """An engine whose network takes no time: every pixel is good."""

    def __init__(self) -> None:
        self.info = EngineInfo("none", "0", "none", "fp32", "cpu")
        self.inputs = {name: np.zeros((1, n, *NETWORK), np.float32) for name, n in (("color", 3), ("depth", 1))}
        self.outputs = {"logits": np.zeros((1, 2, *NETWORK), np.float32)}
        self.outputs["logits"][0, 0] = 4.0

    def infer(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def operations(frame: Frame, engine: NoNetwork, params: PreprocessParams) -> Callable[[], None]:
    """The operations that the inspector calls for a frame, on buffers of their own."""
    size, camera, counts, color = frame.size, frame.intrinsics, cast(Any, frame.depth), frame.color
    metres, filled, height, normal = (np.empty(size, np.float32) for _ in range(4))
    mask, (raw, pooled) = np.empty(size, np.bool_), np.empty((2, *NETWORK), np.float32)

    def run() -> None:
        to_metres(counts, frame.depth_scale, out=metres)
        fill_holes(metres, passes=params.fill_passes, out=filled)
        plane = fit_plane_ransac(metres, camera, border_px=params.border_px, inlier_m=params.inlier_m)
        height_above(filled, plane, camera, threshold_m=params.foreground_m, out_height=height, out_foreground=mask)
        normalize_depth(height, mask, rule=params.depth_rule, low=params.depth_low, high=params.depth_high, out=normal)
        pack(color, normal, size=NETWORK, out_color=engine.inputs["color"], out_depth=engine.inputs["depth"])
        score_map(engine.outputs["logits"][0], kernel=KERNEL, out_raw=raw, out_pooled=pooled)

    return run


def overheads(seconds: float = 3.0) -> list[Overhead]:
    """One entry for each size of the benchmark; uint16 depth, one thread."""
    found = []
    params = PreprocessParams(size=NETWORK)
    limits = Limits(max_age_ms=None, max_identical=1 << 30)
    for size in SIZES:
        engine = NoNetwork()
        inspector = Inspector(cast(Engine, engine), Settings(params, 0.5, kernel=KERNEL, limits=limits))
        counts = (domed_part(size) * 10000).astype(np.uint16)
        frame = Frame(colour_image(size), counts, 1e-4, camera_of(size), 0, "bench", time.monotonic_ns())
        assert inspector(frame).verdict.name == "PASS"
        case = Case(lambda i=inspector, f=frame: i(f), (Peer("alone", operations(frame, engine, params)),), 1)
        (row,) = measure("inspector", f"{size[1]}x{size[0]}", case, seconds=seconds)
        found.append(Overhead(row.size, row.ms, row.peer_ms))
    return found


def overhead_table(found: list[Overhead]) -> list[str]:
    """Markdown, milliseconds."""
    lines = ["| frame | inspection, network apart | its operations alone | overhead |", "|---|---|---|---|"]
    lines += [f"| {o.size} | {o.inspection_ms:.2f} | {o.operations_ms:.2f} | {o.ms:.2f} |" for o in found]
    return lines


if __name__ == "__main__":
    print("\n".join(overhead_table(overheads())))
