# SPDX-License-Identifier: Apache-2.0
"""TensorRT from a graph to its outputs, with a stand-in of each version and host memory in place of a GPU's."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from engines.fake_tensorrt import LAYERS, VERSIONS, fake_tensorrt
from rasant.engines.base import LayerTime
from rasant.engines.tensorrt import BuildOptions, BuildStep, PlanCache, TensorRTEngine, api, build_plan, run
from rasant.engines.tensorrt.machine import Machine
from rasant.errors import (
    ConfigError,
    DeviceFailed,
    EngineError,
    EngineLost,
    EngineTimeout,
    EngineUnavailable,
    PlanError,
)
from rasant.ops.device import native_for
from rasant_calibration.half_graph import HalfGraph
from tiny_bundle import tiny_model

MODEL = tiny_model()
HALF = HalfGraph(MODEL).build()


def build(trt: Any, folder: Path, **options: Any) -> Any:
    """A plan for the emulated device."""
    return build_plan(options.pop("model", MODEL), **{"device": "emu", "cache": folder, "module": trt, **options})


def open_(trt: Any, folder: Path, **options: Any) -> TensorRTEngine:
    return TensorRTEngine(options.pop("model", MODEL), **{"device": "emu", "cache": folder, "module": trt, **options})


@pytest.fixture
def built(tmp_path: Path) -> tuple[Any, Path]:
    """A stand-in of 10.3, and a folder with its plan."""
    trt = fake_tensorrt("10.3.0")
    build(trt, tmp_path)
    return trt, tmp_path


def fill(buffers: Any, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    for array in buffers.values():
        array[...] = random.random(array.shape, np.float32)
    return {name: array.copy() for name, array in buffers.items()}


def expected(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime gives for the same inputs."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    names = [argument.name for argument in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_graph_is_built_kept_opened_and_run(version: str, tmp_path: Path) -> None:
    """The whole way with each version: the outputs are those of the network, in every slot, by mapped memory."""
    trt = fake_tensorrt(version)
    record = build(trt, tmp_path)
    assert PlanCache(tmp_path).plan_path(record.fields.key).stat().st_size == record.size
    with open_(trt, tmp_path, slots=3) as engine:
        engine.warmup()
        given = [fill(slot.inputs, seed) for seed, slot in enumerate(engine.slots)]
        for index in range(3):
            engine.submit(index)
        for index in (2, 0, 1):
            engine.wait(index, timeout_s=10.0)
        for slot, inputs in zip(engine.slots, given, strict=True):
            for name, array in expected(inputs).items():
                np.testing.assert_allclose(slot.outputs[name], array, atol=1e-6)
        assert engine.info.version == version
        assert engine.info.provider == "TensorRT"
        assert "mapped memory, no copies" in engine.info.notes
    assert len(trt.builds) == 1


def test_a_card_gets_pinned_buffers_and_copies(built: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the GPU has its own memory, inputs go there and outputs come back in the order of the slot's stream."""
    trt, folder = built
    monkeypatch.setattr(
        "rasant.engines.tensorrt.build.describe_machine", lambda *_: Machine("card", "8.9", False, 13000)
    )
    with pytest.raises(PlanError, match=r"built for another .*gpu \(emulator, here card\)"):
        open_(trt, folder)
    build(trt, folder)
    with open_(trt, folder) as engine:
        inputs = fill(engine.inputs, 1)
        engine.infer()
        np.testing.assert_allclose(engine.outputs["logits"], expected(inputs)["logits"], atol=1e-6)
        assert "pinned memory, asynchronous copies" in engine.info.notes


@pytest.mark.parametrize(
    ("version", "flags", "set_flags"),
    [("8.6.1", 0b01, set()), ("10.3.0", 0b10, set()), ("10.16.1.11", 0b10, {"STRICT_NANS"}),
     ("11.4.0.106", 0b10, {"STRICT_NANS"})],
)  # fmt: skip
def test_flags_are_those_that_the_version_knows(version: str, flags: int, set_flags: set[str], tmp_path: Path) -> None:
    """Explicit batch is said to 8.6 alone, typing is strong from 10 on; TF32 is off and NaN is kept."""
    trt = fake_tensorrt(version)
    build(trt, tmp_path, options=BuildOptions(workspace_mib=64, optimization_level=5))
    assert trt.builds == [flags]
    config = trt.configs[0]
    assert {flag.name for flag in config.set_flags} == set_flags
    assert {flag.name for flag in config.cleared} == {"TF32"}
    assert list(config.pools.values()) == [64 << 20]
    assert config.builder_optimization_level == 5


@pytest.mark.parametrize("version", VERSIONS)
def test_precision_is_that_of_the_graph(version: str, tmp_path: Path) -> None:
    """A float16 graph is built and run as such by every version, 8.6 with its flag; no version makes it of a float32
    graph, since an engine that is opened for that graph would never find the plan."""
    trt = fake_tensorrt(version)
    build(trt, tmp_path, model=HALF, precision="fp16")
    flags = {flag.name for flag in trt.configs[0].set_flags} - {"STRICT_NANS"}
    assert flags == ({"FP16"} if version == "8.6.1" else set())
    with open_(trt, tmp_path, model=HALF, precision="fp16") as engine:
        assert engine.info.precision == "fp16"
        inputs = fill(engine.inputs, 2)
        engine.infer()
        for name, array in expected(inputs).items():
            np.testing.assert_allclose(engine.outputs[name], array, rtol=1e-3, atol=0.05)
    for precision in ("fp16", "int8"):
        with pytest.raises(ConfigError, match=f"is fp32, asked for is {precision}; .*`rasant calibrate {precision}`"):
            build(trt, tmp_path, precision=precision)


def test_opening_never_builds(tmp_path: Path) -> None:
    """Without a plan an engine refuses at once, names the command, and leaves no file."""
    trt = fake_tensorrt()
    with pytest.raises(PlanError, match=r"has no plan of this graph; run `rasant build`"):
        open_(trt, tmp_path / "none")
    assert trt.builds == []
    assert not (tmp_path / "none").exists()


def test_a_dla_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core is set for building and running; layers leave it only if the caller allows, and the info tells."""
    machine = Machine("Orin", "8.7", True, 12060)
    monkeypatch.setattr("rasant.engines.tensorrt.build.describe_machine", lambda *_: machine)
    monkeypatch.setattr(run, "native_for", lambda _: native_for("emu"))
    trt = fake_tensorrt("8.6.1", dla_cores=1)
    half: Any = {"model": HALF, "precision": "fp16"}
    with pytest.raises(ConfigError, match=r"fp16 or int8.*`rasant calibrate fp16`"):
        build(trt, tmp_path, device="dla:0")
    with pytest.raises(EngineUnavailable, match="DLA core 1"):
        build(trt, tmp_path, device="dla:1", **half)
    build(trt, tmp_path, device="dla:0", **half)
    build(trt, tmp_path, device="dla:0", allow_fallback=True, **half)
    strict, lenient = trt.configs
    assert (strict.DLA_core, strict.default_device_type.name) == (0, "DLA")
    assert {flag.name for flag in lenient.set_flags} - {flag.name for flag in strict.set_flags} == {"GPU_FALLBACK"}
    with open_(trt, tmp_path, device="dla:0", **half) as engine:
        assert (engine.info.device, engine.info.provider, engine.info.fallback) == ("dla:0", "TensorRT DLA 0", False)
        assert engine._runtime.DLA_core == 0
    with open_(trt, tmp_path, device="dla:0", allow_fallback=True, **half) as engine:
        assert engine.info.fallback
        assert "cannot run are on the GPU" in engine.info.notes[0]


class Streams:
    """The emulator's device with streams that can be captured: a launch does again what was given while capturing.

    launched: how often. fail: "begin" refuses to capture, "launch" loses the device.
    """

    def __init__(self, trt: Any, fail: str = "") -> None:
        device = native_for("emu")
        self.DeviceArray, self.Event, self.launched = device.DeviceArray, device.Event, 0
        streams = self

        class Stream:
            def __init__(self) -> None:
                self._stream = device.Stream()
                self.handle = self._stream.handle

            def capture(self, work: Any) -> Any:
                if fail == "begin":
                    raise DeviceFailed("keeping the work of a stream failed: operation not supported")
                trt.capturing = True
                try:
                    work()
                finally:
                    trt.capturing = False

                def launch(stream: Any) -> None:
                    assert stream is self
                    if fail == "launch":
                        raise DeviceFailed("launching a graph failed: unspecified launch failure")
                    streams.launched += 1
                    work()

                return SimpleNamespace(launch=launch)

        self.Stream = Stream


@pytest.mark.parametrize("integrated", [True, False], ids=["mapped", "pinned"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_is_one_cuda_graph_once_it_is_warm(
    version: str, integrated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slot is captured once, after a plain run, copies and all; from then on a frame is a launch of its graph."""
    trt = fake_tensorrt(version)
    streams = Streams(trt)
    monkeypatch.setattr(run, "native_for", lambda _: streams)
    machine = Machine("gpu", "8.7", integrated, 12060)
    monkeypatch.setattr("rasant.engines.tensorrt.build.describe_machine", lambda *_: machine)
    build(trt, tmp_path)
    with open_(trt, tmp_path, slots=2) as engine:
        engine.warmup(1)
        assert streams.launched == 0
        engine.warmup(2)
        assert streams.launched == 4
        assert [note for note in engine.info.notes if "graph" in note] == ["each run is one CUDA graph"]
        given = [fill(slot.inputs, seed) for seed, slot in enumerate(engine.slots)]
        for index in range(2):
            engine.submit(index)
        for index, inputs in enumerate(given):
            engine.wait(index)
            for name, array in expected(inputs).items():
                np.testing.assert_allclose(engine.slots[index].outputs[name], array, atol=1e-6)
        assert streams.launched == 6
        engine.profile(1)
        assert streams.launched == 6  # layers are timed in a context of their own, without a graph


@pytest.mark.parametrize(
    ("fault", "fail", "reason"),
    [("", "begin", "operation not supported"), ("false:capture", "", "not permitted when stream is capturing")],
    ids=["the device refuses", "TensorRT refuses"],
)
def test_what_cannot_be_captured_is_enqueued_and_told(
    built: tuple[Any, Path], fault: str, fail: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stands in the info, and the frames are right; a failed capture is no lost device."""
    trt, folder = built
    streams = Streams(trt, fail)
    monkeypatch.setattr(run, "native_for", lambda _: streams)
    trt.faults |= {fault}
    with open_(trt, folder) as engine:
        engine.warmup()
        engine.warmup()
        notes = [note for note in engine.info.notes if "graph" in note]
        assert len(notes) == 1 and notes[0].startswith("no CUDA graph: ") and reason in notes[0]
        inputs = fill(engine.inputs, 1)
        engine.infer()
        np.testing.assert_allclose(engine.outputs["logits"], expected(inputs)["logits"], atol=1e-6)
    assert streams.launched == 0


def test_a_graph_that_fails_loses_the_device(built: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch that the device refuses is EngineLost, as a run is."""
    trt, folder = built
    monkeypatch.setattr(run, "native_for", lambda _: Streams(trt, "launch"))
    with open_(trt, folder) as engine:
        engine.warmup(1)
        with pytest.raises(EngineLost, match="launching a graph failed"):
            engine.infer()


def test_the_emulator_captures_nothing(built: tuple[Any, Path]) -> None:
    """The real call chain down to the device, whose answer here is no; the engine runs on and says so."""
    with open_(*built) as engine:
        engine.warmup()
        assert any(note.startswith("no CUDA graph: keeping the work") for note in engine.info.notes)


def test_layers_are_timed(built: tuple[Any, Path]) -> None:
    """The profile is the mean over the runs, slowest first, with the kind that the plan's inspector tells."""
    with open_(*built) as engine:
        first, second = LAYERS.items()
        assert engine.profile(runs=4) == (LayerTime(*first, 1.0), LayerTime(*second, 0.25))


def test_slots_are_used_in_order(built: tuple[Any, Path]) -> None:
    """A busy slot, one that was not submitted and one that is not there are told apart."""
    with open_(*built, slots=2, threads=3) as engine:
        assert engine._runtime.max_threads == 3
        engine.submit(1)
        with pytest.raises(EngineError, match="still runs"):
            engine.submit(1)
        engine.wait(1)
        with pytest.raises(EngineError, match="nothing was submitted"):
            engine.wait(1)
        with pytest.raises(ConfigError, match="slot must be 0 to 1"):
            engine.submit(2)


def test_a_wait_has_a_limit(built: tuple[Any, Path]) -> None:
    """EngineTimeout at the limit; the slot stays busy and can be waited for again."""

    class Slow:
        done = False

        def record(self, stream: Any) -> None: ...
        def wait(self) -> None: ...

    with open_(*built) as engine:
        engine._lanes[0].done = event = Slow()
        engine.submit()
        with pytest.raises(EngineTimeout, match=r"longer than 0\.010 s"):
            engine.wait(0, timeout_s=0.01)
        event.done = True
        engine.wait(0, timeout_s=0.01)


def test_use_after_close_is_an_error(built: tuple[Any, Path]) -> None:
    """A closed engine says so; closing twice is fine, what runs is waited for, and buffers stay readable."""
    engine = open_(*built)
    engine.submit()
    engine.close()
    engine.close()
    for call in (engine.infer, engine.submit, engine.wait, engine.profile):
        with pytest.raises(EngineError, match="closed"):
            call()
    assert np.isfinite(engine.outputs["logits"]).all()


def test_a_fork_is_refused(built: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA does not survive a fork."""
    with open_(*built) as engine:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(EngineError, match="forked"):
            engine.infer()
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [("none:runtime", EngineError, "no runtime: TensorRT logged no reason"),
     ("raise:runtime", EngineError, "CUDA initialization failure"),
     ("none:engine", EngineError, "cannot load the plan"),
     ("none:context", EngineError, "no execution context"),
     ("oom:context", EngineLost, "OutOfMemory"),
     ("address", EngineError, "refuses the buffer of 'color'"),
     ("half", PlanError, "rasant build --rebuild")],
)  # fmt: skip
def test_what_fails_while_opening_is_told(
    built: tuple[Any, Path], fault: str, error: type[Exception], text: str
) -> None:
    """None, a null pointer and a False are errors with the lines of TensorRT's log, never an engine of no use."""
    trt, folder = built
    trt.faults.add(fault)
    with pytest.raises(error, match=text) as raised:
        open_(trt, folder)
    assert raised.type is error


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [("raise:builder", EngineError, "nullptr"), ("oom:build", EngineLost, "OutOfMemory"),
     ("parse", EngineError, "Det det_3: Plugin not found")],
)  # fmt: skip
def test_what_fails_while_building_is_told(tmp_path: Path, fault: str, error: type[Exception], text: str) -> None:
    """A build that fails says why, and leaves no plan."""
    with pytest.raises(error, match=text):
        build(fake_tensorrt(faults={fault}), tmp_path)
    assert list(tmp_path.glob("*.plan")) == []


@pytest.mark.parametrize("model", [b"", b"nonsense", MODEL[:-50], tiny_model(dynamic=True)])
def test_a_graph_that_cannot_run_is_an_engine_error(model: bytes, tmp_path: Path) -> None:
    """Damaged graphs and dynamic shapes are refused before TensorRT sees them."""
    with pytest.raises(EngineError):
        build(fake_tensorrt(), tmp_path, model=model)
    with pytest.raises(EngineError):
        open_(fake_tensorrt(), tmp_path, model=model)


@pytest.mark.parametrize(
    "options",
    [{"device": "cpu"}, {"device": "cuda:1"}, {"device": "dla"}, {"device": "dla:x"}, {"threads": -1}, {"slots": 0}],
)
def test_wrong_options_are_configuration_errors(options: dict[str, Any], tmp_path: Path) -> None:
    """Devices that TensorRT cannot run on, negative threads and no slots are named."""
    with pytest.raises(ConfigError):
        open_(fake_tensorrt(), tmp_path, **options)


def test_progress_is_told_and_can_end_a_build(tmp_path: Path) -> None:
    """Each step reaches the listener; what it raises, Ctrl-C too, ends the build and comes out, and nothing is kept."""
    steps: list[BuildStep] = []
    build(fake_tensorrt(), tmp_path, progress=steps.append)
    assert [step.done for step in steps if step.phase == "Building engine" and step.total] == [0, 1, 2, 3, 4, 4]

    def stop(step: BuildStep) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(fake_tensorrt(), tmp_path / "ended", progress=stop)
    assert list((tmp_path / "ended").glob("*.plan")) == []


def test_the_old_version_tells_its_log_lines(tmp_path: Path) -> None:
    """8.6 has no progress monitor: the lines of its log are the progress, without the verbose ones."""
    steps: list[BuildStep] = []
    record = build(fake_tensorrt("8.6.1"), tmp_path, progress=steps.append)
    assert steps == [BuildStep("Building engine")]
    assert record.log == ("INFO: Building engine",)


def test_nothing_is_printed(built: tuple[Any, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """Neither building nor running writes to the terminal."""
    trt, folder = built
    build(trt, folder, rebuild=True)
    with open_(trt, folder) as engine:
        engine.infer()
    assert capfd.readouterr() == ("", "")


def test_probe_gives_the_reason_and_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is named, a broken package is told, and no driver is no crash."""
    cases = {
        "libnvdla_compiler.so is missing": OSError("libnvdla_compiler.so: cannot open shared object file"),
        "it is not installed": ImportError("No module named 'tensorrt'"),
        "strange": RuntimeError("strange"),
    }
    for text, error in cases.items():

        def fail(name: str, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(api, "importlib", SimpleNamespace(import_module=fail))
        probe = TensorRTEngine.probe()
        assert not probe.available
        assert text in probe.reason
    monkeypatch.setattr(api, "importlib", SimpleNamespace(import_module=lambda name: fake_tensorrt("10.3.0")))
    monkeypatch.setattr(run, "describe_machine", lambda: Machine("Orin", "8.7", True, 12060))
    assert TensorRTEngine.probe().version == "10.3.0"


def test_a_version_that_lacks_something_is_named() -> None:
    """An unknown TensorRT is refused when it is imported, with what it lacks, not in the middle of a build."""
    trt = fake_tensorrt("10.3.0")
    trt.__version__ = "12.0.0"
    del trt.IProfiler
    with pytest.raises(EngineUnavailable, match=r"TensorRT 12\.0\.0 lacks IProfiler"):
        open_(trt, Path())


def test_a_lost_device_stays_lost(built: tuple[Any, Path]) -> None:
    """What the driver reports on a stream is EngineLost, and so is every later call: a new engine is needed."""
    trt, folder = built
    with open_(trt, folder) as engine:

        class Broken:
            done = True

            def record(self, stream: Any) -> None: ...

            def wait(self) -> None:
                raise DeviceFailed("an illegal memory access was encountered")

        engine._lanes[0].done = Broken()
        for _ in range(2):
            with pytest.raises(EngineLost, match="illegal memory access"):
                engine.infer()
