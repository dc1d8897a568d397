# SPDX-License-Identifier: Apache-2.0
"""Batches made ahead by threads: native operations release the GIL, so samples are made while the network learns.

Sample k of step s has the index `s * batch + k`, and a sample depends on its index alone. So the data do not depend on
the number of threads or processes, and a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["BatchStream", "Sample"]

Sample = dict[str, npt.NDArray[np.float32]]


class BatchStream:
    """Endless iterator of batches (dictionaries of float32 tensors whose first dimension is the sample).

    synthesise: sample of an index; called from several threads at once.
    batch: samples a step over all processes; this process makes the part `rank` of `world`.
    """

    def __init__(
        self, synthesise: Callable[[int], Sample], batch: int, *, first_step: int = 0, rank: int = 0, world: int = 1,
        workers: int = 1, prefetch: int = 2,
    ) -> None:
        self._synthesise = synthesise
        self._batch = batch
        self._share = range(rank * batch // world, (rank + 1) * batch // world)
        self._next_step = first_step
        self._prefetch = prefetch
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="samples")
        self._ahead: deque[list[Future[Sample]]] = deque()

    def __enter__(self) -> BatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return self

    def __next__(self) -> dict[str, torch.Tensor]:
        """The batch of the next step. An error of the synthesiser is raised here."""
        while len(self._ahead) <= self._prefetch:
            first = self._next_step * self._batch
            self._ahead.append([self._pool.submit(self._synthesise, first + k) for k in self._share])
            self._next_step += 1
        samples = [future.result() for future in self._ahead.popleft()]
        return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}
