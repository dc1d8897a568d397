# SPDX-License-Identifier: Apache-2.0
"""What the documentation promises about itself: links, trees, listings and examples are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from rasant import errors

ROOT = Path(__file__).resolve().parent.parent


COMMANDS = sorted(point.name for point in entry_points(group="rasant.commands"))


def name(path: Path) -> str:
    """Path as a person writes it."""
    return path.relative_to(ROOT).as_posix()


def markdown() -> list[Path]:
    """Every page: those of docs, of the methods and of the top level."""
    rooms = (path for room in ("docs", "training", "examples") for path in (ROOT / room).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *rooms])


def test_the_tree_in_the_docstring_is_the_error_tree() -> None:
    """The drawing in rasant.errors has each class once, below its parent, with its builtin and its code."""
    drawn = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (errors.__doc__ or "").splitlines()[2:]:
        match = re.match(r"([ │├└─]*)(\w+)(?:\s+\((\w+)\))?(?:\s+(E_\w+))?", line)
        if match:
            above = [entry for entry in above if entry[0] < len(match[1])]
            drawn[match[2]] = (above[-1][1], match[3], match[4] or "E_RASANT")
            above.append((len(match[1]), match[2]))
    actual = {}
    for cls in (getattr(errors, entry) for entry in errors.__all__):
        parent, *builtin = (base.__name__ for base in cls.__bases__)
        actual[cls.__name__] = (parent, builtin[0] if builtin else None, cls.code)
    assert drawn == actual


def anchors(path: Path) -> set[str]:
    """The fragment of every heading of a Markdown file, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_of_the_documentation_resolve() -> None:
    """Every relative link and picture of every Markdown file leads to a file, and its fragment to a heading."""
    broken = []
    for page in markdown():
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, fragment = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            if not there.exists() or (fragment and fragment not in anchors(there)):
                broken.append(f"{name(page)}: {target}")
    assert broken == []


def test_every_page_of_the_documentation_is_reachable() -> None:
    """Each page below docs is linked from another page."""
    linked = set()
    for page in markdown():
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            linked.add((page.parent / target).resolve())
    assert [name(p) for p in markdown() if p.is_relative_to(ROOT / "docs") and p not in linked] == []


def test_decisions_stay_short_and_numbered() -> None:
    """A decision record has at most 30 lines, and the numbers have no gap."""
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [name(p) for p in records if len(p.read_text(encoding="utf-8").splitlines()) > 30] == []
    assert [int(p.name[:3]) for p in records] == list(range(1, len(records) + 1))


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    """CHANGELOG.md keeps an Unreleased section on top."""
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[0] == "[Unreleased]"




def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of this environment, with its output."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    """--help of each command, and of each of its sub-commands, has a line that starts with Example."""
    main = "import sys; sys.argv[0] = 'rasant'; from rasant.cli import main; main()"
    words = [command]
    if command == "calibrate":
        words.append("threshold")
    done = run("-c", main, *words, "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Example: rasant {' '.join(words)}", done.stdout), done.stdout


def test_the_reference_pages_are_current() -> None:
    """docs/reference says what the source and the commands say today."""
    done = run(str(ROOT / "docs" / "reference" / "make.py"), "--check")
    assert done.returncode == 0, done.stdout + done.stderr
