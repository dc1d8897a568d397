# SPDX-License-Identifier: Apache-2.0
"""`rasant patterns` writes pictures that `graycode:` and a projector agree on, or says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rasant.errors import ConfigError
from rasant.sensors.structured_light import read_sequence
from rasant.sensors.structured_light.commands import patterns


def _run(*arguments: str) -> object:
    app = typer.Typer()
    app.command()(patterns)
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def test_writes_pictures_and_their_order(tmp_path: Path) -> None:
    """As many PNG files as it says, and a sequence file that reads back as asked."""
    out = tmp_path / "patterns"
    result = _run("--width", "64", "--height", "48", "--axes", "columns,rows", "--steps", "4", "--json", str(out))
    answer = json.loads(result.stdout)
    sequence = read_sequence(out / "patterns.json")
    assert result.exit_code == 0 and answer["pictures"] == len(sequence) == len(list(out.glob("*.png"))) == 32
    assert sequence.axes == ("columns", "rows") and sequence.steps == 4
    again = _run("--width", "64", "--height", "48", str(out))
    assert isinstance(again.exception, ConfigError) and "exists" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--axes", "diagonal"], "axes"), (["--steps", "2"], "steps"), (["--stripe", "9", "--steps", "4"], "too wide")],
)
def test_says_what_is_wrong(arguments: list[str], reason: str, tmp_path: Path) -> None:
    """Nothing is written, and the message names the option."""
    result = _run("--width", "64", "--height", "48", *arguments, str(tmp_path / "out"))
    assert isinstance(result.exception, ConfigError) and reason in str(result.exception)
    assert not (tmp_path / "out").exists()
