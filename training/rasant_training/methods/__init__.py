# SPDX-License-Identifier: Apache-2.0
"""The trainable methods by name, each a package with the names of `rasant_training.method.Method`."""

from __future__ import annotations

__all__ = ["METHODS"]

METHODS: dict[str, str] = {
    "das3d": "rasant_training.methods.das3d",
    "dbrn": "rasant_training.methods.dbrn",
    "draem": "rasant_training.methods.draem",
    "easynet": "rasant_training.methods.easynet",
}
