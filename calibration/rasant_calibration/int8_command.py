# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate int8`: a float bundle and good parts in, the same detector in 8-bit integers out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import rasant
from rasant_calibration.conversion import convert_bundle, effect_columns, gather_evidence, hand_over
from rasant_calibration.effect import silent
from rasant_calibration.good_parts import read_good_frames
from rasant_calibration.int8 import Int8Choice, choose_int8

__all__ = ["int8", "quantise_bundle"]

GRAPH = "detector.int8.onnx"


def quantise_bundle(
    bundle: rasant.Bundle, frames: list[rasant.Frame], *, target: float = 0.01, max_float: float = 0.1,
    methods: tuple[str, ...] = (), seed: int = 0, progress: Callable[[str], object] = silent,
) -> tuple[rasant.Manifest, dict[str, bytes], Int8Choice]:
    """Manifest and files of the quantised bundle, and what was measured.

    frames: good parts, see `gather_evidence`, which also says what is raised. See `choose_int8` for the rest, and
    `convert_bundle` for what stays of the bundle.
    """
    evidence = gather_evidence(bundle, frames, seed)
    choice = choose_int8(
        bundle.graph(), evidence.frames, evidence.on, kernel=bundle.manifest.postprocess.kernel, methods=methods,
        target=target, max_float=max_float, progress=progress,
    )  # fmt: skip
    manifest, files = convert_bundle(
        bundle, choice.model, GRAPH, evidence, method=choice.method, effect=choice.effect,
        float_nodes=choice.float_nodes, float_share=choice.float_share,
    )  # fmt: skip
    return manifest, files, choice


def int8(
    bundle: Annotated[Path, typer.Argument(help="The float bundle (.rasant).")],
    source: Annotated[str, typer.Argument(help="Good parts, e.g. dataset:parts/bracket?split=train.")],
    output: Annotated[Path, typer.Option("-o", "--out", "--output", help="Where to write the quantised bundle.")],
    frames: Annotated[int, typer.Option(min=2, help="Good parts to read, half for ranges, half to measure on.")] = 24,
    target: Annotated[float, typer.Option(help="Mean score difference that is good enough.")] = 0.01,
    max_float: Annotated[float, typer.Option(help="Share of the multiply-adds that may stay in float.")] = 0.1,
    method: Annotated[str, typer.Option(help="A calibration rule; by default the one that does least harm.")] = "",
    seed: Annotated[int, typer.Option(help="Of the synthetic defects on half of the probes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn the detector into 8-bit integers, and leave in float what integers harm.

    One Q/DQ graph for ONNX Runtime, OpenVINO and TensorRT. The threshold has to be chosen again afterwards.

    Example: rasant calibrate int8 bracket.rasant "dataset:parts/bracket?split=train" -o bracket-int8.rasant
    """
    packed = rasant.read_bundle(bundle)
    parts = read_good_frames(source, frames)
    manifest, files, choice = quantise_bundle(
        packed, parts, target=target, max_float=max_float, methods=(method,) if method else (), seed=seed,
        progress=silent if as_json else typer.echo,
    )  # fmt: skip
    hand_over(
        output, manifest, files, choice, source=source, frames=len(parts), report=_report(choice), as_json=as_json
    )


def _report(choice: Int8Choice) -> str:
    lines = [f"{'calibration':<20} mean score difference   largest   map RMS"]
    for name, found in choice.methods.items():
        mark = "  <- chosen" if name == choice.method else ""
        lines.append(f"{name:<20} {effect_columns(found)}{mark}")
    if choice.alone:
        lines.append("stage alone in integers, worst first")
        lines += [f"{name[-20:]:<20} {effect_columns(found)}" for name, found in list(choice.alone.items())[:8]]
    lines.append("stages left in float, and what is left then" if choice.kept else "no stage is left in float")
    lines += [f"{name[-20:]:<20} {effect_columns(found)}" for name, found in choice.kept.items()]
    lines.append(f"{100 * choice.float_share:.1f} % of the multiply-adds stay in float")
    return "\n".join(lines)
