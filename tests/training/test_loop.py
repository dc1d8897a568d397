# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rasant.errors import CheckpointError, ConfigError
from rasant_training import checkpoint
from rasant_training.loop import Job, RunResult, train
from rasant_training.recipe import Recipe
from rasant_training.rundir import checkpoint_path
from training import tiny_method
from training.tiny_method import PRESETS, Tiny, made_parts


def recipe(**loop: Any) -> Recipe:
    """The tiny preset with other loop values."""
    preset = PRESETS["test"]
    return replace(preset, loop=replace(preset.loop, picture_every=0, **loop))


def sit(run: Path, chosen: Recipe, **changes: Any) -> RunResult:
    """One sitting on made parts."""
    run.mkdir(exist_ok=True)
    return train(Job(chosen, made_parts(), run, **changes))


def weights(run: Path, *, averaged: bool = False) -> dict[str, torch.Tensor]:
    """Weights of a run's checkpoint."""
    model = Tiny(PRESETS["test"])
    checkpoint.read_weights(checkpoint_path(run), model, averaged=averaged)
    return model.state_dict()


def same(one: Path, other: Path) -> bool:
    """True when two runs hold the same weights, plain and averaged, bit for bit."""
    return all(
        torch.equal(value, weights(other, averaged=averaged)[name])
        for averaged in (False, True)
        for name, value in weights(one, averaged=averaged).items()
    )


def environment() -> dict[str, str]:
    """Of a process that imports what the tests do."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}


def test_a_run_is_its_recipe(tmp_path: Path) -> None:
    """The same recipe gives the same weights, whatever the number of sample threads; another seed gives others."""
    sit(tmp_path / "a", recipe())
    more_threads = replace(recipe(), data=replace(recipe().data, workers=3, prefetch=4))
    sit(tmp_path / "b", more_threads)
    sit(tmp_path / "c", recipe(seed=1))
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_a_run_may_start_from_the_weights_of_another(tmp_path: Path) -> None:
    """With a rate too small to move it, the new run holds the averaged weights of the first; a resumed one goes on."""
    sit(tmp_path / "first", recipe())
    still = replace(recipe().optimizer, learning_rate=1e-12, weight_decay=0.0)
    second = replace(recipe(initial=str(tmp_path / "first"), ema=0.0), optimizer=still)
    sit(tmp_path / "second", second)
    start, end = weights(tmp_path / "first", averaged=True), weights(tmp_path / "second")
    names = [name for name, _ in Tiny(PRESETS["test"]).named_parameters()]
    assert all(torch.allclose(start[name], end[name], atol=1e-6) for name in names)


def test_training_learns(tmp_path: Path) -> None:
    """The loss of the last steps is below that of the first."""
    result = sit(tmp_path / "a", recipe(steps=40))
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss_total"] for line in lines if line["event"] == "step"]
    assert losses[-1] < 0.9 * losses[0]
    assert result.step == 40
    assert lines[0]["event"] == "start"
    assert lines[-1]["event"] == "end"


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from training.tiny_method import PRESETS, made_parts
from rasant_training.loop import Job, train
preset = PRESETS["test"]
chosen = replace(preset, loop=replace(preset.loop, picture_every=0, steps=60, checkpoint_steps=5))
train(Job(chosen, made_parts(), Path(sys.argv[1]), output="json"))
"""


def test_a_killed_run_resumes_to_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    """SIGKILL in the middle, then --resume: weights, averaged weights and BatchNorm statistics are equal to the bit."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    command = [sys.executable, "-c", KILLED, str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "checkpoint" and event["step"] >= 15:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    stopped_at = checkpoint.read_progress(checkpoint_path(killed)).step
    assert 15 <= stopped_at < 60
    assert sit(killed, recipe(steps=60), resume=True).step == 60
    sit(whole, recipe(steps=60))
    assert same(killed, whole)


STOPPED = """
import json, signal, sys
from pathlib import Path
from training import tiny_method
from rasant_training.loop import Job, train
calls, real, before = 0, tiny_method.losses, signal.getsignal(signal.SIGTERM)
def losses(*arguments):
    global calls
    calls += 1
    if calls == 5:
        signal.raise_signal(signal.SIGTERM)
    return real(*arguments)
tiny_method.losses = losses
result = train(Job(tiny_method.PRESETS["test"], tiny_method.made_parts(), Path(sys.argv[1])))
print(json.dumps([result.interrupted, result.step, signal.getsignal(signal.SIGTERM) == before]))
"""


def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    """SIGTERM is answered with a checkpoint of the step that was running; resuming reaches the same weights.

    In a process of its own: what a signal ends is not the program that runs the tests.
    """
    stopped = tmp_path / "a"
    stopped.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", STOPPED, str(stopped)], check=True, capture_output=True, text=True, env=environment()
    )
    assert json.loads(told.stdout.splitlines()[-1]) == [True, 5, True]
    assert checkpoint.read_progress(checkpoint_path(stopped)).step == 5
    assert not sit(stopped, recipe(), resume=True).interrupted
    sit(tmp_path / "b", recipe())
    assert same(stopped, tmp_path / "b")


def test_a_broken_loss_ends_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: Any) -> None:
    """A loss that is not finite is an error that names the step; no checkpoint is written from broken weights."""
    calls = 0
    real = tiny_method.losses

    def losses(*arguments: Any) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        found = real(*arguments)
        return {**found, "total": found["total"] * float("nan")} if calls > 8 else found

    monkeypatch.setattr(tiny_method, "losses", losses)
    with pytest.raises(ConfigError, match=r"the loss is nan at step 10; the checkpoint of step 5 is kept"):
        sit(tmp_path / "a", recipe(checkpoint_steps=5, log_every=100))
    assert checkpoint.read_progress(checkpoint_path(tmp_path / "a")).step == 5


def test_a_wall_budget_is_spent_over_several_sittings(tmp_path: Path, monkeypatch: Any) -> None:
    """Elapsed time is saved and added up: a resumed run goes on with the rest of its budget, and its rate with it."""
    now = [1000.0]
    monkeypatch.setattr("rasant_training.loop.time.monotonic", lambda: now[0])
    real = tiny_method.losses

    def losses(*arguments: Any) -> dict[str, torch.Tensor]:
        now[0] += 6.0
        return real(*arguments)

    monkeypatch.setattr(tiny_method, "losses", losses)
    first = sit(tmp_path / "a", recipe(steps=4, minutes=1.0))  # 4 steps of 6 s end it before the minute does
    assert (first.step, first.elapsed_s) == (4, 24.0)
    now[0] += 5000.0
    second = sit(tmp_path / "a", recipe(steps=0, minutes=1.0), resume=True)
    assert (second.step, second.elapsed_s) == (10, 60.0)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if line["event"] == "step"]
    assert rates[-1] < 0.15 * rates[0]


def test_every_modality_and_precision_trains(tmp_path: Path) -> None:
    """RGB-only and depth-only networks, and bfloat16 arithmetic, run through the same loop."""
    for modalities in ("rgb", "depth"):
        assert sit(tmp_path / modalities, replace(recipe(steps=2), modalities=modalities)).step == 2
    assert sit(tmp_path / "bf16", recipe(steps=2, precision="bf16-mixed")).step == 2


def test_pictures_and_scalars_reach_tensorboard(tmp_path: Path) -> None:
    """The event file holds the losses, the rate and the sample pictures of the asked steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sit(tmp_path / "a", replace(recipe(), loop=replace(recipe().loop, picture_every=6)))
    events = EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/total", "loss/entropy", "run/learning_rate"} <= set(tags["scalars"])
    (name,) = tags["images"]
    assert [event.step for event in events.Images(name)] == [6, 12]
    picture = events.Images(name)[0]
    assert (picture.height, picture.width) == (4 * 18, 4 * 18)


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    """--resume on a cut checkpoint says so instead of training from something."""
    sit(tmp_path / "a", recipe(steps=2))
    path = checkpoint_path(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="cut short"):
        sit(tmp_path / "a", recipe(), resume=True)
