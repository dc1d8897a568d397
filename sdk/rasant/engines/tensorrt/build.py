# SPDX-License-Identifier: Apache-2.0
"""From an ONNX graph to a plan. It takes seconds to many minutes, so nothing but `rasant build` and its caller does it.

The precision is that of the graph, and what the builder might change unasked is switched off: TF32, which rounds the
float32 that a certificate was measured with, and, where TensorRT knows the flag, rewriting that hides a NaN.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rasant.bundle.graph_check import describe_graph
from rasant.engines.tensorrt.api import Journal, attempt, import_tensorrt, network_flags, strongly_typed
from rasant.engines.tensorrt.machine import Target, describe_machine, parse_target
from rasant.engines.tensorrt.plan_cache import BuildOptions, PlanCache, PlanFields, PlanRecord
from rasant.errors import ConfigError, EngineError, EngineUnavailable, ModelError

__all__ = ["BuildStep", "build_plan", "plan_fields"]


class BuildStep(NamedTuple):
    """How far a build is. phase: of the builder, or a line of its log. total: 0 where it is not known."""

    phase: str
    done: int = 0
    total: int = 0


Progress = Callable[[BuildStep], object]


def build_plan(
    model: bytes,
    *,
    precision: str = "fp32",
    device: str = "cuda",
    allow_fallback: bool = False,
    cache: Path | None = None,
    module: Any = None,
    options: BuildOptions | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> PlanRecord:
    """Build a plan for this machine and keep it, unless there is an intact one of the same graph, machine and options.

    model: a graph that `rasant.read_bundle` has checked. precision: that of the graph, as its manifest says it.
    device: "cuda" or "dla:N". allow_fallback: layers that the DLA cannot run may run on the GPU.
    cache: folder, see `PlanCache`. module: `tensorrt` or a stand-in. rebuild: build in any case. progress: called with
    each step, in the thread that builds; what it raises ends the build, and is raised here.

    Raises ConfigError for a device or precision that cannot be, EngineUnavailable without TensorRT, GPU or DLA,
    EngineError where TensorRT refuses the graph, EngineLost where memory runs out, PlanError where nothing can be kept.
    """
    target = parse_target(device)
    trt = import_tensorrt(module)
    fields = plan_fields(trt, model, precision, target, allow_fallback, options or BuildOptions())
    plans = PlanCache(cache)
    report = _Report(progress)
    with plans.locked(fields.key, lambda text: report.step(BuildStep(text))):
        report.check()
        found = None if rebuild else plans.exact(fields)
        if found is not None:
            return found
        begin = time.perf_counter()
        journal = Journal(report.line)
        known = plans.timing(fields)
        plan, timing = _apart(report, lambda: _serialize(trt, model, fields, target, known, journal, report))
        record = plans.write(fields, plan, time.perf_counter() - begin, journal.tail)
        if timing:
            plans.keep_timing(fields, timing)
        return record


def plan_fields(
    trt: Any, model: bytes, precision: str, target: Target, allow_fallback: bool, options: BuildOptions
) -> PlanFields:
    """Everything that a plan of this graph on this machine depends on. See `build_plan` for what is raised."""
    try:
        graph = describe_graph(model, "the graph")
    except ModelError as error:
        raise EngineError(str(error)) from error
    if precision != graph.precision:
        raise ConfigError(
            f"the graph is {graph.precision}, asked for is {precision}; TensorRT takes the precision from the graph: "
            "make one with `rasant calibrate fp16` or `rasant calibrate int8`"
        )
    if target.dla_core is not None and precision == "fp32":
        raise ConfigError(
            "a DLA computes in fp16 or int8, this graph is fp32; make one with `rasant calibrate fp16`, or use the GPU"
        )
    machine = describe_machine(target.device)
    return PlanFields(
        model_sha256=hashlib.sha256(model).hexdigest(), package=trt.__name__, version=str(trt.__version__),
        cuda=machine.cuda, gpu=machine.gpu, compute_capability=machine.compute_capability,
        integrated=machine.integrated, dla_core=target.dla_core,
        gpu_fallback=target.dla_core is not None and allow_fallback, precision=precision,
        shapes=tuple((tensor.name, tensor.shape) for tensor in (*graph.inputs, *graph.outputs)), options=options,
    )  # fmt: skip


def _apart(report: _Report, call: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The result of a call in a thread of its own. Ctrl-C then reaches us, who tell the builder to end, and not one of
    its callbacks, where the bindings print it and go on.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="rasant-build") as thread:
        try:
            return thread.submit(call).result()
        except KeyboardInterrupt as error:
            report.end(error)
            raise


def _serialize(
    trt: Any, model: bytes, fields: PlanFields, target: Target, timing: bytes, journal: Journal, report: _Report
) -> tuple[bytes, bytes]:
    """The plan and the timing cache that TensorRT makes of a graph."""
    what = f"TensorRT {trt.__version__} cannot build"
    logger = journal.logger(trt)
    builder = attempt(what, journal, lambda: trt.Builder(logger))
    network = attempt(what, journal, lambda: builder.create_network(network_flags(trt)))
    parser = attempt(what, journal, lambda: trt.OnnxParser(network, logger))
    if not attempt(what, journal, lambda: parser.parse(model)):
        raise _refused(trt, parser, journal)
    config = attempt(what, journal, builder.create_builder_config)
    _configure(trt, config, fields)
    if target.dla_core is not None:
        _use_dla(trt, builder, config, target.dla_core, fields.gpu_fallback)
    measured = attempt(what, journal, lambda: config.create_timing_cache(timing))
    config.set_timing_cache(measured, False)
    monitor = _monitor(trt, report)
    if monitor is not None:
        config.progress_monitor = monitor
    try:
        plan = attempt(what, journal, lambda: builder.build_serialized_network(network, config))
    except EngineError:
        report.check()  # a build that was ended says so
        raise
    report.check()
    kept = config.get_timing_cache()
    return bytes(plan), bytes(kept.serialize()) if kept is not None else b""


def _configure(trt: Any, config: Any, fields: PlanFields) -> None:
    flags = trt.BuilderFlag
    config.clear_flag(flags.TF32)
    if hasattr(flags, "STRICT_NANS"):
        config.set_flag(flags.STRICT_NANS)
    if not strongly_typed(trt):  # TensorRT 8.6: a graph with these types is refused without the flag
        if fields.precision == "fp16":
            config.set_flag(flags.FP16)
        elif fields.precision == "int8":
            config.set_flag(flags.INT8)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = fields.options.optimization_level
    if fields.options.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, fields.options.workspace_mib << 20)


def _use_dla(trt: Any, builder: Any, config: Any, core: int, gpu_fallback: bool) -> None:
    if core >= builder.num_DLA_cores:
        raise EngineUnavailable(
            f"asked for DLA core {core}, TensorRT {trt.__version__} finds {builder.num_DLA_cores} here; use the GPU, "
            "or a release that supports the DLA of this board"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _refused(trt: Any, parser: Any, journal: Journal) -> EngineError:
    refusals = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [f"{_place(refusal)}{refusal.desc()}" for refusal in refusals if refusal is not None]
    reason = "; ".join(told or journal.errors or ["no reason is given"])
    return EngineError(
        f"TensorRT {trt.__version__} refuses the graph: {reason}; export with `--profile jetson`, or upgrade TensorRT"
    )


def _place(refusal: Any) -> str:
    """Which node an error of the parser is about, where the version says it."""
    operator = refusal.node_operator() if hasattr(refusal, "node_operator") else ""
    name = refusal.node_name() if hasattr(refusal, "node_name") else ""
    return f"{operator} {name}: ".lstrip() if operator or name else ""


class _Report:
    """Passes steps on. The first exception of the listener ends the build: the builder must not see it."""

    def __init__(self, listener: Progress | None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._raised: BaseException | None = None

    def step(self, step: BuildStep) -> bool:
        """False once the build is to end."""
        try:
            with self._lock:
                if self._listener is not None and self._raised is None:
                    self._listener(step)
        except BaseException as error:  # it must not pass through the builder's frames
            self.end(error)
        return self._raised is None

    def line(self, text: str) -> bool:
        return self.step(BuildStep(text))

    def end(self, error: BaseException) -> None:
        """Ends the build at its next step; `check` raises `error`."""
        self._raised = self._raised or error

    def check(self) -> None:
        """Raises what ended the build."""
        if self._raised is not None:
            raise self._raised


def _monitor(trt: Any, report: _Report) -> Any:
    """What TensorRT 10 and later tell their progress, and ask whether to go on; None for 8.6, where the log must do."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._totals: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._totals[phase_name] = num_steps
            report.step(BuildStep(phase_name, 0, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            return report.step(BuildStep(phase_name, step + 1, self._totals.get(phase_name, 0)))

        def phase_finish(self, phase_name: str) -> None:
            total = self._totals.pop(phase_name, 0)
            report.step(BuildStep(phase_name, total, total))

    return Monitor()
