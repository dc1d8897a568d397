# SPDX-License-Identifier: Apache-2.0
"""A source in a process of its own: whatever its driver does, this process answers in time and can end that one.

The child (`rasant.stream.capture`) reads on request, copies the images into shared memory and sends the rest of the
frame through a pipe; this side copies them out before it asks again. So one block of memory has one user at a time, and
a child that is killed half-way leaves nothing torn: its answer never comes.

The block is made by the child and loses its name as soon as both sides have mapped it: the kernel frees it with the
last of them, however they end.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import SourceDisconnected, SourceTimeout
from rasant.sensors.base import Option, Source, Value
from rasant.stream.capture import Images, Opened, Received, serve
from rasant.types import Drops, Frame, Intrinsics

__all__ = ["ProcessSource"]

SLICE_S = 0.25  # how long one read in the child waits for the camera


class ProcessSource(Source):
    """The source that `opens` gives, in a child process. A watchdog kills a child that does not answer.

    opens: a function that a new interpreter can import, for example `functools.partial(open_source, "realsense:")`. A
        script that uses this needs `if __name__ == "__main__":`, as always with processes.
    patience_s: how long an answer may take beyond the time that the child was told to wait.
    open_s: how long opening and starting the device may take.

    read() raises SourceDisconnected where the child was killed or died; a `Pump` then starts another one.
    Raises what `opens` raises, SourceDisconnected where it takes longer than `open_s`.
    """

    def __init__(self, opens: Callable[[], Source], *, patience_s: float = 1.0, open_s: float = 15.0) -> None:
        super().__init__("process:")
        self._patience_s = patience_s
        self._memory: SharedMemory | None = None
        self._turn = threading.Lock()  # of the control pipe
        context = multiprocessing.get_context("spawn")
        (self._frames, child_frames), (self._control, child_control) = context.Pipe(), context.Pipe()
        self._child = context.Process(target=serve, args=(opens, child_frames, child_control), daemon=True)
        self._child.start()
        child_frames.close()
        child_control.close()
        opened: Opened = self._answer(self._frames, open_s, "opening the source")
        self.uri, self.serial, self.live, self.note = opened.uri, opened.serial, opened.live, opened.note
        self.calibration, self._frame_count = opened.calibration, opened.frame_count
        self._intrinsics, self._drops = opened.intrinsics, opened.drops

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the last frame; before the first, what the source says."""
        return self._intrinsics

    @property
    def frame_count(self) -> int | None:
        """That of the source."""
        return self._frame_count

    @property
    def pid(self) -> int | None:
        """The process that holds the device."""
        return self._child.pid

    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame, copied out of the shared memory."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._check_open()
            left = SLICE_S if deadline is None else min(SLICE_S, max(0.0, deadline - time.monotonic()))
            try:
                received: Received = self._ask(self._frames, left, left + self._patience_s, "reading a frame")
            except SourceTimeout:
                if deadline is not None and time.monotonic() >= deadline:
                    raise SourceTimeout(f"{self.uri}: no frame within {timeout_s} s") from None
                continue
            self._drops, self.note = received.frame.drops, received.note
            self._intrinsics = received.frame.intrinsics
            return self._taken(received)

    def trigger(self) -> None:
        """Ask the device for one exposure."""
        self._call("trigger")

    def options(self) -> Mapping[str, Option]:
        """The settings of the device."""
        found: Mapping[str, Option] = self._call("options")
        return found

    def set_option(self, name: str, value: Value) -> None:
        """Change a setting."""
        self._call("set_option", name, value)

    def stats(self) -> Drops:
        """Frames lost so far, as of the last frame."""
        return self._drops

    def close(self) -> None:
        """Ask the child to close the source, and end it where it does not; may be called again."""
        if self._closed:
            return
        super().close()
        self._control.close()  # the child sees the end of its pipe and leaves
        self._frames.close()
        self._child.join(self._patience_s)
        self._end()

    def _call(self, name: str, *arguments: Any) -> Any:
        self._check_open()
        with self._turn:
            return self._ask(self._control, (name, arguments), self._patience_s, name)

    def _ask(self, pipe: Connection, question: Any, timeout_s: float, what: str) -> Any:
        try:
            pipe.send(question)
        except OSError:
            raise self._dead(what) from None
        return self._answer(pipe, timeout_s, what)

    def _answer(self, pipe: Connection, timeout_s: float, what: str) -> Any:
        """What the child says; an error is raised here. A silent child is killed: it may hold the camera for ever."""
        try:
            if not pipe.poll(timeout_s):
                self._end()
                fault = f"{what} took longer than {timeout_s:.2f} s; the capture process was ended"
                raise SourceDisconnected(f"{self.uri}: {fault}")
            answer = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._dead(what) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _dead(self, what: str) -> SourceDisconnected:
        self._end()
        return SourceDisconnected(f"{self.uri}: the capture process died ({self._child.exitcode}) while {what}")

    def _end(self) -> None:
        """Kill the child if it lives, and give the memory back."""
        self._child.kill()
        self._child.join(self._patience_s)  # one that the kernel cannot end stays behind without our help
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _taken(self, received: Received) -> Frame:
        images = received.images
        if images.memory:
            if self._memory is not None:
                self._memory.close()
            self._memory = SharedMemory(images.memory)
            self._memory.unlink()
        return replace(received.frame, color=self._copied(images, 0), depth=self._copied(images, 1))

    def _copied(self, images: Images, which: int) -> npt.NDArray[Any] | None:
        place = images.places[which]
        if place is None or self._memory is None:
            return None
        offset, shape, dtype = place
        view: npt.NDArray[Any] = np.ndarray(shape, np.dtype(dtype), self._memory.buf, offset)
        return view.copy()
