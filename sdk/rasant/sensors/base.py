# SPDX-License-Identifier: Apache-2.0
"""What every source of frames does, and what the finite ones share."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.types import Drops, Frame, Intrinsics

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FiniteSource", "Option", "Source", "Value"]

Item = TypeVar("Item")
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a device: its value now, and what it may be. `choices` names the values of an enumeration."""

    value: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    note: str = ""
    writable: bool = True


class Source(abc.ABC):
    """Gives frames, one at a time, numbered from 0 without gaps. A damaged frame uses up its number.

    read() raises
        EndOfStream         there are no more frames; the iterator ends
        FrameError          this frame is damaged and `error.index`, `error.name` tell which; the next may be good
        SourceTimeout       no frame within `timeout_s`; the source is still open
        SourceDisconnected  the device is gone; open it again
    The iterator passes FrameError on and may be resumed after it; with `skip_damaged` it goes on by itself. Either way
    `stats().damaged` counts it.

    A live source also has a device that streams on its own, may be triggered and set, and loses what nobody reads.
    One thread reads; `trigger`, `options` and `set_option` may be called from another one meanwhile.

    uri: what was opened. note: what a person should know about this source (a cut file, nominal intrinsics), or empty.
    serial: of the device, or empty. live: whether frames come at the device's pace, so that a slow reader loses some.
    calibration: JSON text of the calibration file that it is read with, or empty.
    """

    live: bool = False

    def __init__(self, uri: str, *, skip_damaged: bool = False) -> None:
        self.uri = uri
        self.skip_damaged = skip_damaged
        self.note = ""
        self.serial = self.calibration = ""
        self._drops = Drops()
        self._closed = False

    @property
    @abc.abstractmethod
    def intrinsics(self) -> Intrinsics:
        """Camera of the coming frame (of the last one at the end). Each frame carries its own."""

    @property
    def frame_count(self) -> int | None:
        """How many frames it holds in all, or None where that is unknown or without end."""
        return None

    @abc.abstractmethod
    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame. Waits at most `timeout_s` seconds where it has to wait at all; None waits without limit."""

    def start(self) -> None:
        """Let the device stream. read() does so by itself; may be called again."""
        self._check_open()

    def trigger(self) -> None:
        """Ask the device for one exposure. Raises ConfigError where it cannot be triggered by software."""
        raise ConfigError(f"{self.uri} has no software trigger; read() gives what comes")

    def options(self) -> Mapping[str, Option]:
        """The settings of the device by name, as they are now; empty where there are none."""
        return {}

    def set_option(self, name: str, value: Value) -> None:
        """Change a setting. Raises ConfigError for an unknown name or a value that the device refuses."""
        known = ", ".join(self.options()) or "none"
        raise ConfigError(f"{self.uri} has no setting {name!r} that can be changed; it has {known}")

    def stats(self) -> Drops:
        """Frames lost so far, by cause."""
        return self._drops

    def close(self) -> None:
        """Release the device or file. May be called again; a closed source raises SourceError from read()."""
        self._closed = True

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        while True:
            try:
                return self.read()
            except EndOfStream:
                raise StopIteration from None
            except FrameError:
                if not self.skip_damaged:
                    raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SourceError(f"{self.uri} is closed; open it again with rasant.open_source()")


class FiniteSource(Source, Generic[Item]):
    """A source over a list of items known beforehand, loaded one by one in read()."""

    def __init__(self, uri: str, items: Sequence[Item], *, skip_damaged: bool = False) -> None:
        super().__init__(uri, skip_damaged=skip_damaged)
        self._items = items
        self._next = 0

    @abc.abstractmethod
    def _load(self, item: Item, index: int) -> Frame:
        """Make the frame of an item; arrival time and drops are filled in later. Raises FrameError where damaged."""

    @abc.abstractmethod
    def _item_name(self, item: Item) -> str:
        """What messages and `FrameError.name` call the item."""

    @property
    def frame_count(self) -> int:
        """How many frames it holds in all, damaged ones included."""
        return len(self._items)

    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame; files do not make it wait, so `timeout_s` has no effect."""
        self._check_open()
        if self._next >= len(self._items):
            raise EndOfStream(f"{self.uri}: all {len(self._items)} frames have been read")
        index, item = self._next, self._items[self._next]
        self._next += 1
        try:
            frame = self._load(item, index)
        except FrameError as error:
            self._drops = replace(self._drops, damaged=self._drops.damaged + 1)
            error.index, error.name = index, self._item_name(item)
            raise
        return replace(frame, arrival_ns=time.monotonic_ns(), drops=self._drops)

    @property
    def _coming(self) -> Item:
        return self._items[min(self._next, len(self._items) - 1)]
