# SPDX-License-Identifier: Apache-2.0
"""A tiny but real bundle and frames to match: dents and stains on a flat plate score high, the clean plate scores low.

The graph is a fixed filter, not a trained network. With z in metres (depth rule "metric") and colour in [0, 1] it
computes
    residual_color = mean over channels of |c - mean31(c)|,  residual_depth = |z - mean31(z)| where z is valid,
    x = bias + color_gain * mean3(residual_color) + depth_gain * mean3(residual_depth),  logits = (-x/2, x/2),
so the anomaly map is sigmoid(x). A template replaces the local mean by the picture of a good part, for parts with
relief.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from rasant.bundle import Manifest, write_bundle
from rasant.bundle.graph_check import describe_graph
from rasant.bundle.manifest import Camera, Decision, Postprocess, Preprocess, Validity
from rasant.bundle.writer import list_files
from rasant.types import Frame, Intrinsics

WINDOW = 31
CREATED = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class _Nodes:
    """Collects nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"v{len(self.nodes)}"
        label = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=label, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def mean(self, value: str, side: int) -> str:
        return self.add(
            "AveragePool", value, kernel_shape=[side, side], pads=[side // 2] * 4, strides=[1, 1], count_include_pad=0
        )


def _color_residual(g: _Nodes, template: npt.NDArray[np.float32] | None) -> str:
    expected = g.mean("color", WINDOW) if template is None else g.constant(template.reshape(1, 3, *template.shape[-2:]))
    difference = g.add("Abs", g.add("Sub", "color", expected))
    return g.add("Conv", difference, g.constant(np.full((1, 3, 1, 1), 1 / 3)))


def _depth_residual(g: _Nodes, template: npt.NDArray[np.float32] | None) -> str:
    valid = g.add("Cast", g.add("Greater", "depth", g.constant(1e-6)), to=TensorProto.FLOAT)
    if template is None:
        share = g.add("Max", g.mean(valid, WINDOW), g.constant(1e-6))
        expected = g.add("Div", g.mean(g.add("Mul", "depth", valid), WINDOW), share)
    else:
        expected = g.constant(template.reshape(1, 1, *template.shape[-2:]))
    return g.add("Mul", g.add("Abs", g.add("Sub", "depth", expected)), valid)


def tiny_model(
    size: tuple[int, int] = (64, 64),
    modalities: str = "rgbd",
    *,
    bias: float = -4.0,
    color_gain: float = 40.0,
    depth_gain: float = 3000.0,
    residual: bool = True,
    nonfinite: float | None = None,
    nonfinite_at: tuple[int, int] | None = None,
    color_template: npt.NDArray[np.float32] | None = None,
    depth_template: npt.NDArray[np.float32] | None = None,
    dynamic: bool = False,
    opset: int = 17,
) -> bytes:
    """ONNX bytes of the filter.

    nonfinite: NaN or infinity, put into the logits at map pixel `nonfinite_at` (y, x), or everywhere. The weights stay
    finite, as the loader demands: log(-1) makes the NaN, exp(1000) the infinity. dynamic: symbolic height, which the
    loader refuses.
    """
    g = _Nodes()
    parts, gains = [], []
    if modalities != "depth":
        parts.append(_color_residual(g, color_template))
        gains.append(color_gain)
    if modalities != "rgb":
        parts.append(_depth_residual(g, depth_template))
        gains.append(depth_gain)
    x = g.constant(bias)
    for part, gain in zip(parts, gains, strict=True):
        x = g.add("Add", x, g.add("Mul", g.mean(part, 3), g.constant(gain)))
    if nonfinite is not None:
        bad = g.add("Log", g.constant([-1.0])) if np.isnan(nonfinite) else g.add("Exp", g.constant([1000.0]))
        where = np.full((1, 1, *size), nonfinite_at is None)
        if nonfinite_at is not None:
            where[0, 0, nonfinite_at[0], nonfinite_at[1]] = True
        x = g.add("Where", g.constant(where, np.bool_), bad, x)
    half = g.add("Mul", x, g.constant(0.5))
    g.add("Concat", g.add("Neg", half), half, output="logits", axis=1)
    rows: int | str = "rows" if dynamic else size[0]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, rows, size[1]])]
    if residual:
        g.add("Concat", *parts, output="residual", axis=1)
        outputs.append(helper.make_tensor_value_info("residual", TensorProto.FLOAT, [1, len(parts), rows, size[1]]))
    channels = {"rgbd": {"color": 3, "depth": 1}, "rgb": {"color": 3}, "depth": {"depth": 1}}[modalities]
    inputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, [1, n, rows, size[1]]) for k, n in channels.items()]
    graph = helper.make_graph(g.nodes, "tiny", inputs, outputs, g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def tiny_manifest(
    model: bytes,
    *,
    size: tuple[int, int] = (64, 64),
    modalities: str = "rgbd",
    threshold: float | None = 0.5,
    kernel: int = 5,
    preprocess: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Manifest:
    """A manifest for `model`.

    `preprocess` overrides single parameters; `fields` override whole fields of the manifest.
    """
    params = {
        "size": size, "modalities": modalities, "background": "none", "depth_rule": "metric", "fill_passes": 0,
        **(preprocess or {}),
    }  # fmt: skip
    values: dict[str, Any] = {
        "method": "tiny", "preset": "filter", "category": "plate", "created": CREATED, "licence": "Apache-2.0",
        "graphs": {"detector": describe_graph(model, "detector.onnx")},
        "files": list_files({"detector.onnx": model}),
        "preprocess": Preprocess(**params),
        "postprocess": Postprocess(kernel=kernel),
        "decision": Decision(threshold=threshold, rule="fixed", n_good=100 if threshold is not None else 0),
        "validity": Validity(min_valid_depth=0.5, depth_range_m=(0.2, 2.0), max_age_ms=None),
        **fields,
    }  # fmt: skip
    return Manifest(**values)


def write_tiny_bundle(path: Path, *, files: Mapping[str, bytes] | None = None, **options: Any) -> Path:
    """Write a tiny bundle to `path`. Options are those of `tiny_model` and `tiny_manifest`; `files` are added."""
    shared = {name: options[name] for name in ("size", "modalities") if name in options}
    names = set(tiny_model.__kwdefaults__)
    model = tiny_model(**shared, **{key: value for key, value in options.items() if key in names})
    fields = {key: value for key, value in options.items() if key not in names and key not in shared}
    content = {"detector.onnx": model, **(files or {})}
    manifest = tiny_manifest(model, **shared, **{"files": list_files(content), **fields})
    return write_bundle(path, manifest, content)


def plate_camera(size: tuple[int, int] = (96, 128)) -> Camera:
    """The camera section that binds a bundle to `plate_frame`'s camera."""
    return Camera(width=size[1], height=size[0])


def plate_frame(
    defect: str | None = None,
    *,
    size: tuple[int, int] = (96, 128),
    index: int = 0,
    seed: int = 0,
    metres: bool = False,
    arrival_ns: int = 0,
    center: tuple[int, int] | None = None,
    radius: int = 9,
) -> Frame:
    """A frame of a flat grey plate 0.5 m away with sensor noise and a few depth holes.

    defect: None, "dent" (3 mm deep disc), "bump" (3 mm high) or "stain" (dark disc), at `center` (y, x) with `radius`
    px. metres: float32 depth instead of uint16 counts of 0.1 mm.
    """
    rows, cols = size
    random = np.random.default_rng([seed, index])
    z = 0.5 + random.normal(0.0, 1e-4, size)
    color = np.full((rows, cols, 3), (140, 150, 160), np.float64) + random.normal(0.0, 2.0, (rows, cols, 1))
    y, x = np.mgrid[:rows, :cols]
    cy, cx = center if center is not None else (rows // 2, cols // 2)
    disc = (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
    if defect in ("dent", "bump"):
        z[disc] += 0.003 if defect == "dent" else -0.003
    elif defect == "stain":
        color[disc] -= 70.0
    elif defect is not None:
        raise ValueError(f"defect must be None, 'dent', 'bump' or 'stain', got {defect!r}")
    holes = random.random(size) < 0.01
    z[holes] = 0.0
    depth = z.astype(np.float32) if metres else np.round(z / 1e-4).astype(np.uint16)
    camera = Intrinsics(cols, rows, 1.2 * cols, 1.2 * cols, (cols - 1) / 2, (rows - 1) / 2)
    return Frame(
        color=np.clip(color, 0, 255).astype(np.uint8), depth=depth, depth_scale=1.0 if metres else 1e-4,
        intrinsics=camera, index=index, source="plate", arrival_ns=arrival_ns, name=f"{index:03d}",
    )  # fmt: skip
