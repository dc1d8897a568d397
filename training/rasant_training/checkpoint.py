# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as safetensors: no pickle, written whole or not at all, checked before a byte is believed.

Tensors are named `model/NAME`, `average/NAME` (averaged parameters) and `optimizer/NAME/MOMENT`. Where the run stands
is JSON under the metadata key `rasant`. Random state is not stored: every step seeds its generator from (seed, step,
rank).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rasant.bundle.tensors_check import check_tensors
from rasant.bundle.writer import write_atomically
from rasant.errors import CheckpointError
from rasant_training.averaging import WeightAverage

__all__ = ["Progress", "read_progress", "read_weights", "restore", "save"]

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """Where a run stands. elapsed_s is training time summed over all sittings."""

    step: int = 0
    elapsed_s: float = 0.0
    average_updates: int = 0
    loss: float = float("nan")


def save(
    path: Path, model: torch.nn.Module, average: WeightAverage | None, optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write a checkpoint beside `path` and move it there in one step, so that a crash leaves the old or the new one."""
    from safetensors.torch import save as to_bytes

    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.shadow.items()}
    for name, parameter in model.named_parameters():
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{moment}"] = torch.as_tensor(value)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"rasant": json.dumps({"format": FORMAT, **asdict(progress)})}
    write_atomically(path, to_bytes(plain, metadata))


def _load(path: Path) -> tuple[dict[str, torch.Tensor], Progress]:
    from safetensors.torch import load as from_bytes

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    header = check_tensors(content, finite=True)
    try:
        plain: dict[str, Any] = json.loads(header.metadata["rasant"])
        version = plain.pop("format")
        progress = Progress(**plain)
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path} is not a checkpoint of rasant: its metadata do not say where the run stands; "
                              "start without --resume in another folder") from None
    if version != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {version}, this version reads {FORMAT}")
    return from_bytes(content), progress


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fits(path: Path, got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], what: str) -> None:
    """Raise CheckpointError unless both have the same names, shapes and dtypes."""
    if missing := sorted(wanted.keys() - got.keys()):
        raise CheckpointError(f"{path} lacks {what} {missing[0]} ({len(missing)} missing); it is of another network")
    if extra := sorted(got.keys() - wanted.keys()):
        raise CheckpointError(f"{path} has {what} {extra[0]} that the network lacks ({len(extra)} in all)")
    for name, want in wanted.items():
        value = got[name]
        if value.shape != want.shape or value.dtype != want.dtype:
            raise CheckpointError(f"{path}: {what} {name} must be {want.dtype} {tuple(want.shape)}, "
                                  f"got {value.dtype} {tuple(value.shape)}")


@torch.no_grad()
def restore(
    path: Path, model: torch.nn.Module, average: WeightAverage | None, optimizer: torch.optim.Optimizer
) -> Progress:
    """Put a checkpoint back into the objects it was saved from; they keep their device and memory format.

    Raises CheckpointError when the file is damaged or does not fit.
    """
    tensors, progress = _load(path)
    state = model.state_dict()
    weights = _part(tensors, "model/")
    _fits(path, weights, state, "tensor")
    for name, value in weights.items():
        state[name].copy_(value)
    if average is not None:
        shadow = _part(tensors, "average/")
        _fits(path, shadow, average.shadow, "averaged tensor")
        for name, value in shadow.items():
            average.shadow[name].copy_(value)
        average.updates = progress.average_updates
    for name, parameter in model.named_parameters():
        moments = _part(tensors, f"optimizer/{name}/")
        if not moments:
            continue
        optimizer.state[parameter] = {
            moment: value.clone() if value.ndim == 0 else torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            for moment, value in moments.items()
        }
    return progress


def read_progress(path: Path) -> Progress:
    """Where the run of a checkpoint stands. Raises CheckpointError."""
    return _load(path)[1]


@torch.no_grad()
def read_weights(path: Path, model: torch.nn.Module, *, averaged: bool = True) -> Progress:
    """Put the (averaged, where they exist) weights of a checkpoint into `model`, for evaluation and export.

    Raises CheckpointError when the file is damaged or does not fit.
    """
    tensors, progress = _load(path)
    state = model.state_dict()
    weights = _part(tensors, "model/")
    if averaged:
        weights |= _part(tensors, "average/")
    _fits(path, weights, state, "tensor")
    for name, value in weights.items():
        state[name].copy_(value)
    return progress
