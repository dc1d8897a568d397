# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate int8`: a float bundle and good parts in, the same detector in 8-bit integers out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

import rasant
from rasant_calibration.good_parts import hash_pixels
from rasant_calibration.int8 import Effect, Inputs, Int8Choice, choose_int8, probes, silent

__all__ = ["int8", "quantise_bundle"]

GRAPH = "detector.int8.onnx"


def quantise_bundle(
    bundle: rasant.Bundle, frames: list[rasant.Frame], *, target: float = 0.01, max_float: float = 0.1,
    methods: tuple[str, ...] = (), seed: int = 0, progress: Callable[[str], object] = silent,
) -> tuple[rasant.Manifest, dict[str, bytes], Int8Choice]:
    """Manifest and files of the quantised bundle, and what was measured.

    frames: good parts; every second one sets ranges, the others are the probes. See `choose_int8` for the rest. The
    golden outputs become those of the quantised graph in ONNX Runtime, the float network's are kept beside them. The
    threshold and the certificates are dropped: they were made for the float graph. Raises ConfigError for fewer than
    two frames, a bundle of tiles, and as `choose_int8`.
    """
    from rasant.bundle.graph_check import describe_graph
    from rasant.bundle.manifest import Decision, Quantisation

    if bundle.manifest.tiles is not None:
        raise rasant.ConfigError("quantise the bundle before it is given tiles")
    if len(frames) < 2:
        raise rasant.ConfigError(f"expected at least 2 good parts, got {len(frames)}; 20 or more are better")
    prepared = [_prepare(bundle, frame) for frame in frames]
    kernel, model = bundle.manifest.postprocess.kernel, bundle.graph()
    on = probes(model, prepared[1::2], kernel, seed)
    choice = choose_int8(
        model, [inputs for inputs, _ in prepared[::2]], on, kernel=kernel, methods=methods, target=target,
        max_float=max_float, progress=progress,
    )  # fmt: skip
    digest = hashlib.sha256()
    for frame in frames:
        hash_pixels(digest, frame)
    record = Quantisation(
        method=choice.method, frames=len(prepared[::2]), probes=len(on), data_sha256=digest.hexdigest(),
        score_mean=choice.effect.score_mean, score_max=choice.effect.score_max, map_max=choice.effect.map_max,
        float_nodes=choice.float_nodes, float_share=choice.float_share,
        versions={"onnxruntime": version("onnxruntime"), "onnx": version("onnx")},
    )  # fmt: skip
    manifest = bundle.manifest.model_copy(update={
        "graphs": {"detector": describe_graph(choice.model, GRAPH)}, "quantisation": record, "decision": Decision(),
        "certificates": (),
    })  # fmt: skip
    kept = {name: data for name, data in bundle.files.items() if name != bundle.manifest.detector.file}
    return manifest, {**kept, **_golden(bundle, choice.model), GRAPH: choice.model}, choice


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
    parts = _good_frames(source, frames)
    manifest, files, choice = quantise_bundle(
        packed, parts, target=target, max_float=max_float, methods=(method,) if method else (), seed=seed,
        progress=silent if as_json else typer.echo,
    )  # fmt: skip
    rasant.write_bundle(output, manifest, files)
    if as_json:
        typer.echo(json.dumps({**_as_json(choice), "source": source, "frames": len(parts), "output": str(output)}))
        return
    typer.echo(_report(choice))
    typer.echo(f"written: {output}; next: rasant calibrate threshold {output} GOOD_PARTS -o STATION.rasant")


def _good_frames(source: str, count: int) -> list[rasant.Frame]:
    found: list[rasant.Frame] = []
    with rasant.open_source(source, skip_damaged=True) as frames:
        for frame in frames:
            if frame.sample is None or not frame.sample.defective:
                found.append(frame)
            if len(found) == count:
                break
    return found


def _prepare(bundle: rasant.Bundle, frame: rasant.Frame) -> tuple[Inputs, npt.NDArray[np.bool_]]:
    found = rasant.Preprocessor(bundle.manifest.preprocess.to_params())(frame)
    named = {"color": found.color_input, "depth": found.depth_input}
    return {name: array for name, array in named.items() if array is not None}, found.foreground


def _golden(bundle: rasant.Bundle, model: bytes) -> dict[str, bytes]:
    """The golden file with the quantised graph's outputs, as ONNX Runtime gives them, beside the float network's."""
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


def _report(choice: Int8Choice) -> str:
    lines = [f"{'calibration':<20} mean score difference   largest   map RMS"]
    for name, found in choice.methods.items():
        mark = "  <- chosen" if name == choice.method else ""
        lines.append(f"{name:<20} {_numbers(found)}{mark}")
    if choice.alone:
        lines.append("stage alone in integers, worst first")
        lines += [f"{name[-20:]:<20} {_numbers(found)}" for name, found in list(choice.alone.items())[:8]]
    lines.append("stages left in float, and what is left then" if choice.kept else "no stage is left in float")
    lines += [f"{name[-20:]:<20} {_numbers(found)}" for name, found in choice.kept.items()]
    lines.append(f"{100 * choice.float_share:.1f} % of the multiply-adds stay in float")
    return "\n".join(lines)


def _numbers(found: Effect) -> str:
    return f"{found.score_mean:>21.4f} {found.score_max:>9.4f} {found.map_rms:>9.4f}"


def _as_json(choice: Int8Choice) -> dict[str, Any]:
    values = asdict(choice)
    values["size_bytes"] = len(values.pop("model"))
    return values
