# SPDX-License-Identifier: Apache-2.0
"""Bundles (`.rasant`): one zip that holds a trained detector and everything needed to run and to trust it.

No pickle.
"""

from __future__ import annotations

from rasant.bundle.manifest import Manifest
from rasant.bundle.reader import Bundle, read_bundle
from rasant.bundle.writer import write_bundle

__all__ = ["Bundle", "Manifest", "read_bundle", "write_bundle"]
