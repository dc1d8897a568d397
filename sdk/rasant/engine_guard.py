# SPDX-License-Identifier: Apache-2.0
"""An engine that may fail, be late or vanish, and an inspector that needs an answer all the same.

    one failure            EngineError; the next frame is tried on the same engine
    three in a row         EngineLost: the engine is down
    EngineLost once        the same at once: its device is gone
    late for the deadline  EngineTimeout; the run goes on, and until it has ended every frame gets EngineTimeout
    late for 5 s           EngineLost: it hangs

An engine that is down is closed and opened again in a thread, by the first of the given ways that works, while every
frame gets EngineLost at once. Attempts have 0.5 s to 8 s between them, and happen only while frames come. A way whose
engine never answered is tried last.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from rasant.engines import Engine, EngineInfo
from rasant.errors import EngineLost, EngineTimeout

__all__ = ["MAX_FAILURES", "EngineGuard"]

LOG = logging.getLogger("rasant.engine")
LOG.addHandler(logging.NullHandler())

MAX_FAILURES = 3
HANG_S = 5.0  # a run that is late for so long will not end
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0  # between two attempts to open the engine again
STEADY_S = 60.0  # an engine that lived so long is opened again without a pause
KEPT_NOTES = 8  # of fallbacks, the latest


class EngineGuard:
    """Owns an engine. Not thread-safe: the inspector calls it under its lock.

    ways: what opens the engine again, warmed up and checked, in order of preference; the first opens it as it was, a
    later one is a fallback that the caller allowed. Without any, an engine that is down is tried again with each frame.
    """

    def __init__(self, engine: Engine, ways: Sequence[Callable[[], Engine]] = ()) -> None:
        self.info: EngineInfo = engine.info  # of the engine in use, or of the last one while there is none
        self.fallbacks: tuple[str, ...] = engine.info.notes if engine.info.fallback else ()
        self.restarts = 0  # how often an engine was opened again
        self._engine: Engine | None = engine
        self._dead: tuple[Engine, bool] | None = None  # still to be closed, and whether it hangs
        self._ways = tuple(ways)
        self._way = 0  # the one in use
        self._proven = True  # the engine in use has answered since it was opened
        self._failures = 0  # in a row
        self._late_since: float | None = None
        self._why = ""  # it went down
        self._opening: threading.Thread | None = None
        self._opened: tuple[int, Engine] | None = None  # what the thread found
        self._opened_at = time.monotonic()
        self._next_attempt = 0.0
        self._pause = FIRST_PAUSE_S

    def ready(self) -> Engine:
        """The engine, free to be prepared for a frame. Never waits.

        Raises EngineTimeout while a late run goes on, EngineLost while the engine is down.
        """
        self._take_over()
        if self._engine is not None and self._late_since is not None:
            self._poll(self._engine, self._late_since)
        if self._engine is None:
            self._open_again()
            raise EngineLost(f"the engine is down and being opened again; it failed with: {self._why}")
        return self._engine

    def run(self, budget_s: float | None = None) -> None:
        """Run slot 0 of what `ready` returned, for at most `budget_s` (None: as long as it takes, without a thread).

        Raises EngineTimeout, EngineLost, or what the engine raises.
        """
        engine = self._engine
        if engine is None:
            raise EngineLost("the engine is down; ask for it before each run")
        if budget_s is not None and budget_s <= 0.0:
            raise EngineTimeout("the deadline had passed before inference began")
        try:
            if budget_s is None:
                engine.infer()
            else:
                engine.submit(0)
                engine.wait(0, budget_s)
        except EngineTimeout as error:
            self._late_since = time.monotonic()
            text = f"inference takes longer than the {1e3 * (budget_s or 0.0):.1f} ms that the deadline left for it"
            raise EngineTimeout(text) from error
        except Exception as error:
            self._note_failure(engine, error)
            raise
        self._failures, self._proven = 0, True

    def close(self) -> None:
        """Release the engine; one that hangs is left to a thread. Waits for one that is being opened."""
        if self._opening is not None:
            self._opening.join()
            self._take_over()
        if self._engine is not None:
            self._dead, self._engine = (self._engine, self._late_since is not None), None
        self._bury()

    def _poll(self, engine: Engine, since: float) -> None:
        """Whether a late run has ended; its result is of no use to anybody."""
        late_s = time.monotonic() - since
        try:
            engine.wait(0, 0.0)
        except EngineTimeout as error:
            if late_s > HANG_S:
                self._go_down(engine, EngineLost(f"a run did not end within {late_s:.1f} s"), hangs=True)
            raise EngineTimeout(f"an earlier inference still runs, {1e3 * late_s:.0f} ms after its deadline") from error
        except Exception as error:
            self._late_since = None
            self._note_failure(engine, error)
        else:
            self._late_since = None

    def _note_failure(self, engine: Engine, error: Exception) -> None:
        """Count it. Raises EngineLost where the engine is down by it."""
        self._failures += 1
        if isinstance(error, EngineLost) or self._failures >= MAX_FAILURES:
            self._go_down(engine, error)

    def _go_down(self, engine: Engine, error: Exception, *, hangs: bool = False) -> None:
        self._why = f"{type(error).__name__}: {error}"
        if self._ways:
            LOG.error("%s is down: %s", self.info, self._why)
            self._engine, self._dead = None, (engine, hangs)
            self._late_since, self._failures = None, 0
            if time.monotonic() - self._opened_at > STEADY_S:
                self._pause, self._next_attempt = FIRST_PAUSE_S, 0.0
            self._open_again()
        raise EngineLost(f"the engine is down; it failed with: {self._why}") from error

    def _open_again(self) -> None:
        """Start an attempt, unless one goes on or the last was too recent."""
        if self._opening is None and time.monotonic() >= self._next_attempt:
            self._opening = threading.Thread(target=self._attempt, name="rasant-engine-guard", daemon=True)
            self._opening.start()

    def _attempt(self) -> None:
        """In a thread: close what failed, then try all ways, from the one in use on."""
        self._bury()
        first = self._way + (not self._proven)
        for k in range(len(self._ways)):
            way = (first + k) % len(self._ways)
            try:
                self._opened = way, self._ways[way]()
            except Exception as error:  # a broken driver may raise anything
                LOG.warning("the engine cannot be opened again: %s: %s", type(error).__name__, error)
            else:
                return

    def _bury(self) -> None:
        """Close what is of no use any more, whatever it says; one that hangs would keep us waiting."""
        if self._dead is None:
            return
        (engine, hangs), self._dead = self._dead, None
        if hangs:
            threading.Thread(target=_close, args=(engine,), name="rasant-engine-close", daemon=True).start()
        else:
            _close(engine)

    def _take_over(self) -> None:
        """Use what the thread opened, once it has ended."""
        if self._opening is None or self._opening.is_alive():
            return
        self._opening, opened, self._opened = None, self._opened, None
        self._next_attempt = time.monotonic() + self._pause
        self._pause = min(2.0 * self._pause, LONGEST_PAUSE_S)
        if opened is None:
            return
        way, self._engine = opened
        now = self._engine.info
        if way != self._way or now.fallback:
            self.fallbacks = (*self.fallbacks, f"{self.info} failed ({self._why}); in use is {now}")[-KEPT_NOTES:]
        LOG.warning("opened again: %s, after: %s", now, self._why)
        self._way, self.info, self._proven = way, now, False
        self._opened_at = time.monotonic()
        self.restarts += 1


def _close(engine: Engine) -> None:
    try:
        engine.close()
    except Exception as error:
        LOG.warning("%s cannot be closed: %s", engine.info, error)
