# SPDX-License-Identifier: Apache-2.0
"""Frame in, verdict out. The one place where the stages meet: checks, preprocessing, engine, score, regions, rule.

An inspector never raises for a bad frame: whatever goes wrong becomes UNKNOWN with its reason and one log record.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from rasant.attribution import deviations, name_modality
from rasant.engine_guard import EngineGuard
from rasant.engines import Engine
from rasant.errors import DtypeError, EngineError, EngineLost, EngineTimeout, FrameRefused
from rasant.freshness import Freshness, sample_rows
from rasant.ops.regions import RegionStat, find_regions
from rasant.ops.score import ScoreResult, score_map
from rasant.preprocess import Prepared, Preprocessor, frame_from_map
from rasant.resolution import Resolution, map_resolution, median_distance
from rasant.settings import Settings, highest_score
from rasant.stand_in import WORDS, announced, replaces, seen_by
from rasant.tiled_engine import TiledEngine
from rasant.types import Clock, Frame, Inspection, Intrinsics, Reason, Region, Timings
from rasant.verdict import Finding, check_camera, check_color, check_depth, check_pair, check_patch, judge

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.engines import EngineInfo

__all__ = ["Inspector", "Status"]

LOG = logging.getLogger("rasant.inspector")
LOG.addHandler(logging.NullHandler())

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Status:
    """What an inspector has done so far, and on what it really runs."""

    engine: str
    fallbacks: tuple[str, ...]  # every fallback that was allowed and happened
    bundle: str
    threshold: float | None
    frames: int
    verdicts: dict[str, int]
    reasons: dict[str, int]
    restarts: int = 0  # how often an engine that was down was opened again


@dataclass(slots=True)
class _Trace:
    """What is known of a frame so far."""

    start_ns: int  # of the call
    begin_ns: int  # what the deadline counts from
    blame: Reason = Reason.FRAME  # whose fault an unforeseen exception is
    finding: Finding | None = None
    prepared_ns: int = 0
    inferred_ns: int = 0
    result: ScoreResult | None = None
    raw: Map | None = None
    pooled: Map | None = None
    regions: tuple[Region, ...] = ()
    sigmas: dict[str, float] = field(default_factory=dict)


class Inspector:
    """Calls a network on frames and decides. Thread-safe by a lock; frames of one source must come in order.

    Made by `rasant.load`; the constructor takes what a bundle and an engine give, for tests and special cases.
    reopen: ways to open the engine again when it is down, see `rasant.engine_guard`.
    stand_in: decides frames that lack a modality, see `rasant.stand_in`; from now on it belongs to this inspector.
    """

    def __init__(
        self, engine: Engine, settings: Settings, *, bundle: Bundle | None = None, threads: int = 1,
        reopen: Sequence[Callable[[], Engine]] = (), stand_in: Inspector | None = None,
    ) -> None:
        self.settings = settings
        self.bundle = bundle
        self._engine = EngineGuard(self._open(lambda: engine), [partial(self._open, way) for way in reopen])
        self._stand_in = stand_in
        self._stood_in = 0  # frames that it decided
        self._closed = False
        self._bundle = "" if bundle is None else bundle.sha256
        self._threads = threads
        self._preprocess = Preprocessor(settings.preprocess, threads=threads, guard=self._guard)
        self._freshness = Freshness(settings.limits)
        self._lock = threading.Lock()
        self._verdicts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._ignore = np.zeros(settings.preprocess.size, np.bool_)
        self._spare: npt.NDArray[Any] = np.empty((0, 0), np.uint16)
        self._valid_ratio = np.nan  # of the frame in work
        side = 2 * settings.foreground_dilate_px + 1
        self._dilation = np.ones((side, side), np.uint8)

    def __call__(self, frame: Frame, *, acquire_ms: float = 0.0) -> Inspection:
        """Inspect one frame. `acquire_ms`, the time it took to get it, is only reported.

        With a deadline the answer is there at the deadline, also where inference takes longer.

        Raises DtypeError where `frame` is no Frame, and EngineError after `close`; never for what a frame contains.
        """
        start = time.monotonic_ns()
        if not isinstance(frame, Frame) or not isinstance(frame.intrinsics, Intrinsics):
            got = f"a Frame with intrinsics {frame.intrinsics!r}" if isinstance(frame, Frame) else type(frame).__name__
            raise DtypeError(f"an inspector takes a rasant.Frame with rasant.Intrinsics, got {got}")
        with self._lock:
            if self._closed:
                raise EngineError("this inspector is closed; load the bundle again")
            timed = frame.clock is not Clock.NONE and isinstance(frame.arrival_ns, Integral)
            begin = min(frame.arrival_ns, start) if timed else start
            trace = self._look(frame, _Trace(start, begin))
            other = self._stand_in
            if other is None:
                inspection = self._decide(frame, trace, acquire_ms)
            else:  # it looks at every frame, so that it knows the stream when it has to decide
                seen = seen_by(other.settings, frame)
                its_trace = other._look(seen, _Trace(start, begin))
                inspection = self._decide(frame, trace, acquire_ms)
                if replaces(other.settings, inspection.reason):
                    inspection = announced(other.settings, inspection, other._decide(seen, its_trace, acquire_ms))
            self._record(inspection)
            return inspection

    def refuse(
        self, index: int, source: str, detail: str, *, reason: Reason = Reason.FRAME, name: str = ""
    ) -> Inspection:
        """The UNKNOWN for a frame that could not even be read (`FrameError`), counted and logged as any other."""
        nothing = frame_from_map(self.settings.preprocess.size, self.settings.preprocess.size)
        threshold = self.settings.threshold
        with self._lock:
            judgement = judge(
                finding=Finding(reason, detail), score=np.nan, threshold=threshold, nonfinite=0, elapsed_ms=0.0,
                deadline_ms=None,
            )
            inspection = Inspection(
                index, source, *judgement, np.nan, np.nan if threshold is None else threshold, (), None, None, nothing,
                Timings(), self._bundle, str(self._engine.info), name=name,
            )
            self._record(inspection)
        return inspection

    @property
    def status(self) -> Status:
        """What really runs, which fallbacks happened, and the counts of verdicts and reasons."""
        with self._lock:
            fallbacks, restarts = self._engine.fallbacks, self._engine.restarts
            if self._stand_in is not None:
                own = self._stand_in.status
                fallbacks, restarts = (*fallbacks, *own.fallbacks), restarts + own.restarts
                if self._stood_in:
                    alone = WORDS[self._stand_in.settings.modalities[0]]
                    fallbacks += (f"frames decided by {alone} alone: {self._stood_in}",)
            return Status(
                str(self._engine.info), fallbacks, self._bundle, self.settings.threshold,
                sum(self._verdicts.values()), dict(self._verdicts), dict(self._reasons), restarts,
            )

    @property
    def info(self) -> EngineInfo:
        """The engine in use, or the last one while it is down."""
        return self._engine.info

    def resolution(self, frame: Frame) -> Resolution | None:
        """What one map pixel stands for, at the median distance of a frame's region; None without valid depth there."""
        try:
            self._preprocess.check(frame)
        except FrameRefused:
            return None
        if frame.depth is None or frame.depth.shape != frame.size:
            return None
        x, y, width, height = self.settings.preprocess.roi or (0, 0, frame.size[1], frame.size[0])
        distance = median_distance(frame.depth[y : y + height, x : x + width]) * frame.depth_scale
        return map_resolution(self.settings.preprocess, frame.intrinsics, distance) if distance > 0.0 else None

    def close(self) -> None:
        """Release the engine, and the stand-in's. May be called again."""
        with self._lock:
            self._closed = True
            self._engine.close()
        if self._stand_in is not None:
            self._stand_in.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, way: Callable[[], Engine]) -> Engine:
        """The engine for the whole prepared image."""
        s, engine = self.settings, way()
        return engine if s.tiles is None else TiledEngine(engine, s.preprocess.size, s.tiles)

    def _look(self, frame: Frame, trace: _Trace) -> _Trace:
        """What can be known before a pixel is processed."""
        self._valid_ratio = np.nan
        with _caught(trace):
            trace.finding = self._gate(frame, time.monotonic_ns())  # not start_ns: waiting for the lock makes it old
        return trace

    def _decide(self, frame: Frame, trace: _Trace, acquire_ms: float) -> Inspection:
        """The inspection of a frame that was looked at."""
        if trace.finding is None:
            with _caught(trace):
                self._run(frame, trace)
        return self._conclude(frame, trace, acquire_ms)

    def _run(self, frame: Frame, trace: _Trace) -> None:
        """From the pixels to the score. Raises what a stage raises."""
        engine = self._engine.ready()
        prepared = self._preprocess(frame, engine.inputs.get("color"), engine.inputs.get("depth"))
        trace.prepared_ns = now = time.monotonic_ns()
        trace.blame = Reason.ENGINE
        deadline_ms = self.settings.limits.deadline_ms
        self._engine.run(None if deadline_ms is None else deadline_ms / 1e3 - (now - trace.begin_ns) / 1e9)
        trace.inferred_ns = time.monotonic_ns()
        self._score(frame, trace, engine, prepared)

    def _gate(self, frame: Frame, now_ns: int) -> Finding | None:
        """Camera, form, time, exposure."""
        finding = check_camera(frame, self.settings.camera) or check_pair(frame, self.settings.limits)
        if finding is not None:
            return finding
        self._preprocess.check(frame)
        roi = self.settings.preprocess.roi
        color = None if frame.color is None else sample_rows(frame.color, roi)
        images: list[npt.NDArray[Any]] = [] if color is None else [color]
        if frame.depth is not None and frame.clock is not Clock.NONE:
            images.append(sample_rows(frame.depth, roi))
        finding = self._freshness.check(frame, now_ns, tuple(images))
        if finding is None and color is not None and self.settings.preprocess.uses_color:
            finding = check_color(color, self.settings.limits)
        if finding is None and self.settings.patch is not None:
            finding = check_patch(frame, self.settings.patch)
        return finding

    def _score(self, frame: Frame, trace: _Trace, engine: Engine, prepared: Prepared) -> None:
        s = self.settings
        raw, pooled = np.empty(s.preprocess.size, np.float32), np.empty(s.preprocess.size, np.float32)
        logits = engine.outputs["logits"] if s.gate is None else s.gate.logits(engine.outputs)
        result = trace.result = score_map(
            logits[0], kernel=s.kernel, ignore=self._ignored(prepared), out_raw=raw,
            out_pooled=pooled, threads=self._threads,
        )
        if result.nonfinite > 0 or not np.isfinite(result.score):
            return
        trace.raw, trace.pooled = raw, pooled
        residual = engine.outputs.get("residual")
        residuals = None if residual is None else residual[0]
        half, (h, w) = s.kernel // 2, s.preprocess.size
        x, y = max(0, result.x - half), max(0, result.y - half)
        window = (x, y, min(w, result.x + half + 1) - x, min(h, result.y + half + 1) - y)
        trace.sigmas = deviations(residuals, s.levels, s.modalities, window)
        if s.threshold is not None and result.score >= s.threshold:
            trace.regions = self._regions(frame, prepared, pooled, residuals, s.threshold)

    def _ignored(self, prepared: Prepared) -> npt.NDArray[np.bool_] | None:
        """Where the map must not decide: the ignore mask, and what lies outside the widened foreground."""
        s = self.settings
        if not s.mask_to_foreground:
            return s.ignore
        cv2.dilate(prepared.foreground.view(np.uint8), self._dilation, dst=self._ignore.view(np.uint8))
        np.logical_not(self._ignore, out=self._ignore)
        if s.ignore is not None:
            np.logical_or(self._ignore, s.ignore, out=self._ignore)
        highest = highest_score(s.preprocess.size, s.kernel, self._ignore)
        if s.threshold is not None and s.threshold >= highest:
            raise FrameRefused(
                f"so little foreground is left that no score above {highest:.4f} is possible, threshold "
                f"{s.threshold:.4f}; is a part in place?", Reason.BACKGROUND.value,
            )
        return self._ignore

    def _regions(
        self, frame: Frame, prepared: Prepared, pooled: Map, residuals: Map | None, threshold: float
    ) -> tuple[Region, ...]:
        s = self.settings
        x, y, width, height = s.preprocess.roi or (0, 0, frame.size[1], frame.size[0])
        matrix = frame_from_map(s.preprocess.size, (height, width))
        stats = find_regions(
            pooled, threshold, frame_from_map=matrix, frame_size=(height, width), depth=prepared.depth_m,
            intrinsics=prepared.intrinsics, max_regions=s.max_regions,
        )
        return tuple(self._region(stat, x, y, residuals) for stat in stats)

    def _region(self, stat: RegionStat, x: int, y: int, residuals: Map | None) -> Region:
        inner, box = stat.map_box, stat.frame_box
        window = (inner.x, inner.y, inner.width, inner.height)
        sigmas = deviations(residuals, self.settings.levels, self.settings.modalities, window)
        modality = name_modality(sigmas, self.settings.modalities)
        return Region(
            box.x + x, box.y + y, box.width, box.height, stat.area_px, stat.peak, stat.center_m, modality
        )

    def _guard(self, raw: npt.NDArray[Any], scale: float, depth_m: Map, valid_ratio: float) -> None:
        self._valid_ratio = valid_ratio
        dtype = np.uint16 if raw.dtype == np.uint16 else np.uint32
        if self._spare.shape != raw.shape or self._spare.dtype != dtype:
            self._spare = np.empty(raw.shape, dtype)
        finding = check_depth(raw, scale, depth_m, valid_ratio, self.settings.limits, self._spare)
        if finding is not None:
            raise FrameRefused(finding.detail, finding.reason.value)

    def _conclude(self, frame: Frame, trace: _Trace, acquire_ms: float) -> Inspection:
        s = self.settings
        now = time.monotonic_ns()
        sized = all(isinstance(side, Integral) for side in frame.size)  # a frame without size has been refused
        affine = self._preprocess.frame_from_map(frame.size if sized else s.preprocess.size)
        score = np.nan if trace.result is None else trace.result.score
        verdict, reason, detail = judge(
            finding=trace.finding, score=score, threshold=s.threshold,
            nonfinite=0 if trace.result is None else trace.result.nonfinite, elapsed_ms=(now - trace.begin_ns) / 1e6,
            deadline_ms=s.limits.deadline_ms,
        )
        return Inspection(
            frame=frame.index, source=frame.source, verdict=verdict, reason=reason, detail=detail, score=score,
            threshold=np.nan if s.threshold is None else s.threshold, regions=trace.regions, anomaly_map=trace.raw,
            pooled_map=trace.pooled, frame_from_map=affine,
            timings=_timings(trace, now, acquire_ms), bundle=self._bundle, engine=str(self._engine.info),
            calibration_id=frame.calibration_id, valid_depth_ratio=self._valid_ratio,
            modality_scores=trace.sigmas, name=frame.name,
        )

    def _record(self, inspection: Inspection) -> None:
        self._verdicts[inspection.verdict.value] += 1
        self._reasons[inspection.reason.value] += 1
        if inspection.reason not in (Reason.OK, Reason.DEFECT):
            LOG.warning(
                "frame %s of %s: UNKNOWN %s: %s", inspection.frame, inspection.source, inspection.reason.value,
                inspection.detail,
            )
        elif inspection.stood_in is not None:
            self._stood_in += 1
            LOG.warning(
                "frame %s of %s: %s %s", inspection.frame, inspection.source, inspection.verdict.value,
                inspection.detail,
            )


@contextmanager
def _caught(trace: _Trace) -> Iterator[None]:
    """Whatever is raised becomes the finding: the machine gets a verdict."""
    try:
        yield
    except FrameRefused as error:
        trace.finding = Finding(Reason(error.reason), str(error))
    except EngineTimeout as error:
        trace.finding = Finding(Reason.DEADLINE, str(error))
    except EngineLost as error:
        trace.finding = Finding(Reason.ENGINE_DOWN, str(error))
    except Exception as error:
        trace.finding = Finding(trace.blame, f"{type(error).__name__}: {error}")


def _timings(trace: _Trace, now: int, acquire_ms: float) -> Timings:
    """Stages that a refused frame did not reach took no time."""
    prepared = trace.prepared_ns or now
    inferred = trace.inferred_ns or now
    return Timings(
        acquire_ms, (prepared - trace.start_ns) / 1e6, (inferred - prepared) / 1e6, (now - inferred) / 1e6,
        acquire_ms + (now - trace.start_ns) / 1e6,
    )
