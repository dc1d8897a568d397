# SPDX-License-Identifier: Apache-2.0
"""The examples run as they stand, without hardware, and show one idea each."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from labelled import write_dataset
from rasant.cli import app
from tiny_bundle import write_tiny_bundle

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NUMBERED = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle and a recording of labelled plates that it fits."""
    root = tmp_path_factory.mktemp("station")
    write_dataset(root, "plate", {"test": ["good"] * 5 + ["dent"] * 3 + ["stain"] * 2})
    recording = root / "plates.mcap"
    result = CliRunner().invoke(app, ["record", f"dataset:{root}/plate", str(recording)])
    assert result.exit_code == 0, result.stderr
    return write_tiny_bundle(root / "plate.rasant"), recording


def run(script: str, *arguments: str, folder: Path) -> str:
    """Standard output of an example, run in `folder`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def imported(script: Path) -> set[str]:
    """Top-level modules that a script imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_first_example_needs_rasant_alone() -> None:
    """Example 01 imports nothing but rasant and the standard library, in about 20 lines."""
    script = EXAMPLES / "01_inspect.py"
    assert imported(script) - set(sys.stdlib_module_names) == {"rasant"}
    assert not re.search(r"rasant\.\w+ import|import rasant\.", script.read_text(encoding="utf-8"))
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 24


@pytest.mark.parametrize("script", NUMBERED, ids=lambda path: path.name)
def test_examples_are_small_and_light(script: Path) -> None:
    """Every numbered example has at most 60 lines, an explanation, and no torch."""
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert ast.get_docstring(ast.parse(text))
    assert "torch" not in imported(script)


def test_inspecting_by_program_equals_the_command(station: tuple[Path, Path], tmp_path: Path) -> None:
    """Example 01 prints the same verdicts, scores and regions as `rasant inspect --json`."""
    bundle, recording = station
    by_program = [
        json.loads(line) for line in run("01_inspect.py", str(bundle), str(recording), folder=tmp_path).splitlines()
    ]
    result = CliRunner().invoke(app, ["inspect", str(bundle), str(recording), "--json"])
    assert result.exit_code == 0, result.stderr
    by_command = [json.loads(line) for line in result.stdout.splitlines()]
    for line in (*by_program, *by_command):
        line.pop("timings_ms")
    assert by_program == by_command
    assert {line["verdict"] for line in by_program} == {"PASS", "REJECT"}


def test_own_camera_gets_a_verdict(tmp_path: Path) -> None:
    """Example 02 feeds plain arrays and prints a verdict with its timing."""
    bundle = write_tiny_bundle(tmp_path / "tiny.rasant")
    text = run("02_own_camera.py", str(bundle), folder=tmp_path)
    assert re.match(r"(PASS|REJECT) \((OK|DEFECT)\), score [01]\.\d{4}", text)


def test_threshold_example_shows_both_rules(tmp_path: Path) -> None:
    """Example 03 shows that 60 parts are needed for 5 %, and what fewer are worth."""
    text = run("03_threshold.py", folder=tmp_path)
    assert text.startswith("60 good parts can show")
    assert "max_margin" in text
    assert "conformal" in text


def test_the_demo_ends_with_its_counts(station: tuple[Path, Path], tmp_path: Path) -> None:
    """The demo explains each part, leaves strip and report, and ends with the agreed line."""
    bundle, recording = station
    text = run("demo.py", str(bundle), f"replay:{recording}", "out", folder=tmp_path)
    last = text.rstrip().splitlines()[-1]
    found = re.fullmatch(r"demo: (\d+) frames, (\d+) rejected, (\d+) passed, (\d+) unknown, [\d.]+ frames/s", last)
    assert found is not None, last
    assert [int(n) for n in found.groups()] == [10, 5, 5, 0]
    strip = cv2.imread(str(tmp_path / "out" / "strip.png"))
    assert strip is not None
    assert strip.shape[1] > 1000
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.count("caught") == 5
