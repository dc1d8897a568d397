# SPDX-License-Identifier: Apache-2.0
"""What every engine promises, held by each real one: slots, runs in flight, timeouts, layer times, closing."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper

from rasant.engines import Engine, choose_engine, open_engine, probe_engines
from rasant.engines import openvino as openvino_module
from rasant.engines.openvino import OpenVinoEngine
from rasant.errors import ConfigError, EngineError, EngineLost, EngineTimeout, EngineUnavailable
from tiny_bundle import tiny_model

REAL = ["onnxruntime", "openvino"]


def fill(buffers: Any, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs in place; a copy of them."""
    random = np.random.default_rng(seed)
    for array in buffers.values():
        array[...] = random.random(array.shape, np.float32)
    return {name: array.copy() for name, array in buffers.items()}


@pytest.fixture(params=REAL)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Three slots of the tiny graph on each real engine."""
    with open_engine(request.param, tiny_model(), threads=1, slots=3) as opened:
        yield opened


def test_slots_do_not_touch_each_other(engine: Engine) -> None:
    """Three frames in flight give what each gives alone, in whatever order they are waited for."""
    expected = []
    for seed in range(3):
        fill(engine.inputs, seed)
        engine.infer()
        expected.append(engine.outputs["logits"].copy())
    for seed, slot in enumerate(engine.slots):
        fill(slot.inputs, seed)
        engine.submit(seed)
    for seed in (2, 0, 1):
        engine.wait(seed, 30.0)
        np.testing.assert_array_equal(engine.slots[seed].outputs["logits"], expected[seed])
    assert len({array.ctypes.data for slot in engine.slots for array in slot.inputs.values()}) == 6


def test_engines_agree(engine: Engine) -> None:
    """Float32 is float32: no engine rounds to bfloat16, on whatever processor this runs."""
    fill(engine.inputs, 4)
    engine.infer()
    with open_engine("onnxruntime", tiny_model(), threads=1) as reference:
        fill(reference.inputs, 4)
        reference.infer()
        np.testing.assert_allclose(engine.outputs["logits"], reference.outputs["logits"], rtol=1e-4, atol=1e-3)
    assert engine.info.precision == "fp32"
    assert engine.info.open_s > 0


def test_submitting_and_waiting_out_of_turn_is_an_error(engine: Engine) -> None:
    """A busy slot is not started again, nothing is waited for that was not submitted, and slots have bounds."""
    with pytest.raises(EngineError, match="nothing was submitted"):
        engine.wait(1)
    engine.submit(1)
    with pytest.raises(EngineError, match="still runs"):
        engine.submit(1)
    engine.wait(1)
    with pytest.raises(ConfigError, match="0 to 2"):
        engine.submit(3)


@pytest.mark.parametrize("name", REAL)
def test_a_run_that_takes_too_long_can_be_waited_for_again(name: str) -> None:
    """EngineTimeout is a TimeoutError, the slot stays busy, and the late result is still had by the next wait."""
    with open_engine(name, tiny_model(size=(640, 640)), threads=1, slots=2) as engine:
        fill(engine.inputs, 0)
        engine.infer()
        expected = engine.outputs["logits"].copy()
        fill(engine.slots[1].inputs, 0)
        engine.submit(1)
        with pytest.raises(TimeoutError) as caught:
            engine.wait(1, 0.0)
        assert isinstance(caught.value, EngineTimeout)
        engine.wait(1, 30.0)
        np.testing.assert_array_equal(engine.slots[1].outputs["logits"], expected)


def test_profile_names_the_layers_slowest_first(engine: Engine) -> None:
    """Times are positive and sorted; convolutions of the graph are among the layers; the engine still works."""
    layers = engine.profile(3)
    times = [layer.ms for layer in layers]
    assert len(layers) > 2
    assert times == sorted(times, reverse=True)
    assert times[-1] >= 0 < times[0]
    assert any("Conv" in layer.kind for layer in layers)
    engine.infer()


def test_closing_waits_for_what_runs(engine: Engine) -> None:
    """A run in flight is finished before memory is freed; everything raises from then on, but closing again."""
    engine.submit(2)
    engine.close()
    engine.close()
    for call in (engine.infer, engine.submit, engine.profile):
        with pytest.raises(EngineError, match="closed"):
            call()


@pytest.mark.parametrize("name", REAL)
def test_a_run_allocates_nothing_in_python(name: str) -> None:
    """At no time of 100 runs do the allocations reach the size of the smallest array: none is made or copied."""
    with open_engine(name, tiny_model(), threads=1) as engine:
        engine.warmup()
        smallest = min(array.nbytes for array in (*engine.inputs.values(), *engine.outputs.values()))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(100):
                engine.infer()
            now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < smallest
        assert now - before < smallest


def test_openvino_names_ports_as_the_graph_does() -> None:
    """An Identity next to an input or output gives the port two names; the engine takes the graph's own."""
    nodes = [helper.make_node(op, [a], [b]) for op, a, b in
             (("Identity", "color", "aaa"), ("Relu", "aaa", "bbb"), ("Identity", "bbb", "logits"))]  # fmt: skip
    ends = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 2, 2]) for name in ("color", "logits"))
    graph = helper.make_graph(nodes, "renamed", *([end] for end in ends))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with open_engine("openvino", model.SerializeToString(), threads=1) as engine:
        engine.inputs["color"][...] = -1.0
        engine.infer()
        assert not engine.outputs["logits"].any()


def test_openvino_keeps_float32_on_processors_with_bfloat16() -> None:
    """The plugin is told the precision and asked for it; a plugin that rounds all the same is refused."""
    core = openvino.Core()

    class Rounding:
        def get_property(self, name: str) -> Any:
            return ["CPU"] if name == "EXECUTION_DEVICES" else openvino.Type.bf16

    compiled = core.compile_model(core.read_model(tiny_model()), "CPU", openvino_module._properties("CPU", 1, None))
    assert openvino_module._provider(compiled, "CPU") == "CPU"
    with pytest.raises(EngineUnavailable, match="float32"):
        openvino_module._provider(Rounding(), "CPU")


def test_openvino_names_the_devices_it_has() -> None:
    """Without a GPU, "gpu" is refused by name, and taken over by the CPU only when that is allowed, and noted."""
    if "GPU" in openvino.Core().available_devices:
        pytest.skip("this machine has an Intel GPU")
    with pytest.raises(EngineUnavailable, match="finds CPU"):
        open_engine("openvino", tiny_model(), device="gpu")
    with open_engine("openvino", tiny_model(), device="gpu", allow_fallback=True) as engine:
        assert engine.info.fallback
        assert engine.info.device == "cpu"
        assert "asked for GPU" in engine.info.notes[0]
    with pytest.raises(ConfigError, match="npu"):
        open_engine("openvino", tiny_model(), device="cuda")


@pytest.mark.parametrize("model", [b"", b"nonsense", tiny_model()[:-50], tiny_model(dynamic=True)])
def test_openvino_refuses_a_damaged_graph_when_it_is_opened(model: bytes) -> None:
    """One line that says so, without call stacks."""
    with pytest.raises(EngineError) as caught:
        open_engine("openvino", model)
    assert "\n" not in str(caught.value)


def test_openvino_tells_a_lost_device_from_a_failed_run() -> None:
    """Out of memory and lost devices are EngineLost, so that the engine is opened again; anything else is not."""
    assert isinstance(openvino_module._failed(RuntimeError("CL_OUT_OF_HOST_MEMORY: out of host memory")), EngineLost)
    assert type(openvino_module._failed(RuntimeError("Check 'x' failed at a.cpp:1:\nshapes differ"))) is EngineError


def test_openvino_writes_its_cache_where_it_is_told(tmp_path: Path) -> None:
    """The compiled graph lies in the folder, the second start reads it, and both give the same."""
    results = []
    for _ in range(2):
        with open_engine("openvino", tiny_model(), threads=1, cache=tmp_path) as engine:
            fill(engine.inputs, 1)
            engine.infer()
            results.append(engine.outputs["logits"].copy())
        assert len(list(tmp_path.glob("*.blob"))) == 1
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", REAL)
def test_a_forked_child_is_told_to_open_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's threads do not survive a fork."""
    with open_engine(name, tiny_model(), threads=1) as engine:
        pid = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        for call in (engine.infer, engine.submit):
            with pytest.raises(EngineError, match="fork"):
                call()
        monkeypatch.setattr(os, "getpid", lambda: pid)
        engine.infer()


# What "auto" takes ----------------------------------------------------------------------------------------------


def test_auto_takes_the_fastest_certified_engine_and_says_why() -> None:
    """A certificate decides, not mere presence; the reason stands in the engine's info."""
    assert choose_engine({"openvino", "onnxruntime"})[0] == "openvino"
    assert choose_engine({"onnxruntime"})[0] == "onnxruntime"
    assert choose_engine(())[0] == "onnxruntime"
    assert "openvino: not certified by the bundle" in choose_engine(())[1]
    with open_engine("auto", tiny_model(), certified=("openvino",)) as engine:
        assert engine.info.name == "openvino"
        assert "certified" in engine.info.choice


def test_auto_goes_on_where_an_engine_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the openvino package, auto takes ONNX Runtime and gives the reason of the import."""
    def missing() -> Any:
        raise EngineUnavailable("openvino cannot be imported (no module); run `pip install rasant[openvino]`")

    monkeypatch.setattr(openvino_module, "_import", missing)
    assert not OpenVinoEngine.probe().available
    name, why = choose_engine({"openvino"})
    assert name == "onnxruntime"
    assert "pip install rasant[openvino]" in why
    assert not probe_engines()["openvino"].available
