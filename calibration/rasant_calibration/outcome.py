# SPDX-License-Identifier: Apache-2.0
"""How every calibration ends: checks against limits, a file only where they are kept, a page, a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rasant.calibration_file import Calibration
from rasant_calibration.limits import Check, passed
from rasant_calibration.report import Section, write_page

__all__ = ["LIMIT", "LIMITS", "REPORT", "Outcome"]

LIMITS = Annotated[Path | None, typer.Option("--limits", help="TOML or JSON file with limits.")]
LIMIT = Annotated[list[str] | None, typer.Option("--limit", help="KEY=VALUE over the file's, e.g. max_rms_px=0.3.")]
REPORT = Annotated[Path | None, typer.Option("--report", help="Write a self-contained HTML page here.")]


@dataclass(slots=True)
class Outcome:
    """What was found, and what was written because it was good."""

    title: str
    checks: Sequence[Check]
    sections: Sequence[Section]
    board: str = ""
    written: Calibration | None = None

    @property
    def ok(self) -> bool:
        """All limits are kept."""
        return passed(self.checks)

    def finish(self, output: Path | None, report: Path | None, as_json: bool, details: dict[str, Any]) -> None:
        """Write the page and print the verdict. Leaves with exit code 1 where a limit is not kept."""
        if report is not None:
            write_page(report, self.title, self.checks, self.sections, self._facts(output))
        done = self.written
        if as_json:
            found = {
                "ok": self.ok, "checks": [check.as_json() for check in self.checks],
                "calibration_id": None if done is None else done.id, "output": None if done is None else str(output),
                "board": self.board or None, **details,
            }  # fmt: skip
            typer.echo(json.dumps(found, allow_nan=False))
        else:
            for check in self.checks:
                typer.secho(str(check), fg=None if check.ok else typer.colors.RED)
            if done is not None:
                typer.echo(f"written: {output}, calibration {done.id}")
            elif output is not None:
                typer.echo(f"not written: {output}; a limit is not kept")
        if not self.ok:
            raise typer.Exit(1)

    def _facts(self, output: Path | None) -> dict[str, str]:
        facts = {"board": self.board} if self.board else {}
        if self.written is not None:
            facts |= {"file": str(output), "calibration": self.written.id, "written": self.written.created}
            facts |= {"serial": self.written.serial} if self.written.serial else {}
        return facts
