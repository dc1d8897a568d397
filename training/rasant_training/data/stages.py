# SPDX-License-Identifier: Apache-2.0
"""Crops first, whole frames at the end.

Crops show many different samples a minute. But a network that has seen nothing else meets, in a whole frame,
surroundings that no crop ever held, and lights up there. So the last share of a run is trained on whole frames, with
about as many pixels a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

import torch

from rasant_training.data.batches import BatchStream, Sample
from rasant_training.recipe import Recipe

__all__ = ["StagedStream", "stage_of"]


def stage_of(recipe: Recipe, size: tuple[int, int], done: float) -> Recipe:
    """The recipe in force when the fraction `done` of the run is over, for frames of `size` (rows, cols)."""
    data = recipe.data
    if not data.whole_share or done < 1.0 - data.whole_share:
        return recipe
    processes = recipe.loop.devices * recipe.loop.nodes
    crop = (min(data.crop, size[0]), min(data.crop, size[1]))
    frames = max(1, round(data.batch * crop[0] * crop[1] / (size[0] * size[1])))
    return replace(recipe, data=replace(data, crop=max(size), batch=-(-frames // processes) * processes))


class StagedStream:
    """Batches of the stage that a step belongs to; opens the next stage's stream when it begins.

    synthesiser: makes the sample function of a recipe. size: (rows, cols) of the frames.
    """

    def __init__(
        self, synthesiser: Callable[[Recipe], Callable[[int], Sample]], recipe: Recipe, size: tuple[int, int], *,
        rank: int = 0, world: int = 1,
    ) -> None:
        self._synthesiser, self._recipe, self._size = synthesiser, recipe, size
        self._rank, self._world = rank, world
        self._stage: Recipe | None = None
        self._stream: BatchStream | None = None

    def __enter__(self) -> StagedStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.__exit__(kind, error, trace)

    def batch(self, step: int, done: float) -> dict[str, torch.Tensor]:
        """The batch of `step`. Steps rise by one from the first that is asked for."""
        stage = stage_of(self._recipe, self._size, done)
        if self._stream is None or stage != self._stage:
            self.__exit__(None, None, None)
            data = stage.data
            self._stage, self._stream = stage, BatchStream(
                self._synthesiser(stage), data.batch, first_step=step, rank=self._rank, world=self._world,
                workers=data.workers, prefetch=data.prefetch,
            )
        return next(self._stream)
