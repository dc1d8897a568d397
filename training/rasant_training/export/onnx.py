# SPDX-License-Identifier: Apache-2.0
"""A network as one static ONNX file: fixed shapes, no external data, no trace of the machine that exported it."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch

from rasant.errors import ConfigError, ModelError

__all__ = ["PROFILES", "OnnxExport", "Profile", "output_names", "to_onnx"]

OUTPUTS = ("logits", "residual")  # of a network that names no others
# torch names each torchvision operator that it does not find; a failed conversion to opset 17 is told by the result.
LOGGERS = {"torch.onnx": logging.ERROR, "onnxscript": logging.CRITICAL}


@dataclass(frozen=True)
class Profile:
    """What must be able to read the graph. ir_version: highest that the reader knows."""

    opset: int
    ir_version: int
    reader: str


PROFILES: dict[str, Profile] = {
    "modern": Profile(18, 10, "ONNX Runtime 1.18, OpenVINO 2024 and TensorRT 10.6 or newer"),
    "jetson": Profile(17, 8, "TensorRT 8.6 (JetPack 6.0) and 10.3 (JetPack 6.1, 6.2)"),
}
IR_OF_OPSET = {17: 8, 18: 10}


@dataclass(frozen=True)
class OnnxExport:
    """The graph's bytes, and how they were made. exporter: "dynamo", or "legacy" when dynamo could not go so low."""

    model: bytes
    opset: int
    ir_version: int
    exporter: str


def to_onnx(
    network: torch.nn.Module, inputs: Mapping[str, torch.Tensor], *, profile: str = "modern", opset: int | None = None
) -> OnnxExport:
    """Export `network`, whose forward takes `inputs` in their order and returns (logits, residual), or what
    its `outputs` names.

    inputs: name -> (1, C, h, w) float32 example, which fixes the shapes. opset 17 is converted down by onnx; where that
    fails, torch's older exporter is used and the answer says so. Raises ConfigError for an unknown profile or opset.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown export profile {profile!r}; known profiles: {', '.join(PROFILES)}")
    opset = PROFILES[profile].opset if opset is None else opset
    if opset not in IR_OF_OPSET:
        raise ConfigError(f"opset must be 17 or 18, got {opset}")
    network = network.eval()
    exporter = "dynamo"
    model = _dynamo(network, inputs, opset)
    if model is None:
        exporter, model = "legacy", _legacy(network, inputs, opset)
    _anonymise(model)
    model.ir_version = min(model.ir_version, IR_OF_OPSET[opset], PROFILES[profile].ir_version)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    return OnnxExport(content, opset, model.ir_version, exporter)


def output_names(network: torch.nn.Module) -> tuple[str, ...]:
    """Names of what the export form of a method returns, in order."""
    names: tuple[str, ...] = getattr(network, "outputs", OUTPUTS)
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters say about themselves; everything else is still heard."""
    loggers = {logging.getLogger(name): level for name, level in LOGGERS.items()}
    before = {logger: logger.level for logger in loggers}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(onnxscript|torch|copyreg)(\..*)?")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(onnxscript|torch|copyreg)(\..*)?")
        warnings.filterwarnings("ignore", message=r".*legacy TorchScript-based ONNX export.*")
        warnings.filterwarnings("ignore", message=r".*the opset version 1\d.*")
        warnings.filterwarnings("ignore", message=r".*torchvision is not installed.*")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        try:
            for logger, level in loggers.items():
                logger.setLevel(level)
            yield
        finally:
            for logger, level in before.items():
                logger.setLevel(level)


def _dynamo(network: torch.nn.Module, inputs: Mapping[str, torch.Tensor], opset: int) -> onnx.ModelProto | None:
    """The graph from torch.export; None when it could not be brought down to `opset`."""
    with _quiet():
        program = torch.onnx.export(
            network, tuple(inputs.values()), input_names=list(inputs), output_names=list(output_names(network)),
            opset_version=opset, dynamo=True, external_data=False, verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    reached = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return model if reached == [opset] else None


def _legacy(network: torch.nn.Module, inputs: Mapping[str, torch.Tensor], opset: int) -> onnx.ModelProto:
    """The graph from tracing."""
    buffer = io.BytesIO()
    with _quiet():
        torch.onnx.export(
            network, tuple(inputs.values()), buffer, input_names=list(inputs),  # type: ignore[arg-type]
            output_names=list(output_names(network)), opset_version=opset, dynamo=False, do_constant_folding=True,
        )
    return onnx.load_model_from_string(buffer.getvalue())


def _anonymise(model: onnx.ModelProto) -> None:
    """Drop doc strings and metadata: the exporters write source paths and stack traces of this machine there."""
    if len(model.functions):
        raise ModelError(f"the exporter left {len(model.functions)} model-local functions; a bundle may not have any")
    model.doc_string = ""
    model.producer_name, model.producer_version = "rasant", ""
    owners: list[Any] = [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                         *model.graph.value_info, *model.graph.initializer]
    for owner in owners:
        del owner.metadata_props[:]
        owner.doc_string = ""
    del model.graph.value_info[:]
    standard = [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    used = {node.domain for node in model.graph.node}
    if used - {"", "ai.onnx"}:
        raise ModelError(f"the exporter used operators of {sorted(used)}; a bundle may only use the standard ones")
    del model.opset_import[:]
    model.opset_import.extend(standard)
