# SPDX-License-Identifier: Apache-2.0
"""`synthetic:` is a camera that anyone has: labelled, endless in variety, the same everywhere."""

from __future__ import annotations

import numpy as np

from rasant.sensors import open_source


def test_a_seed_names_its_frames() -> None:
    """Two runs of a seed agree bit for bit, whichever frames were read before; another seed differs."""
    def frames(seed: int, count: int) -> list[np.ndarray]:
        with open_source(f"synthetic:plate?seed={seed}&frames={count}&size=64") as source:
            return [frame.color for frame in source if frame.color is not None]

    long, short, other = frames(3, 6), frames(3, 4), frames(4, 4)
    assert len(long) == 6
    for a, b in zip(long, short, strict=False):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(short[0], other[0])


def test_share_of_defects_is_what_was_asked() -> None:
    """`defects` 0 and 1 give none and only defective parts; 0.5 gives both, and labels agree with masks."""
    for share, low, high in ((0, 0, 0), (0.5, 6, 24), (1, 30, 30)):
        with open_source(f"synthetic:bracket?defects={share}&size=64") as source:
            samples = [frame.sample for frame in source]
        assert len(samples) == 30
        assert low <= sum(sample is not None and sample.defective for sample in samples) <= high
        for sample in samples:
            assert sample is not None and sample.truth is not None and sample.truth.any() == sample.defective


def test_frames_are_complete() -> None:
    """Frames have aligned colour and depth of the asked size, millimetre relief and an index of their own."""
    with open_source("synthetic:flange?size=96&frames=2") as source:
        first, second = source
        assert source.frame_count == 2 and source.intrinsics == first.intrinsics
    assert (first.index, second.index) == (0, 1) and first.size == (96, 96)
    assert first.color is not None and first.depth is not None and first.depth.shape == (96, 96)
    metres = first.depth[first.depth > 0] * first.depth_scale
    assert 0.42 < metres.min() < metres.max() < 0.48
