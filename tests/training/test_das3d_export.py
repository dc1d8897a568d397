# SPDX-License-Identifier: Apache-2.0
"""DAS3D with late fusion as a bundle has it: an allowed graph, the same in every engine, that hides no NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rasant.bundle.graph_check import describe_graph
from rasant.engines import open_engine
from rasant_training.export.onnx import to_onnx
from rasant_training.export.verify import compare, make_golden, random_inputs
from rasant_training.methods.das3d.model import Das3d, surest
from rasant_training.methods.das3d.recipe import Das3dNetwork
from rasant_training.nets.reconstructing import ReconstructionExport

SHAPES = {"color": (1, 3, 32, 32), "depth": (1, 1, 32, 32)}


def test_a_network_with_late_fusion_exports_and_agrees_with_torch() -> None:
    """The loader accepts every operator of the graph, and the engines differ from torch by rounding only."""
    torch.manual_seed(5)
    network = Das3dNetwork(width=4, discriminator_width=4, fusion="late")
    module = ReconstructionExport(Das3d(network, tuple(SHAPES))).eval()
    exported = to_onnx(module, {name: torch.zeros(shape) for name, shape in SHAPES.items()})
    spec = describe_graph(exported.model, "detector.onnx")
    assert [tensor.shape for tensor in spec.outputs] == [(1, 2, 32, 32), (1, 2, 32, 32)]
    golden = make_golden(module, random_inputs(SHAPES, 2, seed=1))
    scale = max(1.0, float(np.abs(golden.outputs["logits"]).max()))
    for engine in ("onnxruntime", "openvino"):
        with open_engine(engine, exported.model, threads=1) as opened:
            assert compare(opened, golden).max_abs < 1e-4 * scale


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_what_is_no_number_in_one_head_is_none_in_the_answer(engine: str) -> None:
    """A NaN in the logits of either modality is not hidden by the finite ones of the other."""

    class Fusion(torch.nn.Module):
        outputs = ("logits",)

        def forward(self, color: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor]:
            return (surest([color, depth]),)

    for place in (0, 1):
        heads = [torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)]
        heads[place][0, 1, 2, 3] = torch.nan
        if engine == "torch":
            answer = surest(heads).numpy()
        else:
            inputs = {name: torch.zeros(1, 2, 4, 4) for name in SHAPES}
            with open_engine(engine, to_onnx(Fusion(), inputs).model, threads=1) as opened:
                for name, head in zip(SHAPES, heads, strict=True):
                    np.copyto(opened.inputs[name], head.numpy())
                opened.infer()
                answer = opened.outputs["logits"].copy()
        finite = np.isfinite(answer).all(axis=1)[0]
        assert not finite[2, 3] and finite.sum() == 15
