# SPDX-License-Identifier: Apache-2.0
"""Structured light: a projector throws patterns, a camera beside it takes one picture of each, and depth follows.

`patterns.py` makes the pictures, `decoder.py` turns captures into depth, `recorded.py` reads them from folders
(`graycode:`), `scanner.py` takes them (`scanner:`) with what `projector.py` drives.
"""

from __future__ import annotations

from rasant.sensors.structured_light.decoder import Scan, ScanDecoder, ScanLimits
from rasant.sensors.structured_light.patterns import PatternSequence, read_sequence, write_sequence
from rasant.sensors.structured_light.recorded import GraycodeSource
from rasant.sensors.structured_light.scanner import ScannerSource

__all__ = [
    "GraycodeSource", "PatternSequence", "Scan", "ScanDecoder", "ScanLimits", "ScannerSource", "read_sequence",
    "write_sequence",
]  # fmt: skip
