# SPDX-License-Identifier: Apache-2.0
"""The command `rasant synth`: a labelled data set of procedural parts on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from rasant.errors import ConfigError, SourceError
from rasant.synthesis.defects import DEFECTS
from rasant.synthesis.part import CATEGORIES, DEPTH_SCALE, make_part, part_intrinsics

__all__ = ["synth", "write_dataset"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One picture to make: its place in the data set and its number in the series."""

    split: str
    label: str
    number: int  # file name inside split and label
    frame: int  # number in the random series; no two pictures share one


def synth(
    out: Annotated[Path, typer.Argument(help="Folder that gets CATEGORY/; it is made if needed.")],
    category: Annotated[str, typer.Option(help=f"Kind of part: {', '.join(CATEGORIES)}.")] = "plate",
    train: Annotated[int, typer.Option(min=0, help="Good parts for training.")] = 40,
    validation: Annotated[int, typer.Option(min=0, help="Good parts for choosing a threshold.")] = 10,
    test_good: Annotated[int, typer.Option(min=0, help="Good parts for testing.")] = 14,
    test_defect: Annotated[int, typer.Option(min=0, help="Defective parts for testing, all types in turn.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Pixels a side.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a data set of made-up parts with exact defect masks, in the layout of `dataset:`.

    Example: rasant synth --category plate --train 40 --test-defect 25 build/parts
    """
    counts = {"train": train, "validation": validation, "test_good": test_good, "test_defect": test_defect}
    folder = write_dataset(out, category, seed=seed, size=size, **counts)
    total = sum(counts.values())
    if as_json:
        typer.echo(json.dumps({"category": category, "path": str(folder), "seed": seed, "frames": total, **counts}))
    else:
        split = f"{train} train, {validation} validation, {test_good} good and {test_defect} defective test"
        typer.echo(f"{folder}: {total} parts ({split}); open them as dataset:{folder}")


def write_dataset(
    out: Path,
    category: str,
    *,
    train: int,
    validation: int,
    test_good: int,
    test_defect: int,
    seed: int = 0,
    size: int = 256,
) -> Path:
    """Write OUT/CATEGORY in the layout of `dataset:` and return that folder; `meta.json` lists type and severity.

    Raises ConfigError where the folder exists and is not empty, or a parameter is out of range; SourceError where the
    disk refuses.
    """
    if category not in CATEGORIES:
        raise ConfigError(f"there is no part {category!r}; known are {', '.join(CATEGORIES)}")
    root = out / category
    if root.exists() and any(root.iterdir()):
        raise ConfigError(f"{root} is not empty; choose another folder or remove it")
    records: list[dict[str, Any]] = []
    for entry in _entries(train, validation, test_good, test_defect):
        part = make_part(category, seed, entry.frame, defect=None if entry.label == "good" else entry.label, size=size)
        folder, name = root / entry.split / entry.label, f"{entry.number:03d}.png"
        _write_png(folder / "color" / name, part.color[..., ::-1])
        _write_png(folder / "depth" / name, part.depth)
        if entry.label != "good":
            _write_png(folder / "gt" / name, part.truth.astype(np.uint8) * 255)
        records.append(
            {
                "id": f"{entry.split}/{entry.label}/{entry.number:03d}", "split": entry.split, "type": entry.label,
                "severity": round(part.severity, 4), "gt_px": int(part.truth.sum()),
            }
        )
    camera = asdict(part_intrinsics(size)) | {"depth_scale": DEPTH_SCALE, "note": f"made by rasant synth, seed {seed}"}
    (root / "camera.json").write_text(json.dumps(camera, indent=1) + "\n", encoding="utf-8")
    (root / "meta.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return root


def _entries(train: int, validation: int, test_good: int, test_defect: int) -> Iterator[_Entry]:
    if train + validation + test_good + test_defect < 1:
        raise ConfigError("nothing to make: all counts are 0")
    kinds = tuple(DEFECTS)
    places = [("train", "good", n) for n in range(train)] + [("validation", "good", n) for n in range(validation)]
    places += [("test", "good", n) for n in range(test_good)]
    places += [("test", kinds[n % len(kinds)], n // len(kinds)) for n in range(test_defect)]
    for frame, (split, label, number) in enumerate(places):
        yield _Entry(split, label, number, frame)


def _write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    import cv2

    ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise SourceError(f"{path}: cannot be encoded as PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror}") from error
