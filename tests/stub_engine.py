# SPDX-License-Identifier: Apache-2.0
"""An engine without a runtime: the test writes what the network would have said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rasant.engines import EngineInfo
from rasant.engines.base import Slot
from rasant.errors import EngineError, EngineTimeout
from rasant.inspector import Inspector
from rasant.preprocess import PreprocessParams
from rasant.settings import Settings
from rasant.verdict import Limits

PLAIN = PreprocessParams(size=(64, 64), background="none", depth_rule="metric", fill_passes=0)
EASY = Limits(max_age_ms=None, depth_range_m=(0.2, 2.0))


class StubEngine:
    """Buffers of a network of `size`; `answer` is called in each run and may write, raise or wait. One slot."""

    def __init__(
        self, size: tuple[int, int] = (64, 64), *, residual: int = 0,
        answer: Callable[[StubEngine], None] | None = None, fallback: str = "", name: str = "stub", batch: int = 1,
    ) -> None:
        h, w = size
        self.info = EngineInfo(name, "1", "none", "fp32", "cpu", (fallback,) if fallback else (), bool(fallback))
        self.inputs = {
            "color": np.zeros((batch, 3, h, w), np.float32), "depth": np.zeros((batch, 1, h, w), np.float32)
        }
        self.outputs = {"logits": np.zeros((batch, 2, h, w), np.float32)}
        if residual:
            self.outputs["residual"] = np.zeros((batch, residual, h, w), np.float32)
        self.slots = (Slot(self.inputs, self.outputs),)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self.set_probability(0.1)
        self.answer = answer
        self.runs = 0
        self.closed = 0

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """(2, h, w): good, defect."""
        return self.outputs["logits"][0]

    def set_probability(self, probability: float, where: tuple[slice, slice] = (slice(None), slice(None))) -> None:
        """Make the defect's probability what is asked, everywhere or in a window."""
        self.logits[0][where] = 0.0
        self.logits[1][where] = np.log(probability / (1.0 - probability))

    def infer(self) -> None:
        """Count the run, and do what the test asks."""
        self.runs += 1
        if self.answer is not None:
            self.answer(self)

    def submit(self, slot: int = 0) -> None:
        """`infer` in a thread."""
        if self._thread is not None:
            raise EngineError(f"slot {slot} still runs")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.infer()
        except Exception as error:
            self._error = error

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """What `infer` in the thread came to."""
        if self._thread is None:
            raise EngineError(f"nothing was submitted to slot {slot}")
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise EngineTimeout("it still runs")
        self._thread, error, self._error = None, self._error, None
        if error is not None:
            raise error

    def warmup(self, runs: int = 2) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        """Count the calls, and wait for what runs."""
        self.closed += 1
        if self._thread is not None:
            self._thread.join()


def stub_inspector(
    engine: StubEngine | None = None, *, threshold: float | None = 0.5, limits: Limits = EASY, kernel: int = 5,
    preprocess: PreprocessParams = PLAIN, **settings: object,
) -> Inspector:
    """An inspector on a stub engine that passes `plate_frame()`."""
    chosen = Settings(preprocess, threshold, kernel=kernel, limits=limits, **settings)
    return Inspector(engine if engine is not None else StubEngine(preprocess.size), chosen)


def wait_ms(milliseconds: float) -> Callable[[StubEngine], None]:
    """An answer that takes its time."""
    return lambda engine: time.sleep(milliseconds / 1e3)
