# SPDX-License-Identifier: Apache-2.0
"""The one training loop, on Lightning Fabric: from one CPU process to many GPUs and machines without another line.

Given the recipe, a step depends on the network's state and the step's number alone: the samples come from their index,
random numbers from (seed, step, rank). So a run that is killed and resumed reaches the weights of one that was not.
"""

from __future__ import annotations

import math
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from rasant import errors
from rasant.errors import ConfigError
from rasant_training import checkpoint
from rasant_training.averaging import WeightAverage
from rasant_training.data.parts import PreparedParts
from rasant_training.data.stages import StagedStream
from rasant_training.method import Method, load_method
from rasant_training.monitor import Monitor, Output
from rasant_training.preview import preview
from rasant_training.recipe import LoopRecipe, OptimizerRecipe, Recipe
from rasant_training.rundir import checkpoint_path
from rasant_training.schedule import finished, learning_rate, progress

__all__ = ["Job", "RunResult", "train"]


@dataclass(frozen=True)
class Job:
    """One sitting of a run. `recipe.preprocess` and `parts.params` are the same."""

    recipe: Recipe
    parts: PreparedParts
    run: Path
    resume: bool = False
    output: Output = "quiet"


class RunResult(NamedTuple):
    """How a sitting ended. losses: means of the last log interval."""

    step: int
    elapsed_s: float
    losses: dict[str, float]
    interrupted: bool


def train(job: Job) -> RunResult:
    """Train until the recipe's end, or until SIGINT or SIGTERM, which end the run after the step with a checkpoint.

    Raises ConfigError when the loss is no longer finite (the last checkpoint stays), CheckpointError on resuming
    from a damaged file.
    """
    loop = job.recipe.loop
    # Spawned processes start clean; with several machines torchrun starts them and tells Fabric who it is.
    strategy = "auto" if loop.devices * loop.nodes == 1 else "ddp_spawn" if loop.nodes == 1 else "ddp"
    with _quiet_fabric():
        fabric = Fabric(accelerator=loop.accelerator, devices=loop.devices, num_nodes=loop.nodes, strategy=strategy,
                        precision=loop.precision)
        # The job is bound beforehand: Fabric looks into the arguments it is given and refuses frozen dataclasses.
        with _plain_errors():
            result: RunResult = fabric.launch(partial(_sitting, job))
    return result


@contextmanager
def _plain_errors() -> Iterator[None]:
    """An error of rasant in a spawned process is raised as what it was, not as a report about processes."""
    try:
        yield
    except ProcessRaisedException as error:
        found = re.fullmatch(r"rasant\.errors\.(\w+): (.*)", error.msg.strip().splitlines()[-1])
        if found is None or found[1] not in errors.__all__:
            raise
        raise getattr(errors, found[1])(found[2]) from error


@contextmanager
def _quiet_fabric() -> Iterator[None]:
    """Silence what Fabric says about choices that were made on purpose here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield


def _sitting(job: Job, fabric: Fabric) -> RunResult:
    recipe, loop = job.recipe, job.recipe.loop
    if loop.threads:
        torch.set_num_threads(loop.threads)
    method = load_method(recipe.method)
    torch.manual_seed(loop.seed)
    network = method.build(recipe).train()
    if loop.initial and not job.resume:
        checkpoint.read_weights(checkpoint_path(Path(loop.initial)), network)
    if loop.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(network, _optimizer(recipe.optimizer, network))
    state = _State(network, WeightAverage(network, loop.ema) if loop.ema else None, optimizer.optimizer)
    first = checkpoint.Progress()
    if job.resume:
        first = checkpoint.restore(checkpoint_path(job.run), network, state.average, state.optimizer)
    stream = StagedStream(
        lambda stage: method.Synthesiser(job.parts, stage, loop.seed), recipe, job.parts.foreground.shape[1:],
        rank=fabric.global_rank, world=fabric.world_size,
    )
    monitor = Monitor(job.run, job.output, active=fabric.is_global_zero, first_step=first.step)
    with monitor, stream, _Stop() as stop:
        monitor.event("start", step=first.step, elapsed_s=first.elapsed_s, parts=len(job.parts),
                      parameters=sum(p.numel() for p in network.parameters()), processes=fabric.world_size)
        for note in job.parts.notes:
            monitor.event("note", text=note)
        return _Loop(fabric, job, method, model, optimizer, state, monitor, first).run(stream, stop)


def _optimizer(recipe: OptimizerRecipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    """One parameter group for each rate; `share` is the group's rate over the recipe's `learning_rate`."""
    groups: dict[str, list[torch.nn.Parameter]] = {"": []}  # the first one is the one whose rate is logged
    for name, parameter in network.named_parameters():
        part = name.split(".")[0]
        groups.setdefault(part if part in recipe.rates else "", []).append(parameter)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.kind]
    return kind(
        [{"params": parameters, "share": recipe.rates.get(part, recipe.learning_rate) / recipe.learning_rate}
         for part, parameters in groups.items()],
        lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay,
    )


class _Stop:
    """Turns SIGINT and SIGTERM into a flag while the loop runs; the second signal acts as usual."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        signal.signal(number, self._before[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _State:
    """What a checkpoint holds besides numbers."""

    network: torch.nn.Module
    average: WeightAverage | None
    optimizer: torch.optim.Optimizer


class _Loop:
    """The steps of one sitting."""

    def __init__(
        self, fabric: Fabric, job: Job, method: Method, model: Any, optimizer: Any, state: _State, monitor: Monitor,
        first: checkpoint.Progress,
    ) -> None:
        self.fabric, self.job, self.method, self.model, self.optimizer = fabric, job, method, model, optimizer
        self.state, self.monitor = state, monitor
        self.recipe: Recipe = job.recipe
        self.loop: LoopRecipe = job.recipe.loop
        self.step = first.step
        self.before_s = first.elapsed_s
        self.started = time.monotonic()
        self.saved_s, self.saved_step = first.elapsed_s, first.step
        self.sums: dict[str, torch.Tensor] = {}
        self.summed = 0
        self.means: dict[str, float] = {}
        self.logged_at = self.started

    def run(self, stream: StagedStream, stop: _Stop) -> RunResult:
        """Steps until the end; the last act is a checkpoint."""
        elapsed, asked = self._agree(stop.asked)
        while not asked and not finished(self.loop, self.step, elapsed):
            done = progress(self.loop, self.step, elapsed)
            batch = self.fabric.to_device(stream.batch(self.step, done))
            outputs = self._one(batch, learning_rate(self.recipe.optimizer, self.step, done))
            self.step += 1
            elapsed, asked = self._agree(stop.asked)
            done = progress(self.loop, self.step, elapsed)
            self.monitor.advance(self.step, done)
            if self.step % self.loop.log_every == 0:
                self._report(elapsed, done)
            every = self.loop.picture_every
            if every and (self.step % every == 0 or asked or finished(self.loop, self.step, elapsed)):
                self.monitor.picture(self.step, preview(batch, outputs.logits))
            if self._save_due(elapsed):
                self._save(elapsed)
        if self.summed:
            self._report(elapsed, progress(self.loop, self.step, elapsed))
        if self.saved_step < self.step:
            self._save(elapsed)
        self.monitor.event("interrupted" if asked else "end", step=self.step, elapsed_s=elapsed, **self.means)
        return RunResult(self.step, elapsed, self.means, asked)

    def _agree(self, asked: bool) -> tuple[float, bool]:
        """Elapsed seconds and the wish to stop; all processes take the first one's, or they would part ways."""
        elapsed = self.before_s + time.monotonic() - self.started
        if self.fabric.world_size == 1:
            return elapsed, asked
        seconds, flag = self.fabric.broadcast(torch.tensor([elapsed, float(asked)], dtype=torch.float64)).tolist()
        return seconds, bool(flag)

    def _one(self, batch: dict[str, torch.Tensor], rate: float) -> Any:
        """One optimiser step; returns the network's outputs."""
        torch.manual_seed((self.loop.seed << 32) ^ (self.step * self.fabric.world_size + self.fabric.global_rank))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        outputs = self.model({name: self._input(batch[name]) for name in self.recipe.inputs})
        losses = self.method.losses(outputs, batch, self.recipe)
        self.optimizer.zero_grad()
        self.fabric.backward(losses["total"])
        if self.recipe.optimizer.clip_norm:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.recipe.optimizer.clip_norm,
                                       error_if_nonfinite=False)
        self.optimizer.step()
        if self.state.average is not None:
            self.state.average.update(self.state.network)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=value.device)) + value.detach().float()
        self.summed += 1
        return outputs

    def _input(self, image: torch.Tensor) -> torch.Tensor:
        return image.contiguous(memory_format=torch.channels_last) if self.loop.channels_last else image

    def _report(self, elapsed: float, done: float) -> None:
        """Means of the losses since the last report, over all processes; a loss that is not finite ends the run."""
        self.means = {name: self._mean(total / self.summed) for name, total in self.sums.items()}
        now = time.monotonic()
        rate = self.summed / max(now - self.logged_at, 1e-9)
        self.logged_at, self.sums, self.summed = now, {}, 0
        if not math.isfinite(self.means["total"]):
            raise self._diverged(f"the loss is {self.means['total']}")
        self.monitor.scalars(
            self.step, self.means, learning_rate=self.optimizer.param_groups[0]["lr"], elapsed_s=round(elapsed, 3),
            done=round(done, 5), steps_per_s=round(rate, 4))

    def _mean(self, value: torch.Tensor) -> float:
        """Mean over all processes."""
        mean = self.fabric.all_reduce(value)
        assert isinstance(mean, torch.Tensor)
        return float(mean)

    def _save_due(self, elapsed: float) -> bool:
        if self.loop.checkpoint_steps:
            return self.step % self.loop.checkpoint_steps == 0
        return elapsed - self.saved_s >= self.loop.checkpoint_seconds

    def _save(self, elapsed: float) -> None:
        if self.summed:
            self._report(elapsed, progress(self.loop, self.step, elapsed))
        values = self.state.network.state_dict().values()
        if not all(bool(torch.isfinite(value).all()) for value in values if value.is_floating_point()):
            raise self._diverged("a weight is not finite")
        self.saved_s, self.saved_step = elapsed, self.step
        if self.fabric.is_global_zero:
            average = self.state.average
            where = checkpoint.Progress(self.step, elapsed, average.updates if average else 0,
                                        self.means.get("total", float("nan")))
            checkpoint.save(checkpoint_path(self.job.run), self.state.network, average, self.state.optimizer, where)
        self.monitor.event("checkpoint", step=self.step, elapsed_s=round(elapsed, 3))

    def _diverged(self, what: str) -> ConfigError:
        return ConfigError(f"{what} at step {self.step}; the checkpoint of step {self.saved_step} is kept. "
                           "Lower optimizer.learning_rate or optimizer.clip_norm and start again")
