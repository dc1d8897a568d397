# SPDX-License-Identifier: Apache-2.0
"""Proof that an exported graph says what the trained network says: torch and an engine on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rasant.bundle.manifest import ParityRecord
from rasant.engines.base import Engine
from rasant.errors import ModelError
from rasant_training.export.onnx import output_names

__all__ = ["TOLERANCE", "Golden", "compare", "make_golden", "random_inputs"]

TOLERANCE = 1e-3  # of the largest logit; float32 engines differ by about 1e-6 of it

Arrays = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Golden:
    """Inputs (F, C, h, w) by name and torch's own outputs, e.g. logits (F, 2, h, w), residual (F, M, h, w)."""

    inputs: Arrays
    outputs: Arrays

    @property
    def frames(self) -> int:
        """Number of golden frames."""
        return len(self.outputs["logits"])

    @property
    def arrays(self) -> Arrays:
        """Everything by name, as the bundle stores it."""
        return {**self.inputs, **self.outputs}


def random_inputs(shapes: Mapping[str, tuple[int, ...]], count: int, seed: int) -> Arrays:
    """`count` frames of uniform noise in [0, 1) for (1, C, h, w) inputs: a wrong resize can not hide in them."""
    generator = np.random.default_rng(seed)
    return {name: generator.random((count, *shape[1:]), np.float32) for name, shape in shapes.items()}


@torch.no_grad()
def make_golden(network: torch.nn.Module, inputs: Arrays) -> Golden:
    """Run the export form of a network in float32 on each frame, one by one."""
    network = network.eval().float()
    outputs: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in output_names(network)}
    for frame in zip(*inputs.values(), strict=True):
        results = network(*(torch.from_numpy(image[None]) for image in frame))
        for found, result in zip(outputs.values(), results, strict=True):
            found.append(result[0].numpy())
    return Golden(inputs, {name: np.stack(found) for name, found in outputs.items()})


def compare(engine: Engine, golden: Golden) -> ParityRecord:
    """How far an engine is from torch over all golden frames and outputs.

    Raises ModelError when a value differs by more than TOLERANCE of the largest logit, or is not finite.
    """
    worst, total, count = 0.0, 0.0, 0
    for frame in range(golden.frames):
        for name, stack in golden.inputs.items():
            np.copyto(engine.inputs[name], stack[frame : frame + 1])
        engine.infer()
        for name, stack in golden.outputs.items():
            difference = np.abs(engine.outputs[name][0] - stack[frame])
            worst = max(worst, float(difference.max())) if np.isfinite(difference).all() else float("inf")
            if name == "logits":
                total += float(difference.mean(dtype=np.float64))
                count += 1
    limit = TOLERANCE * max(1.0, float(np.abs(golden.outputs["logits"]).max()))
    if not worst <= limit:
        raise ModelError(f"the exported graph differs from torch by {worst:.3g} in {engine.info}, at most {limit:.3g} "
                         "is allowed; export with the other profile, and report the network")
    return ParityRecord(
        engine=str(engine.info), versions={engine.info.name: engine.info.version, "torch": torch.__version__},
        max_abs=worst, mean_abs=total / count, frames=golden.frames,
    )
