# SPDX-License-Identifier: Apache-2.0
"""Frames from a camera that must never hold up the machine: `Pump` reads in a thread, `ProcessSource` in a process.

    with open_stream("realsense:", policy="latest", isolate=True) as source:
        frame = source.read(timeout_s=0.5)
"""

from __future__ import annotations

from rasant.stream.opening import open_stream
from rasant.stream.process import ProcessSource
from rasant.stream.pump import POLICIES, Pump

__all__ = ["POLICIES", "ProcessSource", "Pump", "open_stream"]
