# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasant.errors import CheckpointError
from rasant_training import checkpoint
from rasant_training.averaging import WeightAverage
from training.tiny_method import PRESETS, Tiny, TinySettings

RECIPE = PRESETS["test"]


def trained(width: int = 4) -> tuple[Tiny, WeightAverage, torch.optim.Optimizer]:
    """A network after two steps, so that the optimiser has moments."""
    torch.manual_seed(0)
    model = Tiny(replace(RECIPE, settings=TinySettings(width))).to(memory_format=torch.channels_last)
    optimizer, average = torch.optim.AdamW(model.parameters(), 1e-2), WeightAverage(model, 0.5)
    for _ in range(2):
        images = {"color": torch.rand(2, 3, 8, 8), "depth": torch.rand(2, 1, 8, 8)}
        model(images).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(model)
    return model, average, optimizer


def fresh(width: int = 4) -> tuple[Tiny, WeightAverage, torch.optim.Optimizer]:
    """Objects to restore into."""
    model = Tiny(replace(RECIPE, settings=TinySettings(width))).to(memory_format=torch.channels_last)
    return model, WeightAverage(model, 0.5), torch.optim.AdamW(model.parameters(), 1e-2)


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """Weights, buffers, averaged weights, moments with their memory format, and the numbers of the run."""
    path = tmp_path / "c.safetensors"
    model, average, optimizer = trained()
    progress = checkpoint.Progress(2, 1.5, average.updates, 0.25)
    checkpoint.save(path, model, average, optimizer, progress)
    other, other_average, other_optimizer = fresh()
    assert checkpoint.restore(path, other, other_average, other_optimizer) == progress == checkpoint.read_progress(path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert other_average.updates == 2
    assert all(torch.equal(value, other_average.shadow[name]) for name, value in average.shadow.items())
    for (_, a), (_, b) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        for moment, value in optimizer.state[a].items():
            restored = other_optimizer.state[b][moment]
            assert torch.equal(value, restored)
            assert value.stride() == restored.stride()


def test_averaged_weights_are_what_evaluation_reads(tmp_path: Path) -> None:
    """read_weights gives the averaged parameters and the network's own buffers, or the plain weights when asked."""
    path = tmp_path / "c.safetensors"
    model, average, optimizer = trained()
    checkpoint.save(path, model, average, optimizer, checkpoint.Progress(2))
    other = fresh()[0]
    checkpoint.read_weights(path, other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in average.weights(model).items())
    checkpoint.read_weights(path, other, averaged=False)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """Another width is named with both shapes; a checkpoint without averaged weights says what it lacks."""
    path = tmp_path / "c.safetensors"
    model, average, optimizer = trained()
    checkpoint.save(path, model, average, optimizer, checkpoint.Progress(2))
    with pytest.raises(CheckpointError, match=r"must be torch.float32 \(6, 4, 3, 3\)"):
        checkpoint.restore(path, *fresh(width=6))
    checkpoint.save(path, model, None, optimizer, checkpoint.Progress(2))
    with pytest.raises(CheckpointError, match="lacks averaged tensor"):
        checkpoint.restore(path, *fresh())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    """A file cut at any byte is refused with CheckpointError, whatever is left of it."""
    path = tmp_path / "c.safetensors"
    if not path.exists():
        checkpoint.save(path, *trained(), checkpoint.Progress(2))
    content = path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError):
        checkpoint.restore(cut, *fresh())


def hostile(header: dict[str, object], data: bytes = bytes(8)) -> bytes:
    """A safetensors file with any header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",
        hostile({"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}}),
        hostile({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}),
        hostile({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}),
        hostile({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
    ],
    ids=["huge header", "overflow", "overlap", "gap", "trailing bytes"],
)
def test_a_hostile_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    """Headers that lie about sizes and places are refused before any tensor exists."""
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.restore(path, *fresh())


def test_weights_that_are_not_finite_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """NaN never enters a network; a safetensors file of another program is not taken for a checkpoint."""
    from safetensors.torch import save_file

    path = tmp_path / "c.safetensors"
    model, average, optimizer = trained()
    with torch.no_grad():
        model.last.bias[0] = float("nan")
    checkpoint.save(path, model, average, optimizer, checkpoint.Progress(2))
    with pytest.raises(CheckpointError, match="NaN"):
        checkpoint.restore(path, *fresh())
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of rasant"):
        checkpoint.read_progress(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read_progress(tmp_path / "none.safetensors")


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file at the final name is always whole: the new one appears by a rename, after its bytes are on disk."""
    path = tmp_path / "c.safetensors"
    objects = trained()
    checkpoint.save(path, *objects, checkpoint.Progress(2))
    order: list[str] = []
    real_fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: order.append("fsync") or real_fsync(file))

    def crash(*_: object) -> None:
        order.append("replace")
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power cut"):
        checkpoint.save(path, *objects, checkpoint.Progress(3))
    assert order == ["fsync", "replace"]
    assert checkpoint.read_progress(path).step == 2
