# SPDX-License-Identifier: Apache-2.0
"""What the documentation promises about itself: links, trees, listings and examples are those of the code."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from rasant import Reason, errors, read_station
from rasant.sensors.uri import SCHEMES

ROOT = Path(__file__).resolve().parent.parent



def load_make() -> ModuleType:
    """docs/reference/make.py as a module."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "reference" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()


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




def test_the_guides_name_every_source_and_every_reason() -> None:
    """Each scheme has a row in the guide to sources, and each reason code one in the guide to verdicts."""
    guide = ROOT / "docs" / "guide"
    sources, verdicts = ((guide / page).read_text(encoding="utf-8") for page in ("sources.md", "verdicts.md"))
    assert [scheme for scheme in SCHEMES if f"| `{scheme}:" not in sources] == []
    assert [reason.value for reason in Reason if f"| `{reason.value}` |" not in verdicts] == []


def test_the_station_file_of_the_guide_is_read(tmp_path: Path) -> None:
    """The TOML example of the guide satisfies the strict schema."""
    page = (ROOT / "docs" / "guide" / "verdicts.md").read_text(encoding="utf-8")
    (tmp_path / "station.toml").write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    assert read_station(tmp_path / "station.toml").validity.deadline_ms == 150


def test_every_command_shows_an_example() -> None:
    """--help of each command, as a terminal gets it, has an example that starts with the command."""
    commands = sorted(point.name for point in entry_points(group="rasant.commands"))
    commands[commands.index("calibrate")] = "calibrate threshold"
    pages = make.helps(commands, plain=False)
    assert [command for command, page in pages.items() if f"Example: rasant {command}" not in page] == []


def test_the_reference_pages_are_current() -> None:
    """docs/reference says what the source and the commands say today; `make docs` brings it there."""
    reference = ROOT / "docs" / "reference"
    assert (reference / "api.md").read_text(encoding="utf-8") == make.api_page()
    assert (reference / "cli.md").read_text(encoding="utf-8") == make.cli_page()
