# SPDX-License-Identifier: Apache-2.0
"""The ONNX Runtime engine: bound buffers, the truth about the provider, and errors instead of surprises."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from rasant.engines import ENGINES, EngineInfo, Probe, open_engine, probe_engines
from rasant.engines import onnxruntime as engine_module
from rasant.engines.onnxruntime import OnnxRuntimeEngine
from rasant.engines.openvino import OpenVinoEngine
from rasant.errors import ConfigError, EngineError, EngineUnavailable
from tiny_bundle import tiny_model


def fill(engine: Any, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs in place; a copy for comparison."""
    random = np.random.default_rng(seed)
    for array in engine.inputs.values():
        array[...] = random.random(array.shape, np.float32)
    return {name: array.copy() for name, array in engine.inputs.items()}


@pytest.mark.parametrize("modalities", ["rgbd", "rgb", "depth"])
def test_outputs_are_those_of_the_runtime_itself(modalities: str) -> None:
    """Bit for bit what a plain session gives for the same inputs."""
    model = tiny_model(modalities=modalities)
    with open_engine("onnxruntime", model, threads=1) as engine:
        inputs = fill(engine)
        engine.infer()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        expected = session.run(None, inputs)
        for argument, array in zip(session.get_outputs(), expected, strict=True):
            np.testing.assert_array_equal(engine.outputs[argument.name], array)


def test_buffers_are_the_same_for_the_whole_life() -> None:
    """Inputs are read and outputs written in place: addresses never change, and the maps cannot be replaced."""
    with open_engine("auto", tiny_model(), threads=1) as engine:
        arrays = {**engine.inputs, **engine.outputs}
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        for seed in range(3):
            fill(engine, seed)
            before = engine.outputs["logits"].copy()
            engine.infer()
            assert not np.array_equal(engine.outputs["logits"], before)
        assert {name: array.ctypes.data for name, array in arrays.items()} == addresses
        assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in arrays.values())
        with pytest.raises(TypeError):
            engine.inputs["color"] = arrays["color"]  # type: ignore[index]


def test_info_is_what_the_runtime_says() -> None:
    """Provider and version come from the session, not from the request."""
    with open_engine("onnxruntime", tiny_model(), threads=1, precision="fp32") as engine:
        assert engine.info == EngineInfo("onnxruntime", onnxruntime.__version__, "CPUExecutionProvider", "fp32", "cpu")
        assert str(engine.info) == f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider"


def test_a_nan_in_the_input_reaches_the_output() -> None:
    """The engine hides nothing: what the network makes of NaN is what the verdict sees."""
    with open_engine("onnxruntime", tiny_model(nonfinite=float("nan"), nonfinite_at=(3, 5)), threads=1) as engine:
        fill(engine)
        engine.infer()
        assert np.isnan(engine.outputs["logits"]).sum() == 2
        assert np.isnan(engine.outputs["logits"][0, :, 3, 5]).all()


@pytest.mark.parametrize("model", [b"", b"nonsense", tiny_model()[:-50], tiny_model(dynamic=True)])
def test_a_graph_that_cannot_run_is_an_engine_error(model: bytes) -> None:
    """Damaged graphs and dynamic shapes are refused when the engine is opened."""
    with pytest.raises(EngineError):
        open_engine("onnxruntime", model)


@pytest.mark.parametrize(
    "options", [{"name": "magic"}, {"device": "gpu"}, {"device": "cuda:x"}, {"device": "emu"}, {"threads": -1}]
)
def test_wrong_options_are_configuration_errors(options: dict[str, Any]) -> None:
    """Unknown engines, devices and negative threads are named."""
    with pytest.raises(ConfigError):
        open_engine(**{"name": "onnxruntime", "model": tiny_model(), **options})


def test_use_after_close_is_an_error() -> None:
    """A closed engine says so; closing twice is fine and the buffers stay readable."""
    engine = open_engine("onnxruntime", tiny_model(), threads=1)
    engine.infer()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer()
    assert np.isfinite(engine.outputs["logits"]).all()


# A stand-in for the runtime, to show what no CI machine can do -----------------------------------------------------


class FakeSession:
    """A session that reports `used` and fails on `failing`."""

    def __init__(self, used: str, failing: Exception | None = None) -> None:
        self.used, self.failing, self.entered, self.leave = used, failing, threading.Event(), threading.Event()
        self.leave.set()
        argument = SimpleNamespace(name="x", type="tensor(float)", shape=[1, 1, 4, 4])
        self.get_inputs = lambda: [argument]
        self.get_outputs = lambda: [SimpleNamespace(name="y", type="tensor(float)", shape=[1, 1, 4, 4])]
        self.get_providers = lambda: [used]
        self.disable_fallback = lambda: None
        self.io_binding = lambda: SimpleNamespace(bind_input=lambda *a: None, bind_output=lambda *a: None)

    def run_with_iobinding(self, binding: object) -> None:
        self.entered.set()
        assert self.leave.wait(10)
        if self.failing:
            raise self.failing


def fake(session: FakeSession, available: tuple[str, ...]) -> Any:
    return SimpleNamespace(
        __version__="0.0", SessionOptions=SimpleNamespace, ExecutionMode=SimpleNamespace(ORT_SEQUENTIAL=0),
        GraphOptimizationLevel=SimpleNamespace(ORT_ENABLE_ALL=99), get_available_providers=lambda: list(available),
        InferenceSession=lambda model, sess_options, providers: session,
    )  # fmt: skip


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(("used", "available"), [(CPU, (CUDA, CPU)), (CPU, (CPU,))], ids=["silent", "absent"])
def test_a_silent_fallback_to_the_cpu_is_refused(used: str, available: tuple[str, ...]) -> None:
    """ONNX Runtime lists CUDA and opens on the CPU: an error, or on request a note and a flag."""
    module = fake(FakeSession(used), available)
    with pytest.raises(EngineUnavailable, match="asked for CUDAExecutionProvider, in use is CPUExecutionProvider"):
        OnnxRuntimeEngine(b"", device="cuda", module=module)
    engine = OnnxRuntimeEngine(b"", device="cuda:1", allow_fallback=True, module=module)
    assert engine.info.fallback and engine.info.device == "cpu" and engine.info.provider == CPU
    assert "asked for CUDAExecutionProvider" in engine.info.notes[0]


def test_a_device_that_is_in_use_is_reported() -> None:
    """No fallback, no note."""
    engine = OnnxRuntimeEngine(b"", device="cuda:2", module=fake(FakeSession(CUDA), (CUDA, CPU)))
    info = engine.info
    assert (info.device, info.provider, info.fallback, info.notes) == ("cuda:2", CUDA, False, ())


def test_a_failing_run_is_an_engine_error_and_the_next_may_work() -> None:
    """Whatever the runtime raises becomes EngineError with its text; the engine is not stuck."""
    session = FakeSession(CPU, RuntimeError("out of memory"))
    engine = OnnxRuntimeEngine(b"", module=fake(session, (CPU,)))
    for _ in range(3):
        with pytest.raises(EngineError, match="out of memory"):
            engine.infer()
    session.failing = None
    engine.infer()


def test_two_threads_on_one_engine_are_told_apart() -> None:
    """The second thread gets an error at once, never another frame's output."""
    session = FakeSession(CPU)
    engine = OnnxRuntimeEngine(b"", module=fake(session, (CPU,)))
    session.leave.clear()
    thread = threading.Thread(target=engine.infer)
    thread.start()
    assert session.entered.wait(10)
    with pytest.raises(EngineError, match="another run"):
        engine.infer()
    session.leave.set()
    thread.join(10)
    engine.infer()


def test_a_forked_child_is_told_to_open_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's threads do not survive a fork; a clear error instead of a hang."""
    engine = OnnxRuntimeEngine(b"", module=fake(FakeSession(CPU), (CPU,)))
    monkeypatch.setattr(engine_module.os, "getpid", lambda: -1)
    with pytest.raises(EngineError, match="forked"):
        engine.infer()


def test_probing_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or broken package is a reason, not an exception; "auto" then lists the reasons."""
    assert probe_engines()["onnxruntime"] == Probe(True, version=onnxruntime.__version__)
    for failure in (ImportError("no module"), OSError("libfoo.so: cannot open"), SystemError("broken")):

        def fail(name: str, failure: Exception = failure) -> Any:
            raise failure

        monkeypatch.setattr(engine_module.importlib, "import_module", fail)
        probe = OnnxRuntimeEngine.probe()
        assert not probe.available and str(failure) in probe.reason
    monkeypatch.undo()
    for kind in (OnnxRuntimeEngine, OpenVinoEngine):
        monkeypatch.setattr(kind, "probe", classmethod(lambda cls: Probe(False, "on strike")))
    with pytest.raises(EngineUnavailable, match="onnxruntime: on strike"):
        open_engine("auto", tiny_model())


def test_the_module_loads_no_runtime() -> None:
    """`import rasant.engines` and the engine's own module stay light until an engine is opened."""
    code = (
        "import sys, rasant.engines, rasant.engines.onnxruntime;"
        "sys.exit('onnxruntime' in sys.modules or 'onnx' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0


def test_every_engine_of_the_table_can_be_imported() -> None:
    """The table of names points at classes that probe."""
    assert set(probe_engines()) == set(ENGINES)
