# SPDX-License-Identifier: Apache-2.0
"""Labelled plates: frames with truth, a stand-in inspector that answers from the truth, and a data set on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rasant.types import Frame, Inspection, Reason, Region, Sample, Timings, Verdict
from tiny_bundle import plate_frame

THRESHOLD = 0.5
PARTS = ("good", "good", "good", "good", "dent", "dent", "stain", "stain")


def labelled_frame(label: str, index: int, *, category: str = "plate", split: str = "test", radius: int = 9) -> Frame:
    """A plate with a defect in the middle, and its exact mask."""
    frame = plate_frame(None if label == "good" else label, index=index, radius=radius)
    rows, cols = frame.size
    y, x = np.mgrid[:rows, :cols]
    disc = (y - rows // 2) ** 2 + (x - cols // 2) ** 2 <= radius**2
    truth = disc if label != "good" else np.zeros_like(disc)
    return replace(frame, sample=Sample(category, split, label, f"{index:03d}", truth))


def labelled_frames(labels: Sequence[str] = PARTS, *, category: str = "plate", radius: int = 9) -> list[Frame]:
    """One frame a label."""
    return [labelled_frame(label, i, category=category, radius=radius) for i, label in enumerate(labels)]


def oracle(frame: Frame, *, height: float | None = None, threshold: float = THRESHOLD) -> Inspection:
    """An inspection whose map is the truth on a faint gradient, at 48x64; the gradient makes all scores distinct.

    height: of the map inside the defect; by default 0.9 for a defective part.
    """
    assert frame.sample is not None
    random = np.random.default_rng(frame.index)
    raw = random.uniform(0.05, 0.2, (48, 64)).astype(np.float32)
    if frame.sample.defective:
        truth = np.ones(frame.size, np.bool_) if frame.sample.truth is None else frame.sample.truth
        raw[truth[1::2, 1::2]] = 0.9 + 0.001 * frame.index if height is None else height
    step = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]])
    score = float(raw.max())
    reject = score >= threshold
    regions = (Region(56, 40, 18, 16, 200, score, (0.0, 0.01, 0.5), "depth"),) if reject else ()
    verdict = Verdict.REJECT if reject else Verdict.PASS
    return Inspection(
        frame.index, frame.source, verdict, Reason.DEFECT if reject else Reason.OK, "", score, threshold, regions, raw,
        raw, step, Timings(), "0" * 64, "oracle 1.0", name=frame.name,
    )  # fmt: skip


def refused(frame: Frame) -> Inspection:
    """The UNKNOWN of a frame that never reached the network."""
    return replace(
        oracle(frame), verdict=Verdict.UNKNOWN, reason=Reason.DEPTH_SPARSE, detail="too few valid pixels",
        score=float("nan"), anomaly_map=None, pooled_map=None, regions=(),
    )  # fmt: skip


def write_dataset(root: Path, category: str, splits: dict[str, Sequence[str]], *, levels: bool = True) -> Path:
    """Write plates in the layout of `dataset:`; returns the category's folder."""
    folder = root / category
    first = plate_frame()
    k = first.intrinsics
    records = []
    for number, (split, labels) in enumerate(splits.items()):
        for index, label in enumerate(labels):
            frame = labelled_frame(label, 100 * number + index, category=category, split=split)
            place, name = folder / split / label, f"{index:03d}"
            assert frame.color is not None and frame.depth is not None and frame.sample is not None
            _write(place / "color" / f"{name}.png", frame.color[..., ::-1])
            _write(place / "depth" / f"{name}.png", frame.depth)
            if label != "good":
                truth = frame.sample.truth
                assert truth is not None
                _write(place / "gt" / f"{name}.png", truth.astype(np.uint8) * 255)
                records.append({"id": f"{split}/{label}/{name}", "level": "easy" if index % 2 else "hard"})
    camera = {
        "width": k.width, "height": k.height, "fx": k.fx, "fy": k.fy, "cx": k.cx, "cy": k.cy,
        "distortion_model": "none", "distortion": [], "depth_scale": first.depth_scale,
    }  # fmt: skip
    (folder / "camera.json").write_text(json.dumps(camera))
    if levels:
        (folder / "meta.json").write_text(json.dumps(records))
    return folder


def _write(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
