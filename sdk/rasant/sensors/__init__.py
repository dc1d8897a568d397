# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: `open_source(uri)` gives a source, which is a context manager and an iterator of frames."""

from __future__ import annotations

from rasant.sensors.base import Source
from rasant.sensors.uri import open_source

__all__ = ["Source", "open_source"]
