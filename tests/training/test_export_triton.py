# SPDX-License-Identifier: Apache-2.0
"""`rasant export --triton`: of a bundle that is there, and of a run's new one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rasant.errors import ConfigError
from rasant_training.commands import export

app = typer.Typer()
app.command()(export)


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_bundle_becomes_a_repository(tiny_bundle: Path, tmp_path: Path) -> None:
    """No run, no torch: the bundle's own graph, and where it was written."""
    result = call(tiny_bundle, "--triton", tmp_path / "models", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"triton": [str(tmp_path / "models" / "plate")]}
    assert (tmp_path / "models" / "plate" / "config.pbtxt").is_file()


def test_a_run_is_exported_and_served(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is written as ever, and the repository is made of it."""

    def export_run(run: Path, out: Path, **options: Any) -> dict[str, Any]:
        shutil.copy(tiny_bundle, out)
        return {"bundle": str(out)}

    monkeypatch.setattr("rasant_training.export.bundle.export_run", export_run)
    out = tmp_path / "plate.rasant"
    result = call(tmp_path, "-o", out, "--triton", tmp_path / "models", "--json")
    assert json.loads(result.stdout) == {"bundle": str(out), "triton": [str(tmp_path / "models" / "plate")]}


def test_what_cannot_be_meant_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    """A bundle is not exported as a bundle again, and a run's bundle needs a place."""
    for arguments, text in (((tiny_bundle,), "is a bundle already"), ((tmp_path,), "with -o")):
        result = call(*arguments)
        assert isinstance(result.exception, ConfigError)
        assert text in str(result.exception)
