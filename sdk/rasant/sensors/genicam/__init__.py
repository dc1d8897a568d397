# SPDX-License-Identifier: Apache-2.0
"""GenICam 3-D cameras of any maker. What is known of GenTL and its Python library stands in `producer.py`.

`genicam:[SERIAL | ID | NAME][?option=value&...]`; the options are those of `GenICamSource.open`.
"""

from __future__ import annotations

from rasant.sensors.genicam.producer import probe
from rasant.sensors.genicam.source import GenICamSource

__all__ = ["GenICamSource", "probe"]
