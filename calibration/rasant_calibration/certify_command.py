# SPDX-License-Identifier: Apache-2.0
"""`rasant certify`: prove an engine on the bundle's golden frames, and write the proof into the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import rasant
from rasant.bundle.conversion_schema import DataSetResult
from rasant.bundle.manifest import Certificate
from rasant.engines import open_engine
from rasant_calibration.certify import Comparison, certify_engine, compare_on

__all__ = ["certify"]


def certify(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant) to certify.")],
    engine: Annotated[str, typer.Option(help="One or more, e.g. onnxruntime,openvino.")] = "onnxruntime",
    data: Annotated[str, typer.Option(help="Compare on these frames too, e.g. dataset:parts/bracket?split=test.")] = "",
    reference: Annotated[
        Path | None, typer.Option(help="The float bundle to compare with on --data; by default this bundle itself.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or what the engine knows.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, max=256, help="0: as the engine's runtime likes.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", "--output", help="Where to write it; by default BUNDLE itself.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure engines against the network as it was trained, and keep the result in the bundle.

    Golden frames go through preprocessing, network and score. Whoever loads the bundle on an engine repeats the
    measurement on a few of them, and is refused where it differs by more than the certificate allows.

    Example: rasant certify bracket.rasant --engine onnxruntime,openvino --data "dataset:parts/bracket?split=test"
    """
    packed = rasant.read_bundle(bundle)
    made = []
    for name in engine.split(","):
        found = _compare(bundle, name, data, reference, device, threads) if data else None
        graph = packed.manifest.detector
        with open_engine(name, packed.graph(), precision=graph.precision, device=device, threads=threads) as opened:
            made.append(certify_engine(packed, opened, found))
        if not as_json:
            typer.echo(_line(made[-1]))
    kinds = {(one.engine, one.device) for one in made}
    kept = [one for one in packed.manifest.certificates if (one.engine, one.device) not in kinds]
    manifest = packed.manifest.model_copy(update={"certificates": (*kept, *made)})
    rasant.write_bundle(output or bundle, manifest, packed.files)
    if as_json:
        listed = [one.model_dump(mode="json") for one in made]
        typer.echo(json.dumps({"certificates": listed, "output": str(output or bundle)}, allow_nan=False))
    else:
        typer.echo(f"written: {output or bundle}")


def _compare(
    bundle: Path, engine: str, data: str, reference: Path | None, device: str, threads: int
) -> DataSetResult:
    common: Any = {"threads": threads, "require_threshold": False, "max_age_ms": None, "deadline_ms": None}
    with (
        rasant.load(bundle, engine, device=device, prove=False, **common) as ours,
        rasant.load(reference or bundle, "onnxruntime", **common) as theirs,
        rasant.open_source(data, skip_damaged=True) as frames,
    ):
        assert theirs.bundle is not None
        found = compare_on(frames, ours, theirs, Comparison())
        return found.result(data, theirs.bundle, with_threshold=ours.settings.threshold is not None)


def _line(made: Certificate) -> str:
    inputs = "" if made.input_max is None else f", inputs {made.input_max:.2g}"
    text = (
        f"{made.engine} {made.version} {made.provider} {made.precision}: certified on {made.frames} golden frames\n"
        f"  largest difference: map {made.map_max:.3g}, score {made.score_max:.3g}{inputs}; a target may differ by "
        f"{made.tolerance.map:.3g}"
    )
    if made.float_map_max is not None:
        text += f"\n  to the float network: map {made.float_map_max:.3g}"
    if made.data is not None:
        found = made.data
        text += (
            f"\n  {found.source}: {found.n} frames, score {found.score_mean:.3g} on average, {found.score_max:.3g} at "
            f"most, rank correlation {_number(found.rank_correlation)}, other verdicts: {_number(found.flips)}"
        )
        if found.i_auroc is not None and found.i_auroc_reference is not None and found.i_auroc_change is not None:
            low, high = found.i_auroc_change
            text += (
                f"\n  I-AUROC {found.i_auroc:.4f}, reference {found.i_auroc_reference:.4f}: change "
                f"{found.i_auroc - found.i_auroc_reference:+.4f} ({low:+.4f} to {high:+.4f} at 95 %)"
            )
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
