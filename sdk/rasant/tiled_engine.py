# SPDX-License-Identifier: Apache-2.0
"""An engine that runs a small network over a large image: tiles are cut out, run in batches, and merged to one map."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from rasant.engines.base import Buffers, Engine, EngineInfo, LayerTime, Probe, Slot, Slotted
from rasant.errors import EngineError, EngineTimeout, ShapeError
from rasant.tiles import TileParams, Window, copy_tile, lay_tiles

__all__ = ["TiledEngine"]


class TiledEngine(Slotted):
    """See `rasant.engines.base.Engine` for the contract; it has one slot, whose buffers are of the whole image.

    engine: open, with inputs (N, C, h, w) and outputs (N, M, h, w) for any batch size N; becomes this one's own.
    size: (rows, cols) of the image. The last batch is filled up with what an earlier run left; nobody reads that.

    With several slots the engine runs one batch while the next is cut out and the last is merged. `submit` starts as
    many runs as there are slots and `wait` does the rest, in the caller's thread. Where `wait` comes to its time limit
    no further run is started; once those under way have ended, the slot is free and its outputs are NaN.

    A tile with a value that is not finite, even where another tile decides, makes all NaN that it decides.

    Raises ShapeError where the engine's buffers are not tiles, ConfigError for too many tiles.
    """

    info: EngineInfo
    slots: tuple[Slot, ...]

    def __init__(self, engine: Engine, size: tuple[int, int], tiles: TileParams) -> None:
        shapes = {name: array.shape for name, array in (*engine.inputs.items(), *engine.outputs.items())}
        batches = {shape[0] for shape in shapes.values()}
        if len(batches) != 1 or any(len(shape) != 4 or shape[2:] != tiles.size for shape in shapes.values()):
            raise ShapeError(
                f"the engine must have buffers (N, channels, {tiles.size[0]}, {tiles.size[1]}) for the bundle's tiles, "
                f"got {shapes}; export the graph for tiles of this size"
            )
        windows, batch = lay_tiles(size, tiles), batches.pop()
        self.info = engine.info
        self.slots = (Slot(_images(engine.inputs, size), _images(engine.outputs, size)),)
        self._engine = engine
        self._runs = [windows[i : i + batch] for i in range(0, len(windows), batch)]
        self._finite = {name: np.empty(array.shape[1:], np.bool_) for name, array in engine.outputs.items()}
        self._flight: deque[tuple[int, int]] = deque()  # (slot of the engine, run) under way, oldest first
        self._next = 0  # the run to start next
        self._submitted = False
        self._late = False
        self._failure: Exception | None = None

    @classmethod
    def probe(cls) -> Probe:
        """It is made of an open engine, so it can always be used."""
        return Probe(True)

    def infer(self) -> None:
        """Run all tiles of `inputs` and merge them into `outputs`. Raises EngineError."""
        if len(self._engine.slots) > 1:
            self.submit()
            self.wait()
            return
        for windows in self._runs:
            self._cut(windows, self._engine.inputs)
            self._engine.infer()
            self._merge(windows, self._engine.outputs)

    def submit(self, slot: int = 0) -> None:
        """Start the first runs; a failure is told by `wait`. Raises EngineError where the slot still runs."""
        if slot != 0 or self._submitted:
            raise EngineError(f"slot {slot} of a tiled engine is {'busy; wait for it' if slot == 0 else 'not there'}")
        self._submitted, self._late, self._failure, self._next = True, False, None, 0
        for free in range(len(self._engine.slots)):
            self._start(free)

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """Run the remaining tiles and wait for all. Raises EngineTimeout, or EngineError where a run failed."""
        if slot != 0 or not self._submitted:
            raise EngineError(f"nothing was submitted to slot {slot} of a tiled engine; submit first")
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self._flight:
            busy, run = self._flight[0]
            try:
                self._engine.wait(busy, None if end is None else max(0.0, end - time.monotonic()))
            except EngineTimeout:
                self._late = True
                raise
            except Exception as error:
                self._failure = self._failure or error
            self._flight.popleft()
            if self._failure is None and not self._late:
                self._merge(self._runs[run], self._engine.slots[busy].outputs)
                self._start(busy)
        self._submitted = False
        if self._failure is not None:
            raise self._failure
        if self._late:
            for merged in self.outputs.values():
                merged.fill(np.nan)

    def warmup(self, runs: int = 2) -> None:
        """Run every slot of the engine on zeros. Raises EngineError."""
        self._engine.warmup(runs)

    def profile(self, runs: int = 10) -> tuple[LayerTime, ...]:
        """Time of each layer for one batch of tiles. Raises EngineError."""
        return self._engine.profile(runs)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _start(self, slot: int) -> None:
        """The next run on a free slot of the engine, if there is one and nothing went wrong."""
        if self._next == len(self._runs) or self._failure is not None:
            return
        try:
            self._cut(self._runs[self._next], self._engine.slots[slot].inputs)
            self._engine.submit(slot)
        except Exception as error:
            self._failure = error
            return
        self._flight.append((slot, self._next))
        self._next += 1

    def _cut(self, windows: Sequence[Window], inputs: Buffers) -> None:
        for name, image in self.inputs.items():
            for tile, window in zip(inputs[name], windows, strict=False):
                copy_tile(image[0], window, tile)

    def _merge(self, windows: Sequence[Window], outputs: Buffers) -> None:
        for name, merged in self.outputs.items():
            finite = self._finite[name]
            for tile, (y, x, top, bottom, left, right) in zip(outputs[name], windows, strict=False):
                decided = merged[0, :, top:bottom, left:right]
                if np.isfinite(tile, out=finite).all():
                    np.copyto(decided, tile[:, top - y : bottom - y, left - x : right - x])
                else:
                    decided.fill(np.nan)


def _images(buffers: Buffers, size: tuple[int, int]) -> Buffers:
    return MappingProxyType({name: np.zeros((1, array.shape[1], *size), np.float32) for name, array in buffers.items()})
