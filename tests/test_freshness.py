# SPDX-License-Identifier: Apache-2.0
"""Age, time stamps and frozen cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.freshness import Freshness, sample_rows
from rasant.types import Clock, Frame, Reason
from rasant.verdict import Limits
from tiny_bundle import plate_frame

MS = 1_000_000
S = 1000 * MS
FRAMES = [plate_frame(index=i, size=(48, 64)) for i in range(4)]


class Stream:
    """Feeds frames as a camera with the given clocks would, and tells the reasons."""

    def __init__(self, limits: Limits = Limits(), clock: Clock = Clock.DEVICE) -> None:
        self.freshness = Freshness(limits)
        self.clock = clock
        self.count = 0

    def __call__(
        self, device_ns: int | None, arrival_ns: int, *, now_ns: int | None = None, frame: Frame | None = None,
        index: int | None = None, source: str = "camera",
    ) -> Reason | None:
        """One frame; a new picture unless `frame` is given."""
        chosen = frame if frame is not None else FRAMES[self.count % len(FRAMES)]
        sent = replace(
            chosen, device_time_ns=device_ns, arrival_ns=arrival_ns, clock=self.clock, source=source,
            index=self.count if index is None else index,
        )
        self.count += 1
        samples = tuple(sample_rows(image) for image in (sent.color, sent.depth))
        finding = self.freshness.check(sent, arrival_ns if now_ns is None else now_ns, samples)
        return None if finding is None else finding.reason


def test_a_steady_camera_is_fresh() -> None:
    """30 frames a second with jitter, transport delay and a crystal 100 ppm off: always fresh, for ten hours."""
    stream = Stream(Limits(max_age_ms=200.0))
    random = np.random.default_rng(0)
    for k in range(0, 36_000, 7):
        device = int(k * S * (1 - 100e-6)) + 5 * S
        assert stream(device, k * S + int(random.uniform(20, 40) * MS)) is None


@given(age_ms=st.integers(0, 2000), limit_ms=st.integers(1, 1000))
def test_age_is_judged_by_the_monotonic_clock(age_ms: int, limit_ms: int) -> None:
    """A frame is stale exactly when it arrived longer ago than the limit, whatever its clock."""
    for clock in Clock:
        stream = Stream(Limits(max_age_ms=limit_ms), clock)
        reason = stream(1 * S, 7 * S, now_ns=7 * S + age_ms * MS)
        assert (reason is Reason.STALE) == (age_ms > limit_ms)


def test_no_age_limit_means_no_staleness() -> None:
    """max_age_ms None lets recorded frames be as old as they are."""
    assert Stream(Limits(max_age_ms=None), Clock.NONE)(None, 0, now_ns=10**15) is None


def test_frames_that_wait_in_the_device_grow_stale() -> None:
    """A driver that hands out ever older frames is seen although each arrives just now."""
    stream = Stream(Limits(max_age_ms=300.0))
    reasons = [stream(k * 33 * MS, k * 100 * MS) for k in range(12)]
    assert reasons[:4] == [None] * 4
    assert reasons[6:] == [Reason.STALE] * 6


@pytest.mark.parametrize("stamp", ["same", "backwards", "hour ahead", "hour back", "wraps"])
def test_time_stamps_that_misbehave_cost_one_frame(stamp: str) -> None:
    """E_TIME on the very frame; then the stream goes on from the new time."""
    stream = Stream()
    start = 2**32 * 1000 - 3 * 33 * MS  # a 32-bit microsecond counter is about to wrap
    times = [start + k * 33 * MS for k in range(3)]
    shift = {
        "same": -33 * MS, "backwards": -50 * MS, "wraps": -(2**32) * 1000,
        "hour ahead": 3600 * S, "hour back": -3600 * S,
    }[stamp]  # fmt: skip
    times += [start + k * 33 * MS + shift for k in range(3, 8)]
    reasons = [stream(time, k * 33 * MS + S) for k, time in enumerate(times)]
    assert reasons == [None] * 3 + [Reason.TIME] + [None] * 4


def test_a_live_frame_needs_a_time_stamp() -> None:
    """A frame that names a clock and gives no time is E_TIME; without a clock none is asked for."""
    assert Stream(clock=Clock.HOST)(None, 0) is Reason.TIME
    assert Stream(clock=Clock.NONE)(None, 0) is None


def test_arrivals_from_the_future_are_refused() -> None:
    """An arrival time that the monotonic clock has not reached is no arrival time."""
    assert Stream()(0, 2 * S, now_ns=1 * S) is Reason.TIME


def test_frozen_frames_are_stale_by_the_third() -> None:
    """The same bytes with new time stamps: two may be chance, the third is E_STALE until the picture moves."""
    stream = Stream()
    reasons = [stream(k * 33 * MS, k * 33 * MS, frame=FRAMES[0]) for k in range(5)]
    assert reasons == [None, None, Reason.STALE, Reason.STALE, Reason.STALE]
    assert stream(5 * 33 * MS, 5 * 33 * MS, frame=FRAMES[1]) is None


@pytest.mark.parametrize("image", ["color", "depth"])
def test_one_frozen_image_beside_a_live_one_is_another_picture(image: str) -> None:
    """Identity is of the whole frame: one changed modality makes a new frame."""
    stream = Stream()
    for k in range(4):
        frame = replace(FRAMES[0], **{image: getattr(FRAMES[k], image)})
        assert stream(k * 33 * MS, k * 33 * MS, frame=frame) is None


def test_pictures_of_a_folder_may_repeat() -> None:
    """Files have no clock, so identical files are no frozen camera."""
    stream = Stream(clock=Clock.NONE)
    assert [stream(None, k, frame=FRAMES[0]) for k in range(5)] == [None] * 5


def test_a_change_of_form_costs_one_frame() -> None:
    """Another depth type or scale in the stream is E_FORMAT once, and then the stream's own form."""
    stream = Stream()
    metres = plate_frame(metres=True, size=(48, 64))
    frames = [FRAMES[0], FRAMES[1], metres, replace(metres, color=FRAMES[2].color)]
    reasons = [stream(k * 33 * MS, k * 33 * MS, frame=frame) for k, frame in enumerate(frames)]
    assert reasons == [None, None, Reason.FORMAT, None]


@pytest.mark.parametrize("pace", [0.1, 10.0])
def test_a_recording_may_be_played_at_any_pace(pace: float) -> None:
    """Parts that came every two seconds, replayed slowly or in no time: fresh, but for a repeated stamp."""
    stream = Stream()
    recorded = [replace(frame, recorded=True) for frame in FRAMES]
    for k in range(8):
        assert stream(2 * k * S, int(2 * k * S / pace), frame=recorded[k % 4]) is None
    assert stream(14 * S, int(16 * S / pace), frame=recorded[0]) is Reason.TIME


def test_streams_do_not_disturb_each_other() -> None:
    """Two cameras on one inspector are followed apart: the clocks of one say nothing of the other."""
    stream = Stream()
    for k in range(4):
        assert stream(k * 33 * MS + S, k * 33 * MS, source="left") is None
        assert stream(k * 33 * MS, k * 33 * MS, source="right") is None


def test_a_source_that_is_opened_again_starts_anew() -> None:
    """A recording that is played twice begins at its first time stamp again, which is no jump."""
    stream = Stream()
    for _ in range(2):
        for k in range(4):
            assert stream(k * 33 * MS, k * 33 * MS, index=k) is None


@settings(max_examples=30)
@given(rows=st.integers(1, 200), cols=st.integers(1, 50), count=st.integers(1, 40))
def test_sampled_rows_spread_over_the_image(rows: int, cols: int, count: int) -> None:
    """Between 1 and about twice `count` rows, contiguous, each one a row of the image, none far from another."""
    image = np.arange(rows * cols, dtype=np.int64).reshape(rows, cols)
    sample = sample_rows(image, count=count)
    taken = sample[:, 0] // cols
    assert sample.flags.c_contiguous and 1 <= len(taken) <= max(rows, 1)
    assert np.array_equal(sample, image[taken])
    assert taken[0] <= rows / 2 and len(taken) <= 2 * count + 1
