# SPDX-License-Identifier: Apache-2.0
"""The command `rasant patterns`: the pictures that a projector shows, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rasant.config_file import validate
from rasant.errors import ConfigError
from rasant.sensors.structured_light.patterns import SEQUENCE_FILE, PatternSequence, write_sequence

__all__ = ["patterns"]


def patterns(
    out: Annotated[Path, typer.Argument(help="Folder that gets the pictures and patterns.json; made if needed.")],
    width: Annotated[int, typer.Option(help="Projector pixels across: its native resolution.")],
    height: Annotated[int, typer.Option(help="Projector pixels down.")],
    axes: Annotated[str, typer.Option(help="columns, rows, or both with a comma between.")] = "columns",
    stripe: Annotated[int, typer.Option(help="Columns with one Gray code; up to a third of the period.")] = 1,
    steps: Annotated[int, typer.Option(help="Shifts of the sinusoid, 3 to 32; 0 for Gray code alone.")] = 0,
    period: Annotated[float, typer.Option(help="Period of the sinusoid in projector pixels.")] = 16.0,
    white: Annotated[bool, typer.Option("--white", help="End with a white picture, for colour.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the pictures of a structured-light scan, and the file by which `graycode:` and `scanner:` know their order.

    Example: rasant patterns --width 1024 --height 768 --stripe 4 --steps 8 --white build/patterns
    """
    if (out / SEQUENCE_FILE).exists():
        raise ConfigError(f"{out / SEQUENCE_FILE} exists; choose another folder or remove it")
    values = {
        "width": width, "height": height, "axes": axes.split(","), "stripe": stripe, "steps": steps, "period": period,
        "white": white,
    }  # fmt: skip
    sequence = validate(values, PatternSequence, "patterns")
    files = write_sequence(out, sequence)
    if as_json:
        typer.echo(json.dumps({"path": str(out), "pictures": len(files), **sequence.model_dump(mode="json")}))
    else:
        typer.echo(f"{out}: {len(files)} pictures of {width}x{height} and {SEQUENCE_FILE}")
