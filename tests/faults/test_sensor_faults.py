# SPDX-License-Identifier: Apache-2.0
"""Cameras that lie, tear, stall, vanish or come back as another: never PASS, always a reason, in time.

Depth that lies off colour (F13) and grows noisy (F14) are seen by `tests/calibration/test_drift_check.py`; drivers that
hang (S2) and processes that die half-way (F15) by `tests/stream/test_process.py`; two programs at one camera (S7) by
`tests/sensors/test_realsense.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from live_cameras import PLANS, FakeCamera, whole
from rasant.errors import ConfigError, SourceDisconnected, SourceTimeout
from rasant.inspect_command import inspect
from rasant.inspector import Inspector
from rasant.sensors.uri import SCHEMES
from rasant.station import station_from
from rasant.stream import Pump
from rasant.types import Clock, Frame, Reason, Verdict
from rasant.verdict import Patch
from stub_engine import EASY, stub_inspector
from tiny_bundle import plate_frame, write_tiny_bundle

PERIOD_NS = 33_333_333
FAST = (0.001, 0.004)


def live(number: int, **changes: object) -> Frame:
    """Frame `number` of a camera at 30 frames a second, with new noise in it."""
    frame = plate_frame(index=number)
    timed = replace(
        frame, index=number, clock=Clock.DEVICE, device_time_ns=number * PERIOD_NS, arrival_ns=time.monotonic_ns(),
        period_ns=PERIOD_NS, skew_ns=1_000_000, serial="A", settings="s",
    )  # fmt: skip
    return replace(timed, **changes)  # type: ignore[arg-type]


def reasons(inspector: Inspector, *frames: Frame) -> list[Reason]:
    """What becomes of frames in a row; only OK is a PASS."""
    answers = [inspector(frame) for frame in frames]
    assert all((answer.verdict is Verdict.PASS) == (answer.reason is Reason.OK) for answer in answers)
    return [answer.reason for answer in answers]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("period_ns", [PERIOD_NS, 11_111_111, 166_666_666, None])
def test_f9_colour_and_depth_of_different_moments_are_refused(period_ns: int | None, sign: int) -> None:
    """A skew of half a frame period is the last that passes, whatever the rate; without a rate 30 a second is taken."""
    limit = int(0.5 * (period_ns or PERIOD_NS))
    skews = [0, sign * limit, sign * (limit + 1), sign * 10 * limit, 0]
    frames = [live(k, skew_ns=skew, period_ns=period_ns) for k, skew in enumerate(skews)]
    assert reasons(stub_inspector(), *frames) == [Reason.OK, Reason.OK, Reason.PAIR, Reason.PAIR, Reason.OK]


def test_f9_a_station_may_state_another_limit() -> None:
    """max_skew is in frame periods; False (None) switches it off, and what is no positive number is refused."""
    far = live(0, skew_ns=3 * PERIOD_NS)
    for limit, reason in ((2.0, Reason.PAIR), (4.0, Reason.OK), (None, Reason.OK)):
        limits = station_from({"max_skew": limit}).limits(EASY)
        assert reasons(stub_inspector(limits=limits), far) == [reason]
    for wrong in (0.0, -1.0, float("nan"), float("inf"), True):
        with pytest.raises(ConfigError):
            station_from({"max_skew": wrong}).limits(EASY)


def test_f10_colour_of_one_part_with_depth_of_the_next_is_refused() -> None:
    """Frame numbers that the device gave both images decide, also where times agree."""
    frames = [live(0, pair=(7, 7)), live(1, pair=(8, 9)), live(2, pair=(9, 8)), live(3, pair=(10, 10))]
    assert reasons(stub_inspector(), *frames) == [Reason.OK, Reason.PAIR, Reason.PAIR, Reason.OK]


CHANGES: dict[str, Callable[[int], Frame]] = {
    "resolution": lambda k: replace(plate_frame(size=(48, 64), index=k), **_times(k)),
    "rate": lambda k: live(k, period_ns=PERIOD_NS // 2, skew_ns=0),
    "depth type": lambda k: replace(plate_frame(index=k, metres=True), **_times(k)),
    "settings": lambda k: live(k, settings="other"),
    "serial": lambda k: live(k, serial="B"),
}


def _times(number: int) -> dict[str, object]:
    names = ("index", "clock", "device_time_ns", "arrival_ns", "period_ns", "skew_ns", "serial", "settings")
    frame = live(number)
    return {name: getattr(frame, name) for name in names}


@pytest.mark.parametrize("change", CHANGES)
def test_f11_a_change_in_the_stream_is_seen_in_one_frame(change: str) -> None:
    """Resolution, rate, type, settings or camera: E_FORMAT on the first frame of the new form."""
    other = CHANGES[change]
    frames = [live(0), live(1), other(2), other(3), live(4), live(5)]
    expected = [Reason.OK, Reason.OK, Reason.FORMAT, Reason.OK, Reason.FORMAT, Reason.OK]
    assert reasons(stub_inspector(), *frames) == expected


PATCH = Patch((8, 8, 24, 24), (140.0, 150.0, 160.0), tolerance=6.0, depth_m=0.5)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda f: f, Reason.OK),
    (lambda f: replace(f, color=np.ascontiguousarray(f.color[..., ::-1])), Reason.FORMAT),
    (lambda f: replace(f, depth=f.depth.byteswap()), Reason.FORMAT),
    (lambda f: replace(f, color=f.color // 2), Reason.EXPOSURE),
    (lambda f: replace(f, depth=(f.depth * 1.2).astype(np.uint16)), Reason.UNITS),
    (lambda f: replace(f, depth=np.where(np.arange(96)[:, None] < 40, 0, f.depth).astype(np.uint16)), Reason.UNITS),
])  # fmt: skip
def test_f12_swapped_channels_and_bytes_are_seen_by_the_patch(change: Callable[[Frame], Frame], reason: Reason) -> None:
    """A place whose colour and depth are known tells swapped channels, swapped bytes, other light and other units."""
    limits = replace(EASY, depth_range_m=None)
    answer = stub_inspector(patch=PATCH, limits=limits)(change(live(0)))
    assert answer.reason is reason, answer.detail
    assert "swapped" in answer.detail or reason is not Reason.FORMAT


def test_f12_the_patch_of_a_station_file_must_lie_in_the_picture(tmp_path: Path) -> None:
    """[patch] is read from the station file, and refused outside the camera's picture."""
    import rasant
    from tiny_bundle import plate_camera

    bundle, station = write_tiny_bundle(tmp_path / "b.rasant", camera=plate_camera()), tmp_path / "station.toml"
    text = "[patch]\nbox = [{}, 8, 24, 24]\ncolor = [140, 150, 160]\ndepth_m = 0.5\n"
    station.write_text(text.format(8))
    with rasant.load(bundle, "onnxruntime", station=station, threads=1) as inspector:
        assert inspector.settings.patch == replace(PATCH, tolerance=25.0)
        swapped = replace(live(0), color=np.ascontiguousarray(live(0).color[..., ::-1]) // 2)
        assert inspector(swapped).verdict is Verdict.UNKNOWN
    station.write_text(text.format(120))
    with pytest.raises(ConfigError, match="inside the camera's 128x96"):
        rasant.load(bundle, "onnxruntime", station=station)


@pytest.mark.parametrize("where", [slice(48, None), slice(None, 48), slice(24, 72), slice(80, None)])
def test_f15_rows_of_the_frame_before_are_seen(where: slice) -> None:
    """A buffer filled in part, the rest still the last picture, to the byte: E_FRAME; the next frame passes."""
    first, torn = live(0), live(1)
    assert torn.color is not None and first.color is not None
    torn.color[where] = first.color[where]
    assert reasons(stub_inspector(), first, torn, live(2)) == [Reason.OK, Reason.FRAME, Reason.OK]


def test_f15_still_scenes_and_saturated_rows_are_no_torn_frames() -> None:
    """Black and white rows may repeat, since they carry no noise; and files may repeat anything."""
    frames = [live(k) for k in range(3)]
    for frame in frames:
        assert frame.color is not None
        frame.color[:40], frame.color[80:] = 0, 255
    assert reasons(stub_inspector(), *frames) == [Reason.OK] * 3
    torn = plate_frame(index=1)
    assert torn.color is not None
    torn.color[48:] = plate_frame(index=0).color[48:]  # type: ignore[index]
    assert reasons(stub_inspector(), plate_frame(index=0), replace(torn, index=1)) == [Reason.OK] * 2


def test_s1_silence_is_told_when_the_time_is_over_and_attempts_have_their_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No frame for T is SourceTimeout at T; a lost camera is tried after 0.5, 1, 2, 4, 8 and every further 8 s."""
    with Pump(lambda: FakeCamera(period_s=0)) as pump:
        for wait in (0.03, 0.1):
            start = time.monotonic()
            with pytest.raises(SourceTimeout):
                pump.read(wait)
            assert wait <= time.monotonic() - start < wait + 1.0
    attempts: list[int] = []

    def opens() -> FakeCamera:
        attempts.append(1)
        if 1 < len(attempts) < 8:
            raise SourceDisconnected("away")
        return FakeCamera(faults={1: "unplug"} if len(attempts) == 1 else {})

    pump = Pump(opens)
    pauses: list[float] = []
    monkeypatch.setattr(pump._changed, "wait_for", lambda true, timeout=None: pauses.append(timeout))
    pump._reopen()
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0] and pump.reconnects == 1
    monkeypatch.undo()
    pump.close()


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("bits", [8, 64])
def test_s5_random_losses_are_counted_to_the_frame(share: float, bits: int) -> None:
    """1, 5 and 20 % lost at random: the counter is exact at every frame, over its wrap too, and no image is mixed."""
    random = np.random.default_rng(int(100 * share))
    lost = frozenset(int(k) for k in range(1, 599) if random.random() < share)
    with Pump(partial(FakeCamera, period_s=0.0001, frames=600, lost=lost, bits=bits), policy="block") as pump:
        for frame in pump:
            number = whole(frame)
            assert number not in lost and frame.drops.device == sum(k < number for k in lost)
        assert pump.stats().device == pump.stats().total == len(lost) > 0


def test_s6_a_burst_takes_no_memory() -> None:
    """Two thousand frames that nobody fetches: the queue holds what it may, memory stays where it was."""
    camera = FakeCamera(period_s=0.00002, frames=2000, size=(120, 160))
    with Pump(lambda: camera, policy="drop_oldest", capacity=8) as pump:
        pump.read(5)
        before = _resident()
        while not camera.stopped:
            time.sleep(0.01)
        assert _resident() - before < 8 << 20  # all frames together are 190 MB
        left = [whole(frame) for frame in pump]
        assert left == list(range(1992, 2000)) and 1 + len(left) + pump.stats().queue == 2000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> Iterator[Callable[..., list[dict[str, object]]]]:
    """`rasant inspect` on a plan of fake cameras; gives its lines."""
    monkeypatch.setitem(SCHEMES, "fake", "live_cameras:FakeCamera")
    app = typer.Typer()
    app.command()(inspect)

    def run(*arguments: str) -> list[dict[str, object]]:
        done = CliRunner().invoke(app, [str(tiny_bundle), "fake:plan", "--json", *arguments])
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    yield run
    PLANS.clear()


def test_s1_s3_s4_the_command_survives_its_camera(command: Callable[..., list[dict[str, object]]]) -> None:
    """Silent, gone, replaced by another and back: each is a line with its reason, and inspection goes on."""
    away: list[object] = [
        FakeCamera("A", faults={1: "unplug"}), SourceDisconnected("no such device"), FakeCamera("B"), FakeCamera("A"),
    ]  # fmt: skip
    PLANS["plan"] = lambda: away.pop(0)
    lines = command("--frames", "12", "--timeout", "0.4")
    found = [line["reason"] for line in lines]
    assert found[0] == "E_EXPOSURE" == found[-1]  # a frame of one colour: what the fake camera gives
    assert {"E_DISCONNECTED", "E_SERIAL"} <= set(found) and "OK" not in found
    assert [line["verdict"] for line in lines] == ["UNKNOWN"] * 12


def test_s1_a_silent_camera_is_a_line_each_time(command: Callable[..., list[dict[str, object]]]) -> None:
    """E_TIMEOUT for every wait in vain, numbered as the frame that did not come."""
    PLANS["plan"] = lambda: FakeCamera("A", period_s=0)
    lines = command("--frames", "3", "--timeout", "0.05")
    assert [(line["reason"], line["frame"]) for line in lines] == [("E_TIMEOUT", 0)] * 3
