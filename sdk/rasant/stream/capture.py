# SPDX-License-Identifier: Apache-2.0
"""The child side of `rasant.stream.process`: holds the device, answers questions, and never outlives its parent.

Two pipes: on one the parent asks for frames, on the other a thread answers what may be asked meanwhile (trigger,
settings). When the second one ends, the parent is gone and so is this process, at once.
A driver that hangs with the interpreter's lock would stop that thread too; so the kernel's alarm clock is set before
every call of the driver, and ends the process where it is not stopped again.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import FrameError, RasantError, SourceDisconnected, SourceError
from rasant.sensors.base import Source
from rasant.types import Drops, Frame, Intrinsics

__all__ = ["Images", "Opened", "Received", "serve"]

ALARM_S = 30.0  # longer than a parent that lives would wait
SHARED_FOLDER = Path("/dev/shm")
Place = tuple[int, tuple[int, ...], str]  # offset in bytes, shape, dtype


@dataclass(frozen=True, slots=True)
class Opened:
    """What the parent must know of a source."""

    uri: str
    serial: str
    live: bool
    note: str
    calibration: str
    intrinsics: Intrinsics
    frame_count: int | None
    drops: Drops


@dataclass(frozen=True, slots=True)
class Images:
    """Where colour and depth of a frame lie. memory: the name of a new block, or empty where it is the one before."""

    memory: str
    places: tuple[Place | None, Place | None]


@dataclass(frozen=True, slots=True)
class Received:
    """A frame without its images, and where those lie."""

    frame: Frame
    images: Images
    note: str


def serve(opens: Callable[[], Source], frames: Connection, control: Connection) -> None:
    """Open the source, tell so, and answer each request (the seconds to wait) with a `Received` or an exception."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        source = _guarded(opens)
        _guarded(source.start)
    except Exception as error:
        frames.send(_sendable(error))
        return
    watcher = threading.Thread(target=_control, args=(source, control), daemon=True)
    watcher.start()
    block = _Block()
    try:
        frames.send(
            Opened(
                source.uri, source.serial, source.live, source.note, source.calibration, source.intrinsics,
                source.frame_count, source.stats(),
            )
        )
        while True:
            timeout_s = frames.recv()
            try:
                frame = _guarded(partial(source.read, timeout_s))
                answer: Any = Received(replace(frame, color=None, depth=None), block.put(frame), source.note)
            except Exception as error:
                answer = _sendable(error)
            frames.send(answer)
    except (EOFError, OSError):
        watcher.join()  # the parent is gone: it closes the source and ends the process


def _control(source: Source, pipe: Connection) -> None:
    """Answer (method, arguments) until the parent closes the pipe or dies."""
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError):
            _leave(source)
        try:
            answer = getattr(source, name)(*arguments)
        except Exception as error:
            answer = _sendable(error)
        pipe.send(answer)


def _leave(source: Source) -> None:
    """Release the device within a second, if its driver lets us, and end the process."""
    closing = threading.Thread(target=source.close, daemon=True)
    closing.start()
    closing.join(0.5)
    os._exit(0)


def _guarded(call: Callable[[], Any]) -> Any:
    """Call a driver under the alarm clock."""
    signal.setitimer(signal.ITIMER_REAL, ALARM_S)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _sendable(error: Exception) -> Exception:
    """The error itself where the parent knows its class, else what it says."""
    if isinstance(error, FrameError):
        plain = FrameError(str(error))
        plain.index, plain.name = error.index, error.name
        return plain
    if isinstance(error, RasantError | ImportError):
        return error
    return SourceDisconnected(f"{type(error).__name__}: {error}")


class _Block:
    """Shared memory that fits a frame; a larger frame gets a new one."""

    def __init__(self) -> None:
        self._memory: SharedMemory | None = None

    def put(self, frame: Frame) -> Images:
        """Copy both images in. Raises SourceError where the machine has not so much shared memory."""
        images = (frame.color, frame.depth)
        starts = np.cumsum([0] + [0 if image is None else -(-image.nbytes // 64) * 64 for image in images])
        name = self._make_room(int(starts[-1]))
        return Images(name, (self._copy(images[0], int(starts[0])), self._copy(images[1], int(starts[1]))))

    def _make_room(self, size: int) -> str:
        if self._memory is not None and self._memory.size >= size:
            return ""
        free = shutil.disk_usage(SHARED_FOLDER).free if SHARED_FOLDER.is_dir() else size
        if free < size:
            raise SourceError(
                f"a frame takes {size} bytes of shared memory, {SHARED_FOLDER} has {free}; give it more (Docker: "
                "--shm-size), or capture without a process of its own"
            )
        if self._memory is not None:
            self._memory.close()
        self._memory = SharedMemory(create=True, size=max(1, size))
        return self._memory.name

    def _copy(self, image: npt.NDArray[Any] | None, offset: int) -> Place | None:
        if image is None or self._memory is None:
            return None
        view: npt.NDArray[Any] = np.ndarray(image.shape, image.dtype, self._memory.buf, offset)
        view[...] = image
        return offset, image.shape, image.dtype.str
