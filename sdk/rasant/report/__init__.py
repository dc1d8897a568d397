# SPDX-License-Identifier: Apache-2.0
"""Self-contained HTML reports: pictures and curves inside the page, no scripts, no network."""

from __future__ import annotations

from rasant.report.page import heat_top, render, write_report
from rasant.report.pictures import PictureBook, overlay_strip

__all__ = ["PictureBook", "heat_top", "overlay_strip", "render", "write_report"]
