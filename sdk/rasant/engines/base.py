# SPDX-License-Identifier: Apache-2.0
"""What every inference engine offers. An engine owns one graph with static shapes and the buffers bound to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from rasant.errors import ConfigError

__all__ = ["Buffers", "Engine", "EngineInfo", "LayerTime", "Probe", "Slot", "Slotted", "require_counts"]

Buffers = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether an engine can be used here. reason: text for a person where it cannot. version: "" if not installed."""

    available: bool
    reason: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really runs, as the runtime itself tells it.

    provider: the execution provider in use, not the one asked for. precision: "fp32", "fp16" or "int8", a property of
    the graph. device: "cpu", "cuda:N" or what else the engine names. fallback: True if the asked device was not to be
    had and the caller allowed another; `notes` then say why. open_s: seconds it took to open or compile the graph.
    choice: why "auto" took this engine, "" where the caller named it. proof: what the golden frames of the bundle said.
    """

    name: str
    version: str
    provider: str
    precision: str
    device: str
    notes: tuple[str, ...] = ()
    fallback: bool = False
    open_s: float = field(default=0.0, compare=False)
    choice: str = field(default="", compare=False)
    proof: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.provider}"


class Slot(NamedTuple):
    """The buffers of one run: name -> C-contiguous float32 array, the same for the engine's whole life."""

    inputs: Buffers
    outputs: Buffers


class LayerTime(NamedTuple):
    """What one layer took. kind: the operator, or what the runtime fused it into. ms: mean of the profiled runs."""

    name: str
    kind: str
    ms: float


class Engine(Protocol):
    """One open graph.

    Write into `inputs`, call `infer`, read `outputs` before the next call. With several slots a run may be in flight
    while the next frame is prepared: write into `slots[i].inputs`, `submit(i)`, later `wait(i)`, read
    `slots[i].outputs`. `inputs` and `outputs` are those of slot 0. One thread at a time.
    """

    info: EngineInfo
    slots: tuple[Slot, ...]

    @classmethod
    def probe(cls) -> Probe:
        """Whether this engine can be used here. Never raises."""
        ...

    @property
    def inputs(self) -> Buffers:
        """Inputs of slot 0."""
        ...

    @property
    def outputs(self) -> Buffers:
        """Outputs of slot 0."""
        ...

    def infer(self) -> None:
        """Run the graph on the inputs of slot 0 and write its outputs. Raises EngineError."""
        ...

    def submit(self, slot: int = 0) -> None:
        """Start a run on a slot and return at once. Raises EngineError where the slot still runs."""
        ...

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """Wait for the run of a slot; its outputs are valid afterwards.

        Raises EngineTimeout where it takes longer (the slot stays busy: wait again), EngineError where the run failed
        or none was submitted.
        """
        ...

    def warmup(self, runs: int = 2) -> None:
        """Run every slot on zeros, so that the first real frame does not pay for initialisation. Raises EngineError."""
        ...

    def profile(self, runs: int = 10) -> tuple[LayerTime, ...]:
        """Time of each layer on what stands in slot 0, slowest first. Opens the graph once more. Raises EngineError."""
        ...

    def close(self) -> None:
        """Wait for what runs, and free the runtime's memory. All else raises from then on; closing twice is fine."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Slotted(ABC):
    """What every engine has alike: buffers by slot, and a `with` block that closes it."""

    slots: tuple[Slot, ...]

    @property
    def inputs(self) -> Buffers:
        """Inputs of slot 0."""
        return self.slots[0].inputs

    @property
    def outputs(self) -> Buffers:
        """Outputs of slot 0."""
        return self.slots[0].outputs

    @abstractmethod
    def close(self) -> None:
        """See `Engine.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_counts(threads: int, slots: int) -> None:
    """What every engine asks of these two. Raises ConfigError."""
    if threads < 0:
        raise ConfigError(f"threads must be 0 (the runtime decides) or more, got {threads}")
    if slots < 1:
        raise ConfigError(f"slots must be 1 or more, got {slots}; each holds the buffers of one run in flight")
