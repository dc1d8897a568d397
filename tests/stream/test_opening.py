# SPDX-License-Identifier: Apache-2.0
"""Live cameras are read through a pump, in a process of their own where that is asked; files are read as they are."""

from __future__ import annotations

import pytest

from live_cameras import by_uri, whole
from rasant.sensors import Source
from rasant.sensors.synthetic import SyntheticSource
from rasant.stream import ProcessSource, Pump, open_stream


@pytest.mark.parametrize(("isolate", "kind"), [(False, SyntheticSource), (True, ProcessSource)])
def test_files_need_no_pump(isolate: bool, kind: type[Source]) -> None:
    """A finite source waits for its reader and loses nothing, here or in a process of its own."""
    with open_stream("synthetic:plate?size=64&frames=2", isolate=isolate) as source:
        assert isinstance(source, kind) and len(list(source)) == 2


@pytest.mark.parametrize("isolate", [False, True])
def test_a_live_camera_gets_a_pump(monkeypatch: pytest.MonkeyPatch, isolate: bool) -> None:
    """Whole frames come through, by the policy that was asked for; isolated, another process holds the camera."""
    monkeypatch.setattr("rasant.stream.opening.open_source", by_uri)
    with open_stream("fake:0.002", policy="block", capacity=3, isolate=isolate) as pump:
        assert isinstance(pump, Pump) and isinstance(pump._source, ProcessSource) is isolate
        assert [whole(pump.read(20)) for _ in range(4)] == [0, 1, 2, 3]
