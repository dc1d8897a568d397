# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import ProcessRaisedException

from rasant.errors import ConfigError
from rasant_training import checkpoint
from rasant_training.loop import Job, _plain_errors, train
from rasant_training.recipe import Recipe
from rasant_training.rundir import checkpoint_path
from training.tiny_method import PRESETS, Tiny, TinySettings, made_parts

STEPS = 8


def recipe(devices: int, normalised: bool) -> Recipe:
    """The tiny preset on so many processes, without clipping, so that gradients are compared as they are."""
    preset = PRESETS["test"]
    return replace(
        preset,
        settings=TinySettings(normalised=normalised),
        loop=replace(preset.loop, steps=STEPS, devices=devices, picture_every=0, log_every=1),
        optimizer=replace(preset.optimizer, clip_norm=0.0),
    )


def run(folder: Path, chosen: Recipe) -> tuple[dict[str, torch.Tensor], list[float]]:
    """First moments of Adam (sums of gradients), and the losses of all steps."""
    folder.mkdir()
    train(Job(chosen, made_parts(), folder))
    model = Tiny(chosen)
    optimizer = torch.optim.AdamW(model.parameters())
    checkpoint.restore(checkpoint_path(folder), model, None, optimizer)
    moments = {name: optimizer.state[value]["exp_avg"] for name, value in model.named_parameters()}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return moments, [line["loss_total"] for line in lines if line["event"] == "step"]


@pytest.mark.parametrize("normalised", [False, True])
def test_two_processes_learn_what_one_does(tmp_path: Path, normalised: bool) -> None:
    """With the same global batch, gradients of two processes equal those of one for a network without BatchNorm.

    With BatchNorm each process normalises its own half of the batch, so they differ: by how much is printed.
    """
    alone, losses_alone = run(tmp_path / "one", recipe(1, normalised))
    pair, losses_pair = run(tmp_path / "two", recipe(2, normalised))
    assert len(losses_alone) == len(losses_pair) == STEPS
    if not normalised:
        for name, value in alone.items():
            torch.testing.assert_close(pair[name], value, rtol=1e-5, atol=1e-8)
        assert losses_pair == pytest.approx(losses_alone, rel=1e-6)
    difference = abs(losses_pair[-1] - losses_alone[-1])
    kind = "with" if normalised else "without"
    print(f"{kind} BatchNorm: final loss {losses_alone[-1]:.6f}, two processes {losses_pair[-1]:.6f}")
    assert difference < 0.05 * losses_alone[-1]


def test_an_error_in_a_process_is_raised_as_what_it_was() -> None:
    """rasant's own errors keep their class and text; a fault of another kind stays what it is."""
    head = "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n"
    with pytest.raises(ConfigError, match=r"^the loss is nan at step 3$"), _plain_errors():
        raise ProcessRaisedException(f"{head}rasant.errors.ConfigError: the loss is nan at step 3\n", 1, 99)
    with pytest.raises(ProcessRaisedException), _plain_errors():
        raise ProcessRaisedException(f"{head}ValueError: other\n", 1, 99)
