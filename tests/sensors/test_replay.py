# SPDX-License-Identifier: Apache-2.0
"""`replay:` keeps the pace it is told and numbers its own frames."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from rasant.errors import ConfigError, SourceTimeout
from rasant.recording.mcap_writer import RecordingWriter
from rasant.sensors import open_source


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic frames at 10 frames a second."""
    path = tmp_path_factory.mktemp("r") / "r.mcap"
    with open_source("synthetic:plate?size=64&frames=4") as source, RecordingWriter(path, fps=10) as writer:
        for frame in source:
            writer.write(frame)
    return path


def test_replay_gives_what_the_source_gave(recording: Path) -> None:
    """A recorded synthetic source replays to the same pixels, labels, masks and names; a bare path is enough."""
    with open_source("synthetic:plate?size=64&frames=4") as source, open_source(str(recording)) as replay:
        assert replay.frame_count == 4 and replay.intrinsics == source.intrinsics
        for found, expected in zip(replay, source, strict=True):
            np.testing.assert_array_equal(found.color, expected.color)
            np.testing.assert_array_equal(found.depth, expected.depth)
            assert found.index == expected.index and found.name == expected.name
            assert found.sample is not None and expected.sample is not None
            assert found.sample.label == expected.sample.label
            np.testing.assert_array_equal(found.sample.truth, expected.sample.truth)


def test_recorded_pace_waits_and_speed_divides_it(recording: Path) -> None:
    """Four frames 100 ms apart take at least 300 ms as recorded, 30 ms at ten times the speed; asap does not wait."""
    for query, low in (("?pace=recorded", 0.3), ("?pace=recorded&speed=10", 0.03)):
        with open_source(f"replay:{recording}{query}") as source:
            start = time.monotonic()
            arrivals = [frame.arrival_ns for frame in source]
            assert time.monotonic() - start >= low
        assert (np.diff(arrivals) > 0).all()
    with open_source(f"replay:{recording}") as source:
        start = time.process_time()
        assert len(list(source)) == 4
        assert time.process_time() - start < 0.3


def test_a_frame_not_yet_due_is_a_timeout_and_not_lost(recording: Path) -> None:
    """read() with a shorter timeout than the wait raises SourceTimeout after that time; the frame comes next."""
    with open_source(f"replay:{recording}?pace=recorded") as source:
        assert source.read().index == 0
        start = time.monotonic()
        with pytest.raises(SourceTimeout, match=r"within 0.02 s"):
            source.read(timeout_s=0.02)
        assert time.monotonic() - start >= 0.02
        assert source.read(timeout_s=5).index == 1
        assert source.stats().total == 0


@pytest.mark.parametrize("query", ["?pace=slow", "?speed=0", "?speed=nan", "?speed=-1"])
def test_wrong_options_are_refused(recording: Path, query: str) -> None:
    """An unknown pace and a speed that is not positive raise ConfigError."""
    with pytest.raises(ConfigError, match=r"pace|speed"):
        open_source(f"replay:{recording}{query}")
