# SPDX-License-Identifier: Apache-2.0
"""Attention in (shifted) windows as its definition has it: every pair of tokens, no image is rolled or cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["window_attention"]

Array = npt.NDArray[np.float64]


def window_attention(
    x: Array, qkv: tuple[Array, Array], out: tuple[Array, Array], bias: Array, *, heads: int, window: int,
    shift: tuple[int, int],
) -> Array:
    """(H, W, C) -> (H, W, C). Windows begin at `shift` (rows, columns); one that is cut by the border stays cut.

    qkv, out: weight (outputs, inputs) and bias. bias: ((2 window - 1)^2, heads), row (dy + window - 1) * (2 window - 1)
    + dx + window - 1 for a query that is dy rows and dx columns after the key.
    """
    h, w, c = x.shape
    places = [(y, x_) for y in range(h) for x_ in range(w)]
    inside = [((y - shift[0]) // window, (x_ - shift[1]) // window) for y, x_ in places]
    tokens = x.reshape(h * w, c)
    q, k, v = np.split(tokens @ qkv[0].T + qkv[1], 3, axis=1)
    mixed = np.zeros_like(tokens)
    size = c // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for i, (yi, xi) in enumerate(places):
            near = [j for j in range(len(places)) if inside[j] == inside[i]]
            rows = [(yi - places[j][0] + window - 1) * (2 * window - 1) + xi - places[j][1] + window - 1 for j in near]
            affinity = k[near, part] @ q[i, part] / np.sqrt(size) + bias[rows, head]
            weight = np.exp(affinity - affinity.max())
            mixed[i, part] = weight / weight.sum() @ v[near, part]
    return (mixed @ out[0].T + out[1]).reshape(h, w, c)
