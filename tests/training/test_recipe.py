# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rasant.errors import ConfigError
from rasant_training.recipe import (
    apply_changes,
    as_dict,
    as_toml,
    from_dict,
    parse_settings,
    read_toml,
)
from training.tiny_method import PRESETS

PRESET = PRESETS["test"]


def test_a_recipe_survives_toml_and_json(tmp_path: Path) -> None:
    """What a run writes as recipe.toml, given back with --recipe, trains the same; JSON keeps it exactly."""
    changed = apply_changes(PRESET, {"loop": {"ema": 0.5}, "settings": {"width": 7}, "modalities": "rgb"}, "test")
    path = tmp_path / "recipe.toml"
    path.write_text(as_toml(changed))
    assert apply_changes(PRESET, read_toml(path), str(path)) == changed
    assert from_dict(json.loads(json.dumps(as_dict(changed))), PRESET) == changed


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"lop": {}}, "unknown key lop; did you mean loop"),
        ({"loop": {"stepz": 3}}, "unknown key loop.stepz; did you mean steps"),
        ({"settings": {"colour": 3}}, "unknown key settings.colour; known keys: normalised, width"),
        ({"preprocess": {"modalities": "rgb"}}, "unknown key preprocess.modalities"),
        ({"loop": 3}, "loop is a table"),
        ({"loop": {"steps": "3"}}, "loop.steps"),
        ({"loop": {"steps": 3.5}}, "loop.steps"),
        ({"loop": {"steps": -1}}, "loop.steps"),
        ({"loop": {"precision": "8"}}, "loop.precision"),
        ({"settings": {"width": True}}, "settings.width"),
        ({"optimizer": {"learning_rate": 0.0}}, "optimizer.learning_rate"),
        ({"data": {"height_percentiles": [1.0]}}, "data.height_percentiles"),
        ({"data": {"height_percentiles": [9.0, 1.0]}}, "height_percentiles must rise"),
        ({"data": {"batch": 3}, "loop": {"devices": 2}}, "use a multiple of 2"),
        ({"loop": {"steps": 0}}, "set one of them"),
        ({"preprocess": {"depth_low": 1.0}}, "depth_low"),
        ({"method": "other"}, "method is 'other'"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_its_place(changes: dict[str, object], place: str) -> None:
    """An unknown key, a wrong type or a value out of range never passes silently, and the error names the place."""
    with pytest.raises(ConfigError, match=place):
        apply_changes(PRESET, changes, "test.toml")


def test_settings_of_the_command_line_are_toml_or_text() -> None:
    """--set takes numbers, booleans, lists and plain words, at any depth."""
    words = ["loop.steps=3", "optimizer.betas=[0.8, 0.9]", "settings.normalised=false", "modalities=rgb"]
    assert parse_settings(words) == {
        "loop": {"steps": 3},
        "optimizer": {"betas": [0.8, 0.9]},
        "settings": {"normalised": False},
        "modalities": "rgb",
    }
    assert apply_changes(PRESET, parse_settings(words), "--set").optimizer.betas == (0.8, 0.9)
    with pytest.raises(ConfigError, match="key=value"):
        parse_settings(["loop.steps"])


def test_a_missing_or_damaged_recipe_file_is_named(tmp_path: Path) -> None:
    """A recipe file that cannot be read is a configuration error, not a traceback."""
    with pytest.raises(ConfigError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(ConfigError, match="not TOML"):
        read_toml(broken)


def test_modalities_reach_the_preprocessing() -> None:
    """The network's inputs and the preprocessing can not disagree."""
    recipe = replace(PRESET, modalities="depth")
    assert recipe.preprocess.modalities == "depth"
    assert recipe.inputs == ("depth",)
