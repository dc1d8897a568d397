# SPDX-License-Identifier: Apache-2.0
"""The tiny bundle with golden frames: two plates, what preprocessing makes of them, and what its graph answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import rasant
from rasant.bundle.manifest import GoldenFrames, Parity
from rasant.bundle.tensors import write_tensors
from rasant.engines import open_engine
from tiny_bundle import plate_frame, tiny_manifest, tiny_model, write_tiny_bundle

GOLDEN = "golden.safetensors"


def write_golden_bundle(path: Path, *, frames: int = 2, **options: Any) -> Path:
    """A tiny bundle whose golden frames were made by its own graph in ONNX Runtime. Options as `write_tiny_bundle`."""
    model = tiny_model()
    preprocess = rasant.Preprocessor(tiny_manifest(model).preprocess.to_params())
    stacks: dict[str, list[Any]] = {}
    with open_engine("onnxruntime", model, threads=1) as engine:
        for index in range(frames):
            frame = plate_frame(index=index)
            preprocess(frame, engine.inputs["color"], engine.inputs["depth"])
            engine.infer()
            arrays = {"frame.color": frame.color, "frame.depth": frame.depth}
            arrays |= {name: array[0] for name, array in (*engine.inputs.items(), *engine.outputs.items())}
            for name, array in arrays.items():
                stacks.setdefault(name, []).append(np.array(array))
    camera = GoldenFrames(depth_scale=frame.depth_scale, **asdict(frame.intrinsics))
    golden = write_tensors({name: np.stack(images) for name, images in stacks.items()})
    parity = Parity(golden=GOLDEN, frames=camera)
    return write_tiny_bundle(path, files={GOLDEN: golden}, parity=parity, **options)


def rewrite(path: Path, out: Path, *, weights: Callable[[Any], Any] | None = None, **fields: Any) -> Path:
    """The same bundle with `weights` applied to every float weight, and fields of the manifest replaced: all hashes
    fit, as if somebody had built it so."""
    bundle = rasant.read_bundle(path)
    files: Mapping[str, bytes] = bundle.files
    if weights is not None:
        proto = onnx.load_model_from_string(bundle.graph())
        for tensor in proto.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                changed = np.asarray(weights(numpy_helper.to_array(tensor)), np.float32)
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        files = {**files, bundle.manifest.detector.file: proto.SerializeToString()}
    return rasant.write_bundle(out, bundle.manifest.model_copy(update=fields), files)
