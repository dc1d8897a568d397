# SPDX-License-Identifier: Apache-2.0
"""Damaged, stale and impossible frames: never PASS, always a reason, never an exception, no growing memory."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rasant
from rasant.bundle.manifest import Validity
from rasant.inspector import Inspector
from rasant.types import Clock, Frame, Reason, Verdict
from stub_engine import EASY, StubEngine, stub_inspector, wait_ms
from tiny_bundle import plate_camera, plate_frame, write_tiny_bundle

GOOD = plate_frame()
METRES = plate_frame(metres=True)


def with_depth(change: Callable[[np.ndarray], object], frame: Frame = GOOD) -> Frame:
    """A frame with changed depth."""
    depth = frame.depth.copy()
    change(depth)
    return replace(frame, depth=depth)


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log records: thousands of them would only be formatted."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("value", "step"), [(np.nan, 1), (np.inf, 7), (-np.inf, 7)])
def test_one_bad_value_anywhere_in_the_map_is_unknown(quiet: None, value: float, step: int) -> None:
    """A single NaN in the engine's output yields UNKNOWN, at every one of 4096 positions; so does an infinity."""
    engine = StubEngine()
    inspector = stub_inspector(engine, limits=replace(EASY, depth_range_m=None))
    frame = plate_frame(size=(64, 64))
    assert inspector(frame).verdict is Verdict.PASS
    for position in range(0, 4096, step):
        y, x = divmod(position, 64)
        channel = position % 2
        keep = engine.logits[channel, y, x]
        engine.logits[channel, y, x] = value
        answer = inspector(frame)
        engine.logits[channel, y, x] = keep
        assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.NONFINITE), (y, x)
    assert inspector(frame).verdict is Verdict.PASS


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_value_under_the_ignore_mask_is_unknown_too(value: float) -> None:
    """The mask says where defects do not count; a broken engine counts everywhere."""
    engine = StubEngine()
    mask = np.zeros((64, 64), np.bool_)
    mask[:, :32] = True
    inspector = stub_inspector(engine, ignore=mask)
    engine.logits[1, 5, 5] = value
    assert inspector(GOOD).reason is Reason.NONFINITE


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", [None, (0, 0), (63, 63), (31, 17)])
def test_a_real_runtime_that_gives_bad_values_is_unknown(
    tmp_path: Path, value: float, where: tuple[int, int] | None
) -> None:
    """The same through ONNX Runtime: one bad pixel, or a map of them, is E_NONFINITE, not a maximum without it."""
    path = write_tiny_bundle(tmp_path / "bad.rasant", nonfinite=value, nonfinite_at=where)
    with rasant.load(path, threads=1) as inspector:
        answer = inspector(GOOD)
    assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.NONFINITE)
    assert answer.anomaly_map is None and not answer.regions


@settings(max_examples=60, deadline=None)
@given(y=st.integers(0, 95), x=st.integers(0, 127), value=st.sampled_from([np.nan, 0.0, np.inf]))
def test_one_invalid_depth_pixel_is_counted_and_forgiven(y: int, x: int, value: float) -> None:
    """NaN in the input is an invalid pixel: it lowers the valid ratio by exactly one pixel and decides nothing."""
    full = replace(METRES, depth=np.full((96, 128), 0.5, np.float32))
    depth = full.depth.copy()
    depth[y, x] = value
    answer = stub_inspector()(replace(full, depth=depth))
    assert answer.verdict is Verdict.PASS
    assert answer.valid_depth_ratio == 1.0 - 1.0 / depth.size


@pytest.mark.parametrize("missing", [-1, 0, 1, 2])
@pytest.mark.parametrize("limit_pixels", [6144, 12287, 1])
def test_the_valid_depth_limit_switches_exactly(limit_pixels: int, missing: int) -> None:
    """At the limit a frame is inspected, one valid pixel below it is E_DEPTH_SPARSE."""
    size = 96 * 128
    valid = max(0, limit_pixels - missing)
    depth = np.zeros(size, np.uint16)
    depth[:valid] = 5000
    inspector = stub_inspector(limits=replace(EASY, min_valid_depth=limit_pixels / size))
    answer = inspector(replace(GOOD, depth=depth.reshape(96, 128)))
    expected = Reason.OK if missing <= 0 else Reason.DEPTH_EMPTY if valid <= 0 else Reason.DEPTH_SPARSE
    assert answer.reason is expected
    assert (answer.verdict is Verdict.PASS) == (missing <= 0)


FAULTS: dict[str, tuple[Frame, Reason]] = {
    "depth all zero": (with_depth(lambda d: d.fill(0)), Reason.DEPTH_EMPTY),
    "depth all NaN": (with_depth(lambda d: d.fill(np.nan), METRES), Reason.DEPTH_EMPTY),
    "saturated block": (with_depth(lambda d: d[8:16, 8:16].fill(65535)), Reason.RANGE),
    "one saturated pixel": (with_depth(lambda d: d[8:9, 8:9].fill(65535)), Reason.RANGE),
    "negative depth": (with_depth(lambda d: d[8:10].fill(-0.5), METRES), Reason.RANGE),
    "metres for millimetres": (with_depth(lambda d: d.__imul__(np.float32(1e-3)), METRES), Reason.UNITS),
    "millimetres for metres": (with_depth(lambda d: d.__imul__(np.float32(1e3)), METRES), Reason.UNITS),
    "scale of another camera": (replace(GOOD, depth_scale=1e-1), Reason.UNITS),
    "black": (replace(GOOD, color=np.zeros_like(GOOD.color)), Reason.EXPOSURE),
    "white": (replace(GOOD, color=np.full_like(GOOD.color, 255)), Reason.EXPOSURE),
    "one colour": (replace(GOOD, color=np.full_like(GOOD.color, 90)), Reason.EXPOSURE),
    "no colour": (replace(GOOD, color=None), Reason.COLOR_MISSING),
    "no depth": (replace(GOOD, depth=None), Reason.DEPTH_MISSING),
    "other resolution": (plate_frame(size=(48, 64)), Reason.FORMAT),
    "colour of another size": (replace(GOOD, color=GOOD.color[:-1]), Reason.FORMAT),
    "negative focal length": (replace(GOOD, intrinsics=replace(GOOD.intrinsics, fx=-150.0)), Reason.CALIBRATION),
}


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """A real bundle on a real runtime, bound to the plate's camera."""
    validity = Validity(min_valid_depth=0.5, depth_range_m=(0.2, 2.0), max_age_ms=None)
    folder = tmp_path_factory.mktemp("faults")
    path = write_tiny_bundle(folder / "tiny.rasant", camera=plate_camera(), validity=validity)
    return rasant.load(path, threads=1)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_reason(inspector: Inspector, fault: str) -> None:
    """A damaged frame is UNKNOWN with the reason that names the damage; the next good frame passes."""
    frame, reason = FAULTS[fault]
    answer = inspector(replace(frame, source=fault))
    assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, reason), answer.detail
    assert answer.detail
    assert inspector(replace(GOOD, source=fault + " again")).verdict is Verdict.PASS


def live(index: int, device_ns: int, frame: Frame | None = None) -> Frame:
    """A frame of a live camera that arrives as it is exposed."""
    chosen = frame if frame is not None else plate_frame(index=index % 7)
    return replace(chosen, index=index, clock=Clock.DEVICE, device_time_ns=device_ns, arrival_ns=time.monotonic_ns())


def test_a_frozen_camera_never_passes_three_times() -> None:
    """Identical bytes with new time stamps: E_STALE by the third frame, and the picture that moves passes again."""
    inspector = stub_inspector(limits=replace(EASY, max_age_ms=5000.0))
    answers = [inspector(live(k, k * 10**7, GOOD)) for k in range(6)]
    assert [a.reason for a in answers] == [Reason.OK, Reason.OK, *[Reason.STALE] * 4]
    assert inspector(live(6, 6 * 10**7)).verdict is Verdict.PASS


@pytest.mark.parametrize("step_ns", [0, -1, -(10**9), 3600 * 10**9, -3600 * 10**9])
def test_time_stamps_that_jump_are_never_passed(step_ns: int) -> None:
    """Standing still, running backwards or jumping by an hour is E_TIME on that frame; the stream then goes on."""
    inspector = stub_inspector(limits=replace(EASY, max_age_ms=5000.0))
    base = 10**13
    times = [base, base + 10**7, base + 10**7 + step_ns, base + 2 * 10**7 + step_ns]
    reasons = [inspector(live(k, time)).reason for k, time in enumerate(times)]
    assert reasons == [Reason.OK, Reason.OK, Reason.TIME, Reason.OK]


def test_an_old_frame_never_passes() -> None:
    """Age is counted on the monotonic clock; a frame older than the limit is E_STALE, recorded or live."""
    inspector = stub_inspector(limits=replace(EASY, max_age_ms=100.0))
    old = time.monotonic_ns() - 150 * 10**6
    assert inspector(replace(GOOD, arrival_ns=old)).reason is Reason.STALE
    assert inspector(replace(live(0, 0), arrival_ns=old, source="camera")).reason is Reason.STALE
    assert inspector(replace(GOOD, arrival_ns=time.monotonic_ns(), index=1)).verdict is Verdict.PASS


def test_a_change_of_resolution_is_seen_in_one_frame() -> None:
    """Without a bound camera a new resolution is E_FORMAT once; the new form is then inspected as it is."""
    inspector = stub_inspector()
    sizes = [(96, 128), (96, 128), (48, 64), (48, 64), (96, 128), (96, 128)]
    reasons = [inspector(plate_frame(size=size, index=k)).reason for k, size in enumerate(sizes)]
    assert reasons == [Reason.OK, Reason.OK, Reason.FORMAT, Reason.OK, Reason.FORMAT, Reason.OK]


def test_a_late_verdict_never_passes() -> None:
    """A verdict after the deadline is UNKNOWN, good part or bad."""
    engine = StubEngine(answer=wait_ms(25))
    inspector = stub_inspector(engine, limits=replace(EASY, deadline_ms=10.0))
    assert inspector(GOOD).reason is Reason.DEADLINE
    engine.set_probability(0.99)
    assert inspector(replace(GOOD, index=1)).reason is Reason.DEADLINE


MONSTERS: dict[str, object] = {
    "0 rows": np.empty((0, 128), np.uint16),
    "0 columns": np.empty((96, 0), np.uint16),
    "1x1": np.ones((1, 1), np.uint16),
    "3-D": np.ones((96, 128, 1), np.uint16),
    "5-D": np.ones((1, 1, 96, 128, 1), np.uint16),
    "0-D": np.array(7, np.uint16),
    "big endian": np.ones((96, 128), ">u2"),
    "signed": np.ones((96, 128), np.int16),
    "double": np.ones((96, 128), np.float64),
    "object": np.full((96, 128), None, object),
    "text": np.full((96, 128), "x"),
    "complex": np.ones((96, 128), np.complex64),
    "a list": [[1, 2], [3, 4]],
    "a number": 7,
    "bytes": b"depth",
}


@pytest.mark.parametrize("monster", MONSTERS)
@pytest.mark.parametrize("field", ["color", "depth"])
def test_arrays_of_any_kind_are_answered(inspector: Inspector, field: str, monster: str) -> None:
    """Whatever stands in an image's place, the answer is UNKNOWN with E_FORMAT; nothing is raised, nothing crashes."""
    answer = inspector(replace(GOOD, source=f"{field} {monster}", **{field: MONSTERS[monster]}))
    assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.FORMAT), answer.detail


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 500)])
def test_tiny_frames_are_answered(size: tuple[int, int]) -> None:
    """Frames down to one pixel get a verdict."""
    frame = plate_frame(size=size, center=(50, 50))
    for background in ("none", "plane_ransac", "plane_corners", "bilinear_corners"):
        chosen = stub_inspector().settings.preprocess
        inspector = stub_inspector(preprocess=replace(chosen, background=background))
        assert inspector(frame).verdict in Verdict


@pytest.mark.parametrize(
    "change",
    [{"depth_scale": value} for value in (0.0, -1.0, float("nan"), float("inf"), None, "0.001")]
    + [{"intrinsics": None}, {"arrival_ns": None}, {"clock": None}, {"source": None}, {"index": "7"}],
)
def test_fields_of_any_kind_never_pass(change: dict[str, object]) -> None:
    """Nonsense in any other field is UNKNOWN or, where it means nothing for the verdict, no exception."""
    frame = replace(GOOD, **change)
    if "intrinsics" in change:
        with pytest.raises(rasant.DtypeError):
            stub_inspector()(frame)
        return
    answer = stub_inspector()(frame)
    assert answer.verdict is Verdict.UNKNOWN or set(change) & {"source", "clock", "arrival_ns", "index"}


def test_a_thousand_bad_frames_leave_no_memory_behind(inspector: Inspector) -> None:
    """After 1000 rounds of all faults the process is as large as before."""
    frames = [replace(frame, source="soak") for frame, _ in FAULTS.values()]
    for frame in frames * 10:
        inspector(frame)
    gc.collect()
    before = resident()
    for k in range(1000):
        assert inspector(frames[k % len(frames)]).verdict is Verdict.UNKNOWN
    gc.collect()
    assert resident() <= before * 1.02


def resident() -> int:
    """Resident pages of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1])
