# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from rasant.bundle.graph_check import describe_graph
from rasant.engines.onnxruntime import OnnxRuntimeEngine
from rasant.errors import ConfigError, ModelError
from rasant_training.export.bundle import validity_limits
from rasant_training.export.onnx import OnnxExport, to_onnx
from rasant_training.export.verify import compare, make_golden, random_inputs
from training.tiny_method import PRESETS, Tiny, TinyExport

SHAPES = {"color": (1, 3, 32, 32), "depth": (1, 1, 32, 32)}


class Typical(nn.Module):
    """What detectors are made of: space to depth, BatchNorm, pooling, bilinear upsampling, a mean over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(16, 6, 3, padding=1), nn.BatchNorm2d(6), nn.LeakyReLU(0.2), nn.MaxPool2d(2))
        self.last = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, color: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.down(functional.pixel_unshuffle(torch.cat([color, depth], dim=1), 2))
        x = functional.interpolate(self.last(x), scale_factor=4, mode="bilinear", align_corners=False)
        return x, torch.cat([(i - i.mean()).abs().mean(dim=1, keepdim=True) for i in (color, depth)], dim=1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network with BatchNorm statistics that are not those of a fresh one."""
    torch.manual_seed(3)
    network = Typical()
    network(torch.rand(4, 3, 32, 32), torch.rand(4, 1, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: nn.Module) -> Callable[[str], OnnxExport]:
    """One export a profile for all tests: each takes seconds."""
    made: dict[str, OnnxExport] = {}

    def of(profile: str) -> OnnxExport:
        if profile not in made:
            made[profile] = to_onnx(network, {n: torch.zeros(s) for n, s in SHAPES.items()}, profile=profile)
        return made[profile]

    return of


@pytest.mark.parametrize(("profile", "opset", "ir_version"), [("modern", 18, 10), ("jetson", 17, 8)])
def test_an_export_is_one_static_allowed_graph_that_agrees_with_torch(
    network: nn.Module, exported: Callable[[str], OnnxExport], profile: str, opset: int, ir_version: int
) -> None:
    """The loader accepts it, opset and IR are the profile's, and ONNX Runtime differs from torch by rounding only."""
    export = exported(profile)
    model = onnx.load_model_from_string(export.model)
    assert (export.opset, export.ir_version) == (opset, ir_version) == (model.opset_import[0].version, model.ir_version)
    spec = describe_graph(export.model, "detector.onnx")
    assert {tensor.name: tensor.shape for tensor in spec.inputs} == SHAPES
    assert [tensor.shape for tensor in spec.outputs] == [(1, 2, 32, 32), (1, 2, 32, 32)]
    golden = make_golden(network, random_inputs(SHAPES, 3, seed=1))
    with OnnxRuntimeEngine(export.model, threads=1) as engine:
        record = compare(engine, golden)
    assert record.frames == 3
    assert 0 <= record.mean_abs <= record.max_abs < 1e-5


def test_an_export_says_nothing_about_the_machine_that_made_it(exported: Callable[[str], OnnxExport]) -> None:
    """No source path, stack trace or doc string is left in the file."""
    for profile in ("modern", "jetson"):
        content = exported(profile).model
        assert b".py" not in content
        assert b"site-packages" not in content
        nodes = onnx.load_model_from_string(content).graph.node
        assert not any(node.doc_string or node.metadata_props for node in nodes)


def test_a_graph_that_differs_from_torch_is_not_certified(
    network: nn.Module, exported: Callable[[str], OnnxExport]
) -> None:
    """Golden outputs of another network, or outputs that are not finite, are refused with the difference."""
    golden = make_golden(network, random_inputs(SHAPES, 1, seed=1))
    with OnnxRuntimeEngine(exported("modern").model, threads=1) as engine:
        for wrong in (0.1, np.nan):
            golden.outputs["logits"][0, 0, 3, 4] += np.float32(wrong)
            with pytest.raises(ModelError, match="differs"):
                compare(engine, golden)


def test_unknown_profiles_and_opsets_are_refused() -> None:
    """A wrong word is a configuration error before any work is done."""
    network = TinyExport(Tiny(PRESETS["test"]))
    inputs = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for wrong in ({"profile": "pocket"}, {"opset": 11}):
        with pytest.raises(ConfigError):
            to_onnx(network, inputs, **wrong)  # type: ignore[arg-type]


def test_limits_of_good_frames_leave_room() -> None:
    """Every good training part satisfies the limits made from it; far other scenes do not."""
    limits = validity_limits({
        "valid_depth.min": 0.9, "valid_depth.max": 0.95, "depth_low_m.min": 0.4, "depth_high_m.max": 0.5,
        "color_mean.min": 80.0, "color_mean.max": 120.0, "color_std.min": 30.0, "color_std.max": 40.0,
    })
    assert limits.min_valid_depth == pytest.approx(0.72)
    assert limits.depth_range_m == pytest.approx((0.275, 0.625))
    assert (limits.exposure.min_mean, limits.exposure.max_mean, limits.exposure.min_std) == (40.0, 187.5, 15.0)
    assert validity_limits({}).depth_range_m == (0.05, 10.0)


def test_warnings_that_are_not_the_exporters_are_still_heard() -> None:
    """The export's filters are narrow: a warning of the network itself gets through."""

    class Complaining(Tiny):
        def forward(self, images: Any) -> Any:
            warnings.warn("the network complains", UserWarning, stacklevel=1)
            return super().forward(images)

    inputs = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    with pytest.warns(UserWarning, match="the network complains"):
        to_onnx(TinyExport(Complaining(PRESETS["test"])), inputs, profile="modern")
