# SPDX-License-Identifier: Apache-2.0
"""From the network's last layer to the number that decides: sigmoid, box mean, maximum and non-finite count at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.device import native_for, output, to_host

__all__ = ["MAX_KERNEL", "RESULT_BYTES", "ScoreResult", "read_result", "score_map", "score_map_from_probability"]

MAX_KERNEL = 127
_RESULT = np.dtype(
    [("score", "f4"), ("y", "i4"), ("x", "i4"), ("nonfinite", "i8"), ("clipped", "i8")], align=True
)  # as csrc/ops/score.hpp
RESULT_BYTES = _RESULT.itemsize

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """The maximum of the pooled map and its first place in row order, with what would make it worthless.

    score is NaN, and y = x = -1, where `nonfinite` > 0 or every pixel is ignored: such a score never passes a part.
    """

    score: float
    y: int
    x: int
    nonfinite: int  # pixels where the network gave NaN or infinity, ignored pixels included
    clipped: int = 0  # pixels of a probability map outside [0, 1], taken as 0 or 1


UNREAD = ScoreResult(float("nan"), -1, -1, 0)


def read_result(result: Any, *, stream: Any = None) -> ScoreResult:
    """The numbers in `result`, a device array of `RESULT_BYTES` uint8 that a call was given; waits for `stream`."""
    found = to_host(result, stream=stream).view(_RESULT)[0]
    return ScoreResult(*found.item())


def score_map(
    logits: FloatImage,
    *,
    kernel: int,
    ignore: Mask | None = None,
    out_raw: FloatImage | None = None,
    out_pooled: FloatImage | None = None,
    threads: int = 1,
    result: Any = None,
    device: str = "cpu",
    stream: Any = None,
) -> ScoreResult:
    """Scores the two-channel output of a discriminator (DRAEM, Zavrtanik et al., ICCV 2021, section 3.3).

    logits: (2, h, w) float32: good, defect.
    kernel: odd, 1..127. 21 in DRAEM; the mean counts pixels outside the map as 0 and always divides by kernel ** 2.
    ignore: (h, w) bool; such pixels are 0 in both maps and in the mean, and never the maximum.
    out_raw: (h, w) float32, sigmoid(logits[1] - logits[0]), within 4 ULP; NaN where a logit is not finite.
    out_pooled: (h, w) float32, the mean of raw; finite everywhere, and its maximum is `score`. Within 2.4e-7 at
        kernel 21: probabilities are summed as integers, so any thread count and device gives the same bits.
    device, stream: see rasant.ops.device. On a device the call waits for its numbers, unless
    result: (RESULT_BYTES,) uint8 on the device takes them, for `read_result` later; then the call does not wait, and
        returns a score of NaN, which passes no part.

    Raises ConfigError for an even or too large kernel, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    raw, pooled = (output(out, logits.shape[-2:], np.float32, device) for out in (out_raw, out_pooled))
    numbers = native.score_map(logits, kernel, ignore, raw, pooled, threads, result, stream)
    return ScoreResult(*numbers) if result is None else UNREAD


def score_map_from_probability(
    probability: FloatImage,
    *,
    kernel: int,
    ignore: Mask | None = None,
    out_raw: FloatImage | None = None,
    out_pooled: FloatImage | None = None,
    threads: int = 1,
    result: Any = None,
    device: str = "cpu",
    stream: Any = None,
) -> ScoreResult:
    """As `score_map`, for a graph that ends in a map of [0, 1]: (h, w) float32. Values outside are clipped and counted.

    A map with another range is divided by that range first; `clipped` > 0 says that this was forgotten.
    """
    native = native_for(device)
    raw, pooled = (output(out, probability.shape, np.float32, device) for out in (out_raw, out_pooled))
    numbers = native.score_probability(probability, kernel, ignore, raw, pooled, threads, result, stream)
    return ScoreResult(*numbers) if result is None else UNREAD
