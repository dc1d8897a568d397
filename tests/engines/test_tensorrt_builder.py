# SPDX-License-Identifier: Apache-2.0
"""The real builder: TensorRT-RTX parses and builds our graphs without a GPU, by the code that builds for a Jetson.

It is TensorRT's parser and builder with the API of version 11. It cannot run a plan here, nor say how fast a Jetson is.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import rasant
from rasant.bundle.graph_check import describe_graph
from rasant.engines.tensorrt import BuildStep, PlanCache, TensorRTEngine, build_plan
from rasant.errors import ConfigError, EngineError
from tiny_bundle import tiny_model

trt = pytest.importorskip("tensorrt_rtx", reason="pip install rasant[trt-ci] for the real parser and builder")
# RTX says of the timing cache, which every other TensorRT has, that it does nothing.
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "casting.rasant"


def onnx_model(nodes: Any, inputs: Any, outputs: Any, weights: Any = ()) -> bytes:
    """Bytes of a graph with float32 at its border."""
    ins, outs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in border.items()]
        for border in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, "graph", ins, outs, list(weights))
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def conv_model(kind: int = TensorProto.FLOAT) -> bytes:
    """Two convolutions over an image, in float32, or in float16 behind casts."""
    random = np.random.default_rng(0)
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    weights = [
        numpy_helper.from_array(random.normal(0.0, 0.2, shape).astype(dtype), name)
        for name, shape in (("w1", (8, 3, 3, 3)), ("b1", (8,)), ("w2", (2, 8, 3, 3)), ("b2", (2,)))
    ]
    nodes = [
        helper.make_node("Cast", ["color"], ["x"], to=kind),
        helper.make_node("Conv", ["x", "w1", "b1"], ["h"], pads=[1] * 4),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "w2", "b2"], ["y"], pads=[1] * 4),
        helper.make_node("Cast", ["y"], ["logits"], to=TensorProto.FLOAT),
    ]
    return onnx_model(nodes, {"color": [1, 3, 32, 32]}, {"logits": [1, 2, 32, 32]}, weights)


class _Frames(CalibrationDataReader):
    """Three random images."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self._frames = iter([{"color": random.random((1, 3, 32, 32), np.float32)} for _ in range(3)])

    def get_next(self) -> Any:
        return next(self._frames, None)


def quantised_model() -> bytes:
    """The float32 convolutions with Q/DQ pairs, as ONNX Runtime's static quantisation writes them."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            onnx.load_from_string(conv_model()), target, _Frames(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )  # fmt: skip
        model = onnx.load(target)
    del model.opset_import[1:]  # domains of ONNX Runtime's own, which the graph does not use
    return bytes(model.SerializeToString())


def graphs() -> list[tuple[str, bytes]]:
    """Every kind of graph that a bundle may hold, by name. The precision is read from the graph."""
    return [
        ("example", rasant.read_bundle(EXAMPLE).graph()),
        ("filter", tiny_model()),
        ("fp16", conv_model(TensorProto.FLOAT16)),
        ("int8", quantised_model()),
    ]


GRAPHS = graphs()


@pytest.mark.parametrize(("name", "model"), GRAPHS, ids=[name for name, _ in GRAPHS])
def test_the_real_builder_takes_every_graph(name: str, model: bytes, tmp_path: Path) -> None:
    """Parsed, built, kept and found again, with steps that lead to the end; the loader's checks accept it too."""
    precision = describe_graph(model, f"{name}.onnx").precision
    assert precision == (name if name in ("fp16", "int8") else "fp32")
    steps: list[BuildStep] = []
    record = build_plan(model, precision=precision, device="emu", cache=tmp_path, module=trt, progress=steps.append)
    plan, found = PlanCache(tmp_path).find(record.fields)
    assert found == record
    assert plan[:4] == b"vtrt"
    assert (record.fields.package, record.fields.version) == ("tensorrt_rtx", trt.__version__)
    assert steps[-1].phase
    assert any(step.total and step.done == step.total for step in steps)


def test_loading_without_a_gpu_is_an_error_with_the_reason(tmp_path: Path) -> None:
    """The real runtime gives None for a plan where it finds no GPU; the engine tells its log."""
    build_plan(tiny_model(), device="emu", cache=tmp_path, module=trt)
    with pytest.raises(EngineError, match=r"cannot load the plan: .*[Cc]uda"):
        TensorRTEngine(tiny_model(), device="emu", cache=tmp_path, module=trt)


def test_what_the_real_parser_refuses_is_named(tmp_path: Path) -> None:
    """A graph that other engines run: TensorRT has no 8-bit unsigned values inside a network, and says so."""
    nodes = [
        helper.make_node("Cast", ["x"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Add", ["bytes", "bytes"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(EngineError, match=r"refuses the graph: Cast.*UINT8"):
        build_plan(onnx_model(nodes, {"x": [1, 8]}, {"y": [1, 8]}), device="emu", cache=tmp_path, module=trt)


INTERRUPTED = """
import signal, sys, time, warnings
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
import rasant, tensorrt_rtx
from rasant.engines.tensorrt import build_plan
warnings.simplefilter("ignore")
model, seen = rasant.read_bundle(sys.argv[1]).graph(), []
def tell(step):
    if step.total and not seen:
        seen.append(step)
        print("building", flush=True)
    time.sleep(0.1)  # at each of its steps, so that a fast machine is not done before the signal comes
try:
    build_plan(model, device="emu", cache=Path(sys.argv[2]), module=tensorrt_rtx, progress=tell)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.7])
def test_ctrl_c_ends_the_real_build(delay_s: float, tmp_path: Path) -> None:
    """Whenever it comes: the builder stops at its next step, nothing is kept, and the bindings print nothing."""
    command = [sys.executable, "-c", INTERRUPTED, EXAMPLE, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[0] == "interrupted\n"
    assert list(tmp_path.glob("*.plan")) == []


def test_what_a_listener_raises_ends_the_real_build(tmp_path: Path) -> None:
    """TensorRT is told to stop, and the caller sees its own exception."""

    def stop(step: BuildStep) -> None:
        if step.total and step.done == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        build_plan(tiny_model(), device="emu", cache=tmp_path, module=trt, progress=stop)
    assert list(tmp_path.glob("*.plan")) == []


def test_precision_is_that_of_the_graph(tmp_path: Path) -> None:
    """A strongly typed TensorRT makes no fp16 of a float32 graph, and says what is needed."""
    with pytest.raises(ConfigError, match="take the fp16 graph"):
        build_plan(tiny_model(), precision="fp16", device="emu", cache=tmp_path, module=trt)
