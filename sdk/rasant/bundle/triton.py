# SPDX-License-Identifier: Apache-2.0
"""A bundle's networks as a model repository of Triton Inference Server: many cameras, one server.

    DIR/MODEL/config.pbtxt      tensors, instances, warm-up, and what identifies the bundle
    DIR/MODEL/1/model.onnx      the graph as it stands in the bundle, for the ONNX Runtime backend

The server computes logits. Preprocessing, score and verdict stay with the client, which needs the bundle for them; the
parameter `rasant.bundle_sha256` says which. Shapes are static, so the server does not batch: `max_batch_size` is 0 and
the dimensions are the graph's own, with their leading 1. A graph is warmed up before the server calls it ready.

Source of the format: `model_config.proto` of Triton, whose text form this is.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rasant.bundle.manifest import GraphSpec, TensorSpec
from rasant.bundle.reader import Bundle
from rasant.errors import ConfigError

__all__ = ["model_config", "write_triton_repository"]


def write_triton_repository(bundle: Bundle, folder: Path) -> tuple[Path, ...]:
    """Write every graph of a bundle below `folder`; returns the folders of the models.

    A model is called as the bundle's category; other graphs than the detector have their name added. A model appears
    with all its files at once, so a server that watches the folder never sees half of one.

    Raises ConfigError where a model of that name is there already; OSError from the disk.
    """
    graphs = bundle.manifest.graphs
    targets = {name: folder / _model_name(bundle.manifest.category, name) for name in graphs}
    for target in targets.values():
        if target.exists():
            raise ConfigError(f"{target} is there already; remove it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        staging = Path(tempfile.mkdtemp(prefix=".rasant-", dir=folder))
        try:
            staging.chmod(0o755)
            (staging / "config.pbtxt").write_text(model_config(bundle, name, target.name), encoding="utf-8")
            (staging / "1").mkdir()
            (staging / "1" / "model.onnx").write_bytes(bundle.graph(name))
            staging.rename(target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return tuple(targets.values())


def model_config(bundle: Bundle, graph: str, name: str) -> str:
    """The text of `config.pbtxt` for one graph. name: of the model, which must be that of its folder."""
    manifest = bundle.manifest
    spec = manifest.graphs[graph]
    told = {
        "bundle_sha256": bundle.sha256, "bundle": bundle.name, "graph": graph, "precision": spec.precision,
        "method": manifest.method, "preset": manifest.preset, "category": manifest.category,
        "threshold": "" if manifest.decision.threshold is None else repr(manifest.decision.threshold),
    }  # fmt: skip
    parameters = "".join(
        f"parameters {{\n  key: {_quoted(f'rasant.{key}')}\n  value {{ string_value: {_quoted(value)} }}\n}}\n"
        for key, value in told.items()
    )
    return (
        f'name: {_quoted(name)}\nbackend: "onnxruntime"\ndefault_model_filename: "model.onnx"\nmax_batch_size: 0\n'
        f"{_tensors('input', spec.inputs)}{_tensors('output', spec.outputs)}"
        f"instance_group {{ kind: KIND_AUTO count: 1 }}\n{_warmup(spec)}{parameters}"
    )


def _model_name(category: str, graph: str) -> str:
    """A name that is a folder, a part of a URL and an argument alike."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", category).strip("_") or "detector"
    return name if graph == "detector" else f"{name}_{graph}"


def _tensors(kind: str, tensors: Iterable[TensorSpec]) -> str:
    return "".join(
        f"{kind} {{\n  name: {_quoted(tensor.name)}\n  data_type: TYPE_FP32\n  dims: {list(tensor.shape)}\n}}\n"
        for tensor in tensors
    )


def _warmup(spec: GraphSpec) -> str:
    inputs = "".join(
        f"  inputs {{\n    key: {_quoted(tensor.name)}\n"
        f"    value {{ data_type: TYPE_FP32 dims: {list(tensor.shape)} zero_data: true }}\n  }}\n"
        for tensor in spec.inputs
    )
    return f'model_warmup {{\n  name: "zeros"\n  batch_size: 1\n  count: 2\n{inputs}}}\n'


def _quoted(text: str) -> str:
    """A string of protobuf's text format: JSON's escapes are among its own, and what is not ASCII is UTF-8."""
    return json.dumps(text, ensure_ascii=False)
