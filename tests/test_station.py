# SPDX-License-Identifier: Apache-2.0
"""The station file: what it changes, in TOML, JSON and keywords alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rasant.errors import ConfigError
from rasant.station import Station, read_station, station_from
from rasant.verdict import Limits

TOML = """
source = "folder:captures"
threshold = 0.61
roi = [4, 3, 40, 30]
ignore_mask = "clamp.png"

[validity]
min_valid_depth = 0.8
depth_range_m = [0.40, 0.55]
max_age_ms = false
deadline_ms = 150

[validity.exposure]
min_mean = 20
"""
AS_JSON = {
    "source": "folder:captures", "threshold": 0.61, "roi": [4, 3, 40, 30], "ignore_mask": "clamp.png",
    "validity": {
        "min_valid_depth": 0.8, "depth_range_m": [0.40, 0.55], "max_age_ms": False, "deadline_ms": 150,
        "exposure": {"min_mean": 20},
    },
}  # fmt: skip


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """Both notations give the same station; a mask is looked up beside the file."""
    (tmp_path / "s.toml").write_text(TOML)
    (tmp_path / "s.json").write_text(json.dumps(AS_JSON))
    station = read_station(tmp_path / "s.toml")
    assert station == read_station(tmp_path / "s.json")
    assert station.ignore_mask == str(tmp_path / "clamp.png")
    assert station.roi == (4, 3, 40, 30)


def test_stated_limits_replace_the_bundles(tmp_path: Path) -> None:
    """What the file states wins, false switches off, the rest stays."""
    (tmp_path / "s.toml").write_text(TOML)
    limits = read_station(tmp_path / "s.toml").limits(Limits(max_age_ms=100.0, min_std=3.0))
    assert limits == Limits(
        min_valid_depth=0.8, depth_range_m=(0.40, 0.55), max_age_ms=None, deadline_ms=150.0, min_mean=20.0, min_std=3.0
    )


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """No key is required."""
    (tmp_path / "s.toml").write_text("")
    assert read_station(tmp_path / "s.toml") == Station()
    assert Station().limits(Limits()) == Limits()


def test_limits_that_contradict_the_bundles_are_refused() -> None:
    """A darkest level above the bundle's brightest makes no sense together."""
    with pytest.raises(ConfigError, match="min_mean < max_mean"):
        station_from({"min_mean": 240.0}).limits(Limits(max_mean=200.0))


def test_keywords_are_a_flat_station() -> None:
    """Overrides lie over a file, and None switches the limits of time off."""
    base = station_from({"threshold": 0.4, "max_age_ms": 50.0, "min_std": 2.0})
    changed = station_from({"threshold": 0.6, "max_age_ms": None, "roi": (0, 0, 8, 8)}, base)
    assert (changed.threshold, changed.roi) == (0.6, (0, 0, 8, 8))
    assert changed.limits(Limits()) == Limits(max_age_ms=None, min_std=2.0)
