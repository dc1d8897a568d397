# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate stand-in`: measure what is lost while one modality decides alone, and declare it in the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import rasant
from rasant.bundle.stand_in_schema import StandIn
from rasant.stand_in import check_roles
from rasant_calibration.certify import PairedScores, compare_on
from rasant_calibration.stand_in import declare_loss, labelled

__all__ = ["stand_in"]


def stand_in(
    one: Annotated[Path, typer.Argument(help="The bundle of one modality (.rasant), with its threshold.")],
    both: Annotated[Path, typer.Argument(help="The bundle of both, with its own.")],
    source: Annotated[str, typer.Argument(help="Labelled parts, e.g. dataset:parts/bracket?split=test.")],
    output: Annotated[Path, typer.Option("-o", "--out", "--output", help="Where to write the stand-in.")],
    engine: Annotated[str, typer.Option(help="The inference engine; see rasant doctor.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=256, help="0: as the engine's runtime likes.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Let a bundle of one modality stand in for one of both: measure what is lost, and declare it in the bundle.

    Both inspect the same labelled parts, good and defective, each at its own threshold. What escapes meanwhile stands
    in the bundle, in the log and in every inspection that it gives: rasant inspect BOTH SOURCE --stand-in ONE.

    Example: rasant calibrate stand-in colour.rasant bracket.rasant "dataset:parts/bracket" -o colour-stand-in.rasant
    """
    packed, of = rasant.read_bundle(one), rasant.read_bundle(both)
    check_roles(packed, of)
    common: Any = {"threads": threads, "max_age_ms": None, "deadline_ms": None}
    with (
        rasant.load(one, engine, **common) as ours,
        rasant.load(both, engine, **common) as theirs,
        rasant.open_source(source, skip_damaged=True) as frames,
    ):
        found = compare_on(labelled(frames), ours, theirs, PairedScores())
        own, its = ours.settings.threshold, theirs.settings.threshold
    assert own is not None and its is not None  # `load` refuses a bundle without
    declared = declare_loss(found, of, (own, its), seed=seed)
    manifest = packed.manifest.model_copy(update={"stand_in": declared})
    rasant.write_bundle(output, manifest, packed.files)
    if as_json:
        typer.echo(json.dumps({**declared.model_dump(mode="json"), "source": source, "output": str(output)}))
        return
    typer.echo(_line(declared))
    typer.echo(f"written: {output}; next: rasant inspect {both} SOURCE --stand-in {output}")


def _line(found: StandIn) -> str:
    low, high = found.i_auroc_change
    return (
        f"while it stands in, {found.loss}\nI-AUROC {found.i_auroc:.4f} instead of {found.i_auroc_of:.4f}: change "
        f"{found.i_auroc - found.i_auroc_of:+.4f} ({low:+.4f} to {high:+.4f} at 95 %)\n"
        f"frames without a score: {found.n_unknown}"
    )
