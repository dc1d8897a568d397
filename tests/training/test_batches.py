# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import numpy as np
import pytest

from rasant_training.data.batches import BatchStream, Sample


def sample(index: int) -> Sample:
    """A sample that says its index, made slower or faster than its neighbours."""
    time.sleep(0.001 * (index * 7 % 5))
    return {"mask": np.full((2, 2), index, np.float32)}


def indices(stream: BatchStream, batches: int) -> list[list[int]]:
    """Sample numbers of the next batches."""
    with stream:
        return [next(stream)["mask"][:, 0, 0].int().tolist() for _ in range(batches)]


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (3, 2), (8, 5)])
def test_batches_do_not_depend_on_the_number_of_threads(workers: int, prefetch: int) -> None:
    """Sample k of step s is number s * batch + k, in order, whoever finishes first."""
    assert indices(BatchStream(sample, 4, workers=workers, prefetch=prefetch), 5) == [
        [4 * s + k for k in range(4)] for s in range(5)
    ]


def test_a_resumed_stream_goes_on_where_it_was() -> None:
    """The stream of step 3 on equals the rest of the stream from the start."""
    assert indices(BatchStream(sample, 4, first_step=3), 2) == indices(BatchStream(sample, 4), 5)[3:]


def test_processes_share_a_batch_without_gap_or_overlap() -> None:
    """The shares of all processes, in order, are the batch of one process."""
    shares = [indices(BatchStream(sample, 6, rank=rank, world=3), 2) for rank in range(3)]
    together = [[k for share in shares for k in share[s]] for s in range(2)]
    assert together == indices(BatchStream(sample, 6), 2)


def test_an_error_of_the_synthesiser_reaches_the_loop() -> None:
    """A failing sample ends the iteration with its own error, and the threads end."""

    def failing(index: int) -> Sample:
        raise ValueError(f"sample {index}")

    with BatchStream(failing, 2) as stream, pytest.raises(ValueError, match="sample 0"):
        next(stream)
