# SPDX-License-Identifier: Apache-2.0
"""What all conversions of a detector have alike: the good parts that decide, and the bundle that comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

import rasant
from rasant_calibration.effect import Effect, Inputs, Probe, probes, spoil
from rasant_calibration.good_parts import hash_pixels

__all__ = ["Evidence", "convert_bundle", "effect_columns", "gather_evidence", "hand_over", "prepare_inputs"]

DEFECTS = 2  # synthetic ones on each good part that sets ranges


@dataclass(frozen=True)
class Evidence:
    """Network inputs that set ranges, probes on which the rest is chosen, and the hash of the pixels of both."""

    frames: list[Inputs]
    on: list[Probe]
    data_sha256: str


def gather_evidence(bundle: rasant.Bundle, frames: Sequence[rasant.Frame], seed: int) -> Evidence:
    """Good parts as the network sees them, as they are and with synthetic defects: every second one sets ranges, the
    others are probed.

    Raises ConfigError for fewer than two frames, a bundle of tiles, and a graph that is no longer float32.
    """
    if bundle.manifest.tiles is not None:
        raise rasant.ConfigError("convert the bundle before it is given tiles")
    if bundle.manifest.detector.precision != "fp32":
        raise rasant.ConfigError(
            f"the graph of {bundle.name or 'the bundle'} is {bundle.manifest.detector.precision} already; start from "
            "the float32 bundle"
        )
    if len(frames) < 2:
        raise rasant.ConfigError(f"expected at least 2 good parts, got {len(frames)}; 20 or more are better")
    digest = hashlib.sha256()
    for frame in frames:
        hash_pixels(digest, frame)
    prepared = [prepare_inputs(bundle, frame) for frame in frames]
    on = probes(bundle.graph(), prepared[1::2], bundle.manifest.postprocess.kernel, seed)
    good = prepared[::2]
    spoiled = [spoil(*part, seed + 1 + turn, index) for index, part in enumerate(good) for turn in range(DEFECTS)]
    return Evidence([*(inputs for inputs, _ in good), *spoiled], on, digest.hexdigest())


def convert_bundle(
    bundle: rasant.Bundle, model: bytes, file: str, evidence: Evidence, *, method: str, effect: Effect,
    float_nodes: tuple[str, ...], float_share: float,
) -> tuple[rasant.Manifest, dict[str, bytes]]:
    """Manifest and files of the bundle with `model` as its detector, in `file`.

    The golden outputs become those of the new graph in ONNX Runtime, the float network's are kept beside them. The
    threshold, the certificates and what is lost by standing in are dropped: they were found with the float graph.
    """
    from rasant.bundle.graph_check import describe_graph
    from rasant.bundle.manifest import Decision, Quantisation

    record = Quantisation(
        method=method, frames=len(evidence.frames), probes=len(evidence.on), data_sha256=evidence.data_sha256,
        score_mean=effect.score_mean, score_max=effect.score_max, map_max=effect.map_max, float_nodes=float_nodes,
        float_share=float_share, versions={"onnxruntime": version("onnxruntime"), "onnx": version("onnx")},
    )  # fmt: skip
    manifest = bundle.manifest.model_copy(update={
        "graphs": {"detector": describe_graph(model, file)}, "quantisation": record, "decision": Decision(),
        "stand_in": None, "certificates": (),
    })  # fmt: skip
    kept = {name: data for name, data in bundle.files.items() if name != bundle.manifest.detector.file}
    return manifest, {**kept, **_golden(bundle, model), file: model}


def hand_over(
    output: Path, manifest: rasant.Manifest, files: dict[str, bytes], choice: Any, *, source: str, frames: int,
    report: str, as_json: bool,
) -> None:
    """Write the converted bundle and print what was measured. choice: a dataclass with a field `model`, the graph."""
    rasant.write_bundle(output, manifest, files)
    if as_json:
        values = asdict(choice)
        values["size_bytes"] = len(values.pop("model"))
        typer.echo(json.dumps({**values, "source": source, "frames": frames, "output": str(output)}))
        return
    typer.echo(report)
    typer.echo(f"written: {output}; next: rasant calibrate threshold {output} GOOD_PARTS -o STATION.rasant")


def effect_columns(found: Effect) -> str:
    """Mean and largest score difference and RMS of the map, under "mean score difference   largest   map RMS"."""
    return f"{found.score_mean:>21.3g} {found.score_max:>9.3g} {found.map_rms:>9.3g}"


def prepare_inputs(bundle: rasant.Bundle, frame: rasant.Frame) -> tuple[Inputs, npt.NDArray[np.bool_]]:
    """Network inputs of one frame as the bundle prepares them, and the foreground (h, w)."""
    found = rasant.Preprocessor(bundle.manifest.preprocess.to_params())(frame)
    named = {"color": found.color_input, "depth": found.depth_input}
    return {name: array for name, array in named.items() if array is not None}, found.foreground


def _golden(bundle: rasant.Bundle, model: bytes) -> dict[str, bytes]:
    """The golden file with the new graph's outputs, as ONNX Runtime gives them, beside the float network's."""
    from rasant.bundle.tensors import write_tensors
    from rasant.engines import open_engine

    golden = dict(bundle.golden())
    if not golden or bundle.manifest.parity.golden is None:
        return {}
    golden["float.logits"] = golden["logits"]
    with open_engine("onnxruntime", model) as engine:
        outputs: dict[str, list[Any]] = {name: [] for name in engine.outputs}
        for index in range(len(golden["logits"])):
            for name, array in engine.inputs.items():
                array[0] = golden[name][index]
            engine.infer()
            for name, array in engine.outputs.items():
                outputs[name].append(array[0].copy())
    golden.update({name: np.stack(arrays) for name, arrays in outputs.items()})
    return {bundle.manifest.parity.golden: write_tensors(golden)}
