# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate gate`: how much depth must add before it counts, from good parts and synthetic defects."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import rasant
from rasant_calibration.conversion import DEFECTS, prepare_inputs
from rasant_calibration.effect import spoil
from rasant_calibration.gate import GateChoice, choose_alpha, gate_evidence
from rasant_calibration.good_parts import read_good_frames

__all__ = ["gate", "set_gate"]


def set_gate(
    bundle: rasant.Bundle, frames: list[rasant.Frame], *, seed: int = 0
) -> tuple[rasant.Manifest, GateChoice]:
    """The manifest with the gate set to "entropy" and its alpha chosen; the threshold has to be chosen again.

    frames: good parts, which get `DEFECTS` synthetic defects each. Raises ConfigError for a bundle without a gate or
    without frames, FrameRefused for a frame that the bundle cannot prepare.
    """
    from rasant.bundle.manifest import Decision

    gate = bundle.manifest.gate
    if gate is None:
        raise rasant.ConfigError(
            f"{bundle.name or 'the bundle'} has no gate; train easynet on both modalities, and "
            "export it with --set settings.deploy.gate=entropy"
        )
    if not frames:
        raise rasant.ConfigError("the source has no good part; 20 or more are advised")
    good = [prepare_inputs(bundle, frame) for frame in frames]
    spoiled = [spoil(*part, seed + turn, index) for index, part in enumerate(good) for turn in range(DEFECTS)]
    every = [*(inputs for inputs, _ in good), *spoiled]
    truth = [False] * len(good) + [True] * len(spoiled)
    kernel = bundle.manifest.postprocess.kernel
    choice = choose_alpha(gate_evidence(bundle.graph(), every, truth, gate.to_params(), kernel))
    rule = f"I-AUROC {choice.auroc:.4f} of {choice.good} good parts and {choice.defective} synthetic defects"
    chosen = gate.model_copy(update={"mode": "entropy", "alpha": choice.alpha, "rule": rule})
    return bundle.manifest.model_copy(update={"gate": chosen, "decision": Decision()}), choice


def gate(
    bundle: Annotated[Path, typer.Argument(help="A bundle of EasyNet with a gate (.rasant).")],
    source: Annotated[str, typer.Argument(help="Good parts, e.g. dataset:parts/bracket?split=validation.")],
    output: Annotated[Path, typer.Option("-o", "--out", "--output", help="Where to write the bundle.")],
    frames: Annotated[int, typer.Option(min=1, help="Good parts to read.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic defects.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose how much depth must add before it counts, from good parts and synthetic defects alone.

    The threshold has to be chosen again afterwards.

    Example: rasant calibrate gate bracket.rasant "dataset:parts/bracket?split=validation" -o bracket-gate.rasant
    """
    packed = rasant.read_bundle(bundle)
    manifest, choice = set_gate(packed, read_good_frames(source, frames), seed=seed)
    rasant.write_bundle(output, manifest, packed.files)
    if as_json:
        typer.echo(json.dumps({**asdict(choice), "source": source, "output": str(output)}, allow_nan=False))
        return
    typer.echo(
        f"alpha {choice.alpha:.3g} bits: the gate opens for {100 * choice.opened:.0f} % of {choice.good} good parts "
        f"and {choice.defective} synthetic defects\nI-AUROC {choice.auroc:.4f}, always open {choice.auroc_open:.4f}, "
        f"never {choice.auroc_closed:.4f}\nwritten: {output}; next: rasant calibrate threshold {output} GOOD_PARTS -o "
        "STATION.rasant"
    )
