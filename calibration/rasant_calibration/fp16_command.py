# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate fp16`: a float32 bundle and good parts in, the same detector in float16 out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import rasant
from rasant_calibration.conversion import convert_bundle, effect_columns, gather_evidence, hand_over
from rasant_calibration.effect import silent
from rasant_calibration.fp16 import Fp16Choice, choose_fp16
from rasant_calibration.good_parts import read_good_frames

__all__ = ["fp16", "halve_bundle"]

GRAPH = "detector.fp16.onnx"


def halve_bundle(
    bundle: rasant.Bundle, frames: list[rasant.Frame], *, target: float = 0.001, max_float: float = 0.1, seed: int = 0,
    progress: Callable[[str], object] = silent,
) -> tuple[rasant.Manifest, dict[str, bytes], Fp16Choice]:
    """Manifest and files of the float16 bundle, and what was measured.

    frames: good parts, see `gather_evidence`, which also says what is raised. See `choose_fp16` for the rest, and
    `convert_bundle` for what stays of the bundle.
    """
    evidence = gather_evidence(bundle, frames, seed)
    choice = choose_fp16(
        bundle.graph(), evidence.frames, evidence.on, kernel=bundle.manifest.postprocess.kernel, target=target,
        max_float=max_float, progress=progress,
    )  # fmt: skip
    manifest, files = convert_bundle(
        bundle, choice.model, GRAPH, evidence, method="fp16", effect=choice.effect, float_nodes=choice.float_nodes,
        float_share=choice.float_share,
    )  # fmt: skip
    return manifest, files, choice


def fp16(
    bundle: Annotated[Path, typer.Argument(help="The float32 bundle (.rasant).")],
    source: Annotated[str, typer.Argument(help="Good parts, e.g. dataset:parts/bracket?split=train.")],
    output: Annotated[Path, typer.Option("-o", "--out", "--output", help="Where to write the float16 bundle.")],
    frames: Annotated[int, typer.Option(min=2, help="Good parts to read, half for ranges, half to measure on.")] = 24,
    target: Annotated[float, typer.Option(help="Mean score difference that is good enough.")] = 0.001,
    max_float: Annotated[float, typer.Option(help="Share of the multiply-adds that may stay in float32 for it.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the synthetic defects on half of the probes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn the detector into float16, and leave in float32 what float16 cannot hold or what it harms.

    For TensorRT, which takes the precision from the graph; inputs and outputs stay float32. The threshold has to be
    chosen again afterwards.

    Example: rasant calibrate fp16 bracket.rasant "dataset:parts/bracket?split=train" -o bracket-fp16.rasant
    """
    packed = rasant.read_bundle(bundle)
    parts = read_good_frames(source, frames)
    manifest, files, choice = halve_bundle(
        packed, parts, target=target, max_float=max_float, seed=seed, progress=silent if as_json else typer.echo
    )
    hand_over(
        output, manifest, files, choice, source=source, frames=len(parts), report=_report(choice), as_json=as_json
    )


def _report(choice: Fp16Choice) -> str:
    lines = [f"values that float16 cannot hold: {len(choice.out_of_range)}"]
    lines += [f"{name[-40:]:<40} reaches {largest:.3g}" for name, largest in choice.out_of_range.items()]
    lines.append(f"stages that stay in float32 for these or their weights: {', '.join(choice.forced) or 'none'}")
    lines.append(f"{'':<20} mean score difference   largest   map RMS")
    if choice.alone:
        lines.append("stage alone in float16, worst first")
        lines += [f"{name[-20:]:<20} {effect_columns(found)}" for name, found in list(choice.alone.items())[:8]]
    lines += [f"{name[-20:]:<20} {effect_columns(found)}  left in float32" for name, found in choice.kept.items()]
    lines.append(f"{'chosen':<20} {effect_columns(choice.effect)}")
    lines.append(f"{100 * choice.float_share:.1f} % of the multiply-adds stay in float32")
    return "\n".join(lines)
