# SPDX-License-Identifier: Apache-2.0
"""What a person or a machine sees of a training: a progress bar with ETA or JSON lines, `log.jsonl` and TensorBoard."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Monitor", "Output"]

Output = Literal["progress", "json", "quiet"]


class Monitor:
    """Reports of one run. With `active=False` (all processes but the first) every call does nothing."""

    def __init__(self, run: Path, output: Output, *, active: bool, first_step: int) -> None:
        self._output = output if active else "quiet"
        self._active = active
        self._run = run
        self._first_step = first_step
        self._log: TextIO | None = None
        self._board: SummaryWriter | None = None
        self._bar: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Monitor:
        if self._active:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=DeprecationWarning)  # of tensorboard's own imports
                from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self._run / "tensorboard"), purge_step=self._first_step or None)
            self._log = (self._run / "log.jsonl").open("a", encoding="utf-8")
        if self._output == "progress":
            self._start_bar()
        return self

    def _start_bar(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("step {task.fields[step]}"), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn(),
                   TextColumn("eta"), Remaining(), TextColumn("{task.fields[losses]}"))
        self._bar = Progress(*columns)
        self._bar.start()
        self._task = self._bar.add_task("train", total=1.0, step=self._first_step, losses="")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._board is not None:
            self._board.close()
        if self._log is not None:
            self._log.close()

    def advance(self, step: int, done: float) -> None:
        """Move the bar: `done` is the fraction of the run behind."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, step=step)

    def scalars(self, step: int, values: dict[str, float], **facts: float) -> None:
        """Losses of a log interval (means) and facts such as rate, elapsed seconds and steps a second."""
        line = {"event": "step", "step": step, **{f"loss_{name}": value for name, value in values.items()}, **facts}
        self._write(line)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"loss/{name}", value, step)
            for name, value in facts.items():
                self._board.add_scalar(f"run/{name}", value, step)
        if self._bar is not None:
            order = sorted(values, key=lambda name: name != "total")  # the sum first: narrow terminals cut the rest
            self._bar.update(self._task, losses=" ".join(f"{name} {values[name]:.4g}" for name in order))

    def event(self, name: str, **facts: Any) -> None:
        """Something that happened once: start, checkpoint, note, end."""
        self._write({"event": name, **facts})
        if self._bar is not None and name == "note":
            self._bar.console.print(f"[yellow]note[/yellow] {facts['text']}", highlight=False)

    def picture(self, step: int, image: npt.NDArray[np.uint8]) -> None:
        """Sample pictures (H, W, 3) uint8 RGB."""
        if self._board is not None:
            self._board.add_image("samples: colour | depth | truth | prediction", image, step, dataformats="HWC")

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line)
        if self._log is not None:
            self._log.write(text + "\n")
            self._log.flush()
        if self._output == "json":
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
