# SPDX-License-Identifier: Apache-2.0
"""A capture process may hang, crash or be killed: frames stay whole, the reader answers in time, nothing leaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from live_cameras import FakeCamera, busy, growing, stubborn, whole
from rasant.errors import ConfigError, EndOfStream, FrameError, SourceBusy, SourceDisconnected, SourceTimeout
from rasant.sensors import open_source
from rasant.stream import ProcessSource, Pump

SHARED = Path("/dev/shm")
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """Whatever a test does, no block of shared memory keeps its name."""
    before = blocks()
    yield
    wait_until(lambda: blocks() <= before)


def blocks() -> set[str]:
    """Names of the shared memory of this machine."""
    return {path.name for path in SHARED.glob("psm_*")}


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def exists(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_frames_of_a_process_are_those_of_the_source() -> None:
    """Images, numbers, times, damaged frames and the end come through as without a process; drops too."""
    opens = partial(FakeCamera, frames=6, lost=frozenset({2}), faults={3: "torn"})
    with ProcessSource(opens) as source:
        assert (source.uri, source.serial, source.live, source.intrinsics.width) == ("fake:A", "A", True, 32)
        frames = [source.read(5), source.read(5)]
        with pytest.raises(FrameError, match="half of the rows") as caught:
            source.read(5)
        assert caught.value.index == 2
        frames += [source.read(5), source.read(5)]
        assert [whole(frame) for frame in frames] == [0, 1, 4, 5]
        assert [frame.index for frame in frames] == [0, 1, 3, 4]
        assert source.stats() == frames[-1].drops and source.stats().device == 2 and source.stats().damaged == 1
        with pytest.raises(EndOfStream):
            source.read(5)


def test_a_data_set_reads_the_same_in_a_process() -> None:
    """Any source may be isolated: pixels, labels and masks are equal in every bit."""
    uri = "synthetic:plate?size=64&frames=3"
    with open_source(uri) as plain, ProcessSource(partial(open_source, uri)) as isolated:
        assert isolated.frame_count == 3 and not isolated.live
        for expected, found in zip(plain, isolated, strict=True):
            np.testing.assert_array_equal(found.color, expected.color)
            np.testing.assert_array_equal(found.depth, expected.depth)
            assert found.sample is not None and expected.sample is not None
            np.testing.assert_array_equal(found.sample.truth, expected.sample.truth)


def test_a_triggered_camera_is_triggered_and_set_while_someone_waits() -> None:
    """Silence is SourceTimeout in time; trigger and settings reach the device; wrong ones come back as errors."""
    with Pump(partial(ProcessSource, partial(FakeCamera, period_s=0.0))) as pump:
        start = time.monotonic()
        with pytest.raises(SourceTimeout):
            pump.read(0.1)
        assert time.monotonic() - start < 2.0
        pump.trigger()
        assert whole(pump.read(5)) == 0
        pump.set_option("gain", 2.0)
        assert pump.options()["gain"].value == 2.0
        with pytest.raises(ConfigError, match="no setting"):
            pump.set_option("colour", 2.0)
        assert pump.reconnects == 0


@pytest.mark.parametrize("fault", ["hang", "hang-locked", "crash"])
def test_a_process_that_hangs_or_dies_is_replaced(tmp_path: Path, fault: str) -> None:
    """A driver call that never returns, also one that holds the interpreter's lock, is killed and another one started;
    no frame is torn. (The rule is killed within 2 s and back within 10 s; a busy machine gets twice that here.)"""
    opens = partial(FakeCamera, faults={3: fault}, once=str(tmp_path / "once"))
    with Pump(partial(ProcessSource, opens), policy="block", pauses_s=(0.05, 0.1)) as pump:
        source = pump._source
        assert isinstance(source, ProcessSource) and source.pid is not None
        old = source.pid
        assert [whole(pump.read(5)) for _ in range(3)] == [0, 1, 2]
        start = time.monotonic()
        wait_until(lambda: not exists(old), 4.0)
        killed = time.monotonic() - start
        assert whole(pump.read(20)) == 0
        print(f"{fault}: ended after {killed:.2f} s, the next frame after {time.monotonic() - start:.2f} s")
        assert pump.reconnects == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_stopped_any_time_leaves_no_torn_frame(number: int) -> None:
    """The child is killed (or frozen) at moments of no pattern: every frame that is delivered is whole."""
    opens = partial(FakeCamera, period_s=0.0005, size=(240, 320))
    patient = partial(ProcessSource, opens, patience_s=0.3)
    with Pump(patient, policy="latest", pauses_s=(0.01, 0.02)) as pump:
        for wait in (0.011, 0.037):
            seen = pump.reconnects
            whole(pump.read(10))
            time.sleep(wait)
            source = pump._source
            assert isinstance(source, ProcessSource) and source.pid is not None
            os.kill(source.pid, number)
            while pump.reconnects == seen:
                try:
                    whole(pump.read(0.5))
                except (SourceTimeout, SourceDisconnected):
                    continue
            for _ in range(5):
                whole(pump.read(10))


def test_errors_of_opening_keep_their_class() -> None:
    """What the source raises when it is opened is raised here; one that hangs there is killed."""
    with pytest.raises(SourceBusy, match="held by process 1"):
        ProcessSource(busy)
    start = time.monotonic()
    with pytest.raises(SourceDisconnected, match="opening the source took longer"):
        ProcessSource(stubborn, open_s=3.0)
    assert time.monotonic() - start < 8.0


def test_frames_may_grow() -> None:
    """A larger frame gets a larger block; both are right and no name is left behind."""
    with ProcessSource(growing) as source:
        sizes = [source.read(5) for _ in range(2)]
        assert [whole(frame) for frame in sizes] == [0, 1]
        assert [frame.size for frame in sizes] == [(24, 32), (120, 160)]


PARENT = """
import sys, time
from functools import partial
sys.path.insert(0, {tests!r})
from live_cameras import FakeCamera
from rasant.stream import ProcessSource

if __name__ == "__main__":
    source = ProcessSource(partial(FakeCamera, faults={{5: {fault!r}}}))
    for _ in range(3):
        source.read(5)
    print(source.pid, flush=True)
    time.sleep(1000)
"""


def test_a_killed_parent_takes_its_process_and_memory_along(tmp_path: Path) -> None:
    """SIGKILL of the program that inspects: its capture process ends too, and no shared memory keeps a name."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(tests=str(TESTS), fault=""))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert exists(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not exists(child), 5.0)
