# SPDX-License-Identifier: Apache-2.0
"""From the folder of a run to a `.rasant` bundle: graph, certificate, limits of good frames, attribution levels."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rasant.bundle import Manifest, write_bundle
from rasant.bundle.graph_check import describe_graph
from rasant.bundle.manifest import (
    Attribution,
    Camera,
    Exposure,
    Gate,
    Level,
    Parity,
    Postprocess,
    Preprocess,
    Tiles,
    Training,
    Validity,
)
from rasant.bundle.tensors import write_tensors
from rasant.bundle.writer import list_files
from rasant.engines.onnxruntime import OnnxRuntimeEngine
from rasant.errors import ConfigError, SourceError
from rasant_training.data.parts import PreparedParts, prepare_parts
from rasant_training.export.golden import golden_camera, golden_frames, golden_pixels, network_inputs
from rasant_training.export.onnx import OnnxExport, to_onnx
from rasant_training.export.verify import Golden, compare, make_golden, random_inputs
from rasant_training.method import load_method
from rasant_training.recipe import Recipe, as_toml, with_deployment
from rasant_training.rundir import RunRecord, read_run
from rasant_training.trained import trained_network

__all__ = ["attribution_levels", "export_run", "validity_limits"]

GRAPH, GOLDEN = "detector.onnx", "golden.safetensors"
RANDOM_FRAMES = 2  # noise that the exported graph is held to as well: a wrong resize cannot hide in it
LEVEL_PARTS = 20  # good parts that set the attribution levels
MINIMUM_RUNTIME = {8: "1.14", 10: "1.18"}  # ONNX Runtime that reads an IR version


def export_run(
    run: Path, out: Path, *, profile: str = "modern", opset: int | None = None, licence: str = "Apache-2.0",
    data: str = "", tile_overlap: int | None = None, changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the bundle of a run's latest checkpoint and return what a person wants to know about it.

    data: source of good parts when it moved since training. tile_overlap: make a bundle that runs the network on tiles
    of the size of its training crops, which share at least so many pixels; None runs it on the whole image.
    changes: other values of `settings.deploy`, nested as in a recipe.

    Raises ConfigError without a run, CheckpointError for a damaged checkpoint, ModelError when the graph differs from
    the network, SourceError when the parts are gone.
    """
    record = read_run(run)
    record = replace(record, recipe=with_deployment(record.recipe, changes or {}))
    data = data or record.data
    trained_on = prepare_parts(data, record.recipe.preprocess, record.recipe.data, estimate=False)
    model, progress = trained_network(run, record.recipe, trained_on)
    network = load_method(record.recipe.method).export_module(model).eval()
    parts = _good_parts(record, data, trained_on)
    inputs = _inputs(record, parts)
    gate = getattr(network, "gate", None)
    if gate is not None and tile_overlap is not None:
        raise ConfigError("a gate decides over whole images: leave --tile-overlap out, or train with the gate open")
    tiles = _tiles(record.recipe, tile_overlap)
    shapes = {name: (1, *stack.shape[1:]) for name, stack in _centre(inputs, tiles).items()}
    exported = to_onnx(network, {name: torch.zeros(shape) for name, shape in shapes.items()}, profile=profile,
                       opset=opset)
    frames = golden_frames(data)
    golden = make_golden(network, _centre(network_inputs(record.recipe, frames), tiles))
    noise = make_golden(network, random_inputs(shapes, RANDOM_FRAMES, record.recipe.loop.seed))
    with OnnxRuntimeEngine(exported.model, threads=1) as engine:
        compare(engine, noise)
        parity = compare(engine, golden)
    manifest = _manifest(record, exported, progress.step, licence, tiles, gate).model_copy(update={
        "attribution": attribution_levels(network, record, inputs, parts),
        "parity": Parity(golden=GOLDEN, frames=golden_camera(frames[0]), records=(parity,)),
    })
    files = {GRAPH: exported.model, GOLDEN: write_tensors({**golden.arrays, **golden_pixels(record.recipe, frames)})}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(out, manifest, files)
    return _report(out, exported, golden, manifest, progress.step)


def _good_parts(record: RunRecord, data: str, trained_on: PreparedParts) -> PreparedParts:
    """Good parts that were not trained on, or the trained ones where the source has no others."""
    try:
        return prepare_parts(data, record.recipe.preprocess, record.recipe.data, split="validation")
    except (SourceError, ConfigError):
        return trained_on


def _inputs(record: RunRecord, parts: PreparedParts) -> dict[str, Any]:
    """Network inputs (N, C, h, w) of the modalities in use, in graph order."""
    stacks = {"color": parts.color, "depth": parts.depth[:, None]}
    return {name: stacks[name][:LEVEL_PARTS] for name in record.recipe.inputs}


def _tiles(recipe: Recipe, overlap: int | None) -> Tiles | None:
    """Tiles as large as the crops of the training, in an image that is at least as large. Raises ConfigError."""
    if overlap is None:
        return None
    side = recipe.data.crop
    if side > min(recipe.preprocess.size) or overlap >= side:
        raise ConfigError(
            f"tiles are as large as the training's crops of {side} pixels: the prepared image must not be smaller, got "
            f"{recipe.preprocess.size}, and the overlap must be, got {overlap}; leave it out or train with other crops"
        )
    return Tiles(size=(side, side), overlap=overlap)


def _centre(stacks: dict[str, Any], tiles: Tiles | None) -> dict[str, Any]:
    """The middle tile of (N, C, H, W) images; the images themselves without tiles."""
    if tiles is None:
        return stacks
    middle: dict[str, Any] = {}
    for name, stack in stacks.items():
        y, x = ((length - side) // 2 for length, side in zip(stack.shape[2:], tiles.size, strict=True))
        middle[name] = np.ascontiguousarray(stack[:, :, y : y + tiles.size[0], x : x + tiles.size[1]])
    return middle


def _manifest(
    record: RunRecord, exported: OnnxExport, steps: int, licence: str, tiles: Tiles | None, gate: Gate | None
) -> Manifest:
    recipe = record.recipe
    return Manifest(
        method=recipe.method,
        preset=recipe.preset,
        category=record.category,
        created=datetime.datetime.fromisoformat(record.created),
        licence=licence,
        graphs={"detector": describe_graph(exported.model, GRAPH)},
        files=list_files({GRAPH: exported.model}),  # the writer completes it
        preprocess=Preprocess.from_params(recipe.preprocess),
        tiles=tiles,
        gate=gate,
        postprocess=Postprocess(
            kernel=recipe.postprocess.kernel, pixel_map=recipe.postprocess.pixel_map,
            mask_to_foreground=recipe.postprocess.mask_to_foreground,
            foreground_dilate_px=recipe.postprocess.foreground_dilate_px,
        ),
        validity=validity_limits(record.limits),
        camera=Camera(width=record.intrinsics.width, height=record.intrinsics.height),
        training=Training(data_sha256=record.sha256, seed=recipe.loop.seed, steps=steps, recipe=as_toml(recipe),
                          versions=record.versions),
        minimum_versions={"onnxruntime": MINIMUM_RUNTIME[exported.ir_version]},
    )


def validity_limits(limits: dict[str, float]) -> Validity:
    """Limits that every good training part keeps with room to spare; what leaves them is not the trained scene.

    limits: `NAME.min` and `NAME.max` of the statistics of `data.parts`.
    """
    default = Validity()
    values: dict[str, Any] = {}
    if "valid_depth.min" in limits:
        near, far = limits["depth_low_m.min"], limits["depth_high_m.max"]
        room = max(0.05, 0.25 * far)  # metres; flying pixels and tilted parts stay inside
        values["min_valid_depth"] = round(0.8 * limits["valid_depth.min"], 3)
        values["depth_range_m"] = (round(max(near - room, 0.0), 3), round(far + room, 3))
    if "color_mean.min" in limits:
        values["exposure"] = Exposure(
            min_mean=round(0.5 * limits["color_mean.min"], 1),
            max_mean=round(min(default.exposure.max_mean, 255 - 0.5 * (255 - limits["color_mean.max"])), 1),
            min_std=round(min(0.5 * limits["color_std.min"], 128.0), 1),
        )
    return default.model_copy(update=values)


@torch.no_grad()
def attribution_levels(
    network: torch.nn.Module, record: RunRecord, inputs: dict[str, Any], parts: PreparedParts
) -> Attribution:
    """Mean and standard deviation, over the foreground of good parts, of each modality's residual.

    The residual is first averaged over the score's box, because that is the scale at which regions are compared.
    """
    kernel = record.recipe.postprocess.kernel
    seen: list[list[torch.Tensor]] = [[] for _ in inputs]
    for index, images in enumerate(zip(*inputs.values(), strict=True)):
        residual = network(*(torch.from_numpy(image[None]) for image in images))[1]
        pooled = functional.avg_pool2d(residual, kernel, 1, kernel // 2, count_include_pad=False)[0]
        foreground = torch.from_numpy(parts.foreground[index])
        for modality, values in enumerate(pooled):
            seen[modality].append(values[foreground])
    levels = {}
    for name, values in zip(inputs, seen, strict=True):
        every = torch.cat(values).double()
        levels[name] = Level(mean=float(every.mean()), std=max(float(every.std()), 1e-9))
    return Attribution(**levels)


def _report(out: Path, exported: OnnxExport, golden: Golden, manifest: Manifest, steps: int) -> dict[str, Any]:
    (record,) = manifest.parity.records
    return {
        "bundle": str(out),
        "size_bytes": out.stat().st_size,
        "steps": steps,
        "opset": exported.opset,
        "ir_version": exported.ir_version,
        "exporter": exported.exporter,
        "parity_engine": record.engine,
        "parity_frames": golden.frames,
        "parity_max_abs": record.max_abs,
        "parity_mean_abs": record.mean_abs,
        "threshold": None,
        "next": f"rasant calibrate threshold {out} SOURCE -o STATION.rasant",
    }
