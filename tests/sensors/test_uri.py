# SPDX-License-Identifier: Apache-2.0
"""Source URIs say one thing, and what cannot be opened says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rasant.errors import ConfigError, RasantError, SourceError
from rasant.sensors import Source, open_source
from rasant.sensors.uri import SCHEMES, parse_uri
from rasant.synthesis.commands import write_dataset


def test_parts_of_a_uri() -> None:
    """Scheme, path and options are split at the first colon and the last question mark; escapes are undone."""
    uri = parse_uri("dataset:/data/what?/lid?split=a%26b&label=")
    assert (uri.scheme, uri.path, dict(uri.query)) == ("dataset", "/data/what?/lid", {"split": "a&b", "label": ""})


def test_options_take_the_types_of_their_defaults() -> None:
    """Whole numbers, numbers and texts are converted; others keep their default."""
    uri = parse_uri("synthetic:plate?seed=7&defects=0.25")
    assert uri.options(seed=0, defects=0.5, size=256, label=None) == {
        "seed": 7, "defects": 0.25, "size": 256, "label": None,
    }


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("video:0", ConfigError, r"no source 'video'; known are folder:, dataset:, mvtec3d:, replay:, synthetic:"),
        ("folder:/no/such/place", SourceError, "'/no/such/place', found nothing"),
        ("folder:", SourceError, "found nothing"),
        ("replay:/no/file.mcap", SourceError, "an .mcap recording"),
        ("nonsense", SourceError, "neither an existing path nor a source URI; known are folder:"),
        ("synthetic:plate?seed=two", ConfigError, "'seed' must be a whole number, got 'two'"),
        ("synthetic:plate?defects=2", ConfigError, "between 0 and 1"),
        ("synthetic:plate?frames=0", ConfigError, "at least 1"),
        ("synthetic:wheel", ConfigError, "no part 'wheel'; known are plate"),
        ("synthetic:plate?seed", ConfigError, "name=value"),
        ("synthetic:plate?seed=1&seed=2", ConfigError, "twice"),
        ("", SourceError, "neither an existing path"),
    ],
)
def test_what_cannot_be_opened_says_why(text: str, error: type[RasantError], words: str) -> None:
    """Unknown schemes and options are ConfigError, missing paths SourceError; each names what was expected."""
    with pytest.raises(error, match=words):
        open_source(text)


def test_bare_paths_resolve_where_they_mean_one_thing(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    """A folder of captures, a data set and its category open by their path; anything else asks for the scheme."""
    folder = make_folder("a", root=tmp_path / "captures")
    plate = write_dataset(tmp_path / "parts", "plate", train=1, validation=0, test_good=1, test_defect=0, size=64)
    for path, scheme in ((folder, "folder"), (plate, "dataset"), (plate.parent, "dataset")):
        assert parse_uri(str(path)).scheme == scheme
    with open_source(f"{plate}?split=train") as source:
        assert source.frame_count == 1
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path / "notes.txt", tmp_path):
        with pytest.raises(ConfigError, match="name what it is"):
            open_source(str(path))
    (plate / "color").mkdir()
    with pytest.raises(ConfigError, match="fits folder: and dataset:"):
        open_source(str(plate))


def test_every_scheme_names_a_source() -> None:
    """Each entry of the table imports and is a Source with an `open`."""
    import importlib

    for target in SCHEMES.values():
        module, name = target.split(":")
        source = getattr(importlib.import_module(module), name)
        assert issubclass(source, Source) and callable(source.open)


def test_importing_sources_loads_no_decoder() -> None:
    """`import rasant.sensors` loads neither OpenCV nor pydantic nor mcap nor torch."""
    code = "import rasant.sensors, sys; print(*{'cv2', 'pydantic', 'mcap', 'torch', 'typer'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
