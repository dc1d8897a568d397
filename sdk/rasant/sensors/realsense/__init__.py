# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras and their recordings. What is known of the vendor's library stands in `device.py` and `filters.py`.

`realsense:[SERIAL | FILE.bag | FILE.db3][?option=value&...]`; the options are those of `RealSenseSource.open`.
"""

from __future__ import annotations

from rasant.sensors.realsense.device import probe
from rasant.sensors.realsense.source import RealSenseSource

__all__ = ["RealSenseSource", "probe"]
