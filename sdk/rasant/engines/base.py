# SPDX-License-Identifier: Apache-2.0
"""What every inference engine offers. An engine owns one graph with static shapes and the buffers bound to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Engine", "EngineInfo", "Probe"]


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
    the graph. device: "cpu" or "cuda:N". fallback: True if the asked device was not to be had and the caller allowed
    another; `notes` then say why.
    """

    name: str
    version: str
    provider: str
    precision: str
    device: str
    notes: tuple[str, ...] = ()
    fallback: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.provider}"


class Engine(Protocol):
    """One open graph.

    `inputs` and `outputs` map names to C-contiguous float32 arrays that stay the same for the engine's whole life:
    write into the inputs, call `infer`, read the outputs before the next call. One thread at a time.
    """

    info: EngineInfo
    inputs: Mapping[str, npt.NDArray[np.float32]]
    outputs: Mapping[str, npt.NDArray[np.float32]]

    @classmethod
    def probe(cls) -> Probe:
        """Whether this engine can be used here. Never raises."""
        ...

    def infer(self) -> None:
        """Run the graph on `inputs` and write `outputs`. Raises EngineError."""
        ...

    def warmup(self, runs: int = 2) -> None:
        """Run on zeros, so that the first real frame does not pay for lazy initialisation. Raises EngineError."""
        ...

    def close(self) -> None:
        """Free the runtime's memory. `infer` raises from then on; closing twice is fine."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
