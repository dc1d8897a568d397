# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate ...`: the steps that turn cameras and a trained bundle into a station that can be trusted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import rasant
from rasant_calibration.bind_command import bind
from rasant_calibration.board_command import board
from rasant_calibration.fp16_command import fp16
from rasant_calibration.gate_command import gate
from rasant_calibration.geometry_command import camera, projector, rgbd
from rasant_calibration.good_parts import GoodParts, score_good_parts
from rasant_calibration.int8_command import int8
from rasant_calibration.stand_in_command import stand_in
from rasant_calibration.station_command import check, depth
from rasant_calibration.threshold import ThresholdChoice, choose_threshold

__all__ = ["calibrate", "decide", "threshold"]

calibrate = typer.Typer(no_args_is_help=True, add_completion=False)
calibrate.command()(fp16)
calibrate.command()(int8)
calibrate.command()(gate)
calibrate.command("stand-in")(stand_in)
for step in (board, camera, rgbd, projector, depth, check, bind):
    calibrate.command()(step)


@calibrate.callback()
def _calibrate() -> None:
    """Turn cameras and a trained bundle into a trusted station."""


def decide(manifest: rasant.Manifest, choice: ThresholdChoice, data_sha256: str) -> rasant.Manifest:
    """A copy of the manifest with the decision in place; what is lost by standing in was measured at another one."""
    from rasant.bundle.manifest import Decision, FalseRejectBound

    decision = Decision(
        threshold=choice.threshold,
        rule=choice.rule,
        target_false_reject=choice.target_false_reject,
        n_good=choice.n_good,
        n_unknown=choice.n_unknown,
        margin=choice.margin,
        false_reject_bound=FalseRejectBound(level=choice.bound.level, low=choice.bound.low, high=choice.bound.high),
        data_sha256=data_sha256,
        note=" ".join(choice.warnings),
    )
    return manifest.model_copy(update={"decision": decision, "stand_in": None})


@calibrate.command()
def threshold(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant) to calibrate.")],
    source: Annotated[str, typer.Argument(help="Good parts, e.g. dataset:parts/bracket?split=validation.")],
    output: Annotated[Path, typer.Option("-o", "--out", "--output", help="Where to write the calibrated bundle.")],
    false_reject: Annotated[float, typer.Option(help="Target share of good parts that may be rejected.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Level of the reported interval.")] = 0.95,
    margin: Annotated[
        float | None, typer.Option(help="Score units to add above the highest good score; instead of the rule's own.")
    ] = None,
    engine: Annotated[str, typer.Option(help="The inference engine; see rasant doctor.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=256, help="0: as the engine's runtime likes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose the threshold from good parts alone, for a target false-reject rate.

    With at least 3/rate parts: the conformal quantile of their scores. With fewer: the highest score plus a margin.
    The exact interval of the false-reject rate is printed and stored in the bundle. Frames labelled as defective are
    ignored; good parts without a verdict count as rejects.

    Example: rasant calibrate threshold bracket.rasant "dataset:parts/bracket?split=validation" -o station.rasant
    """
    packed = rasant.read_bundle(bundle)
    with (
        rasant.load(
            bundle, engine, require_threshold=False, threads=threads, max_age_ms=None, deadline_ms=None
        ) as inspector,
        rasant.open_source(source, skip_damaged=True) as frames,
    ):
        parts = score_good_parts(inspector, frames)
    score_max = packed.manifest.postprocess.score_range[1]
    choice = choose_threshold(
        parts.scores, false_reject=false_reject, confidence=confidence, margin=margin, score_max=score_max,
        n_unknown=len(parts.unknown),
    )  # fmt: skip
    rasant.write_bundle(output, decide(packed.manifest, choice, parts.data_sha256), packed.files)
    if as_json:
        typer.echo(json.dumps({**_as_json(choice, parts), "source": source, "output": str(output)}, allow_nan=False))
    else:
        _print(choice, parts)
        typer.echo(f"written: {output}")


def _print(choice: ThresholdChoice, parts: GoodParts) -> None:
    bound = choice.bound
    typer.echo(f"threshold {choice.threshold:.6g}   rule {choice.rule}   {choice.n_good} good parts")
    typer.echo(
        f"false rejects: {bound.hits} of these {bound.trials}; on new parts between {100 * bound.low:.1f} and "
        f"{100 * bound.high:.1f} % (confidence {100 * bound.level:g} %, target {100 * choice.target_false_reject:g} %)"
    )
    lines = [f"warning: {text}" for text in (*parts.warnings(), *choice.warnings)]
    lines += [f"look at: {parts.names[i]} (score {parts.scores[i]:.4g})" for i in choice.suspects]
    lines += [f"no verdict: {text}" for text in parts.unknown]
    for line in lines:
        typer.secho(line, fg=typer.colors.YELLOW)


def _as_json(choice: ThresholdChoice, parts: GoodParts) -> dict[str, Any]:
    values = asdict(choice)
    bound = values.pop("bound")
    return {
        **values, "false_reject_bound": bound,
        "warnings": [*parts.warnings(), *choice.warnings],
        "suspects": [parts.names[i] for i in choice.suspects], "unknown": parts.unknown, "n_ignored": parts.ignored,
        "n_damaged": parts.damaged, "data_sha256": parts.data_sha256,
        "scores": dict(zip(parts.names, parts.scores, strict=True)),
    }  # fmt: skip
