# SPDX-License-Identifier: Apache-2.0
"""What a new user reads is true: the commands and programs of the README and of the first guide run, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "dist", "runs", "__pycache__", ".*_cache", ".hypothesis")
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

COUNTS = r"demo: (\d+) frames, (\d+) rejected, (\d+) passed, (\d+) unknown, [\d.]+ frames/s"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that borrows the running environment, with stamps that tell make it is up to date."""
    place = tmp_path / "rasant"
    shutil.copytree(ROOT, place, ignore=LEFT_OUT)
    environment = place / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.suffix != ".stamp":
            (environment / entry.name).symlink_to(entry)
    for stamp in ("tools.stamp", "installed.stamp"):
        (environment / stamp).touch()
    return place


def commands(page: str) -> Iterator[tuple[int, list[str]]]:
    """(line of the block, command) for each line of a `sh` block and each `python` block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if block[1] == "python":
            yield line, [sys.executable, "-c", block[2]]
        else:
            yield from ((line, ["bash", "-c", command]) for command in block[2].splitlines() if command != "make test")


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_commands_of_a_page_run(page: str, checkout: Path) -> None:
    """Every `sh` line and every `python` block of the page succeeds in a fresh copy, one after the other."""
    environment = {**os.environ, "PATH": f"{checkout / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for line, command in commands(page):
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert done.returncode == 0, f"{page}, block at line {line}: {command[-1]!r} gave {done.returncode}\n{said}"
        ran += 1
    assert ran > 0, f"{page} has no block of sh or python"


def test_the_demo_ends_with_its_counts(checkout: Path) -> None:
    """`make demo` leaves the report, and its last line counts at least 30 frames with rejects and passes among them."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run(
        ["make", "demo"], cwd=checkout, env=outside, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = re.fullmatch(COUNTS, done.stdout.splitlines()[-1])
    assert counts is not None, done.stdout[-500:]
    frames, rejected, passed, unknown = map(int, counts.groups())
    assert frames >= 30
    assert rejected > 0
    assert passed > 0
    assert frames == rejected + passed + unknown
    assert (checkout / "build" / "demo" / "report.html").stat().st_size > 10_000
