# SPDX-License-Identifier: Apache-2.0
"""The real builder: TensorRT-RTX parses and builds our graphs without a GPU, by the code that builds for a Jetson.

It is TensorRT's parser and builder with the API of version 11. It cannot run a plan here, nor say how fast a Jetson is.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

import rasant
from rasant.bundle.graph_check import describe_graph
from rasant.engines.tensorrt import BuildStep, PlanCache, TensorRTEngine, build_plan
from rasant.errors import ConfigError, EngineError
from rasant_calibration.activation_ranges import limits, measure_activations
from rasant_calibration.half_graph import HalfGraph
from rasant_calibration.quantiser import Quantiser, stages
from tiny_bundle import tiny_model

trt = pytest.importorskip("tensorrt_rtx", reason="pip install rasant[trt-ci] for the real parser and builder")
# RTX says of the timing cache, which every other TensorRT has, that it does nothing.
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "casting.rasant"


def onnx_model(nodes: Any, inputs: Any, outputs: Any) -> bytes:
    """Bytes of a graph with float32 at its border."""
    ins, outs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in border.items()]
        for border in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, "graph", ins, outs)
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


@cache
def example(precision: str) -> bytes:
    """The example bundle's network as it was exported, or as `rasant calibrate` writes it with nothing kept in float;
    ranges are those of a golden frame."""
    bundle = rasant.read_bundle(EXAMPLE)
    model = bundle.graph()
    if precision == "fp32":
        return model
    if precision == "fp16":
        return HalfGraph(model).build()
    golden = {name: array[:1] for name, array in bundle.golden().items() if name in ("color", "depth")}
    return Quantiser(model, limits(measure_activations(model, [golden]), "minmax")).build()


@cache
def for_a_jetson() -> bytes:
    """A small network as torch exports it for the parser of an older TensorRT."""
    torch = pytest.importorskip("torch")
    from rasant_training.export.onnx import to_onnx
    from training.test_export import SHAPES, Typical

    inputs = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    return bytes(to_onnx(Typical().eval(), inputs, profile="jetson").model)


def with_islands(model: bytes) -> bytes:
    """In float16, with every second stage in float32."""
    return HalfGraph(model).build([node for stage in stages(model)[1::2] for node in stage.nodes])


# Every kind of graph that a bundle may hold, with its precision.
GRAPHS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "example": ("fp32", lambda: example("fp32")),
    "example in fp16": ("fp16", lambda: example("fp16")),
    "example in fp16 with islands": ("fp16", lambda: with_islands(example("fp32"))),
    "example in int8": ("int8", lambda: example("int8")),
    "for a Jetson": ("fp32", for_a_jetson),
    "for a Jetson in fp16": ("fp16", lambda: HalfGraph(for_a_jetson()).build()),
    "filter": ("fp32", tiny_model),
    "filter in fp16": ("fp16", lambda: HalfGraph(tiny_model()).build()),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_real_builder_takes_every_graph(name: str, tmp_path: Path) -> None:
    """Parsed, built, kept and found again, with steps that lead to the end; the loader's checks accept it too."""
    precision, make = GRAPHS[name]
    model = make()
    assert describe_graph(model, f"{name}.onnx").precision == precision
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
    with pytest.raises(ConfigError, match="make one with `rasant calibrate fp16`"):
        build_plan(tiny_model(), precision="fp16", device="emu", cache=tmp_path, module=trt)
