# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from rasant_training.monitor import Monitor


def test_a_person_sees_progress_losses_and_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bar shows the step, how far the run is and its losses, the sum first; notes stand above it."""
    with Monitor(tmp_path, "progress", active=True, first_step=0) as monitor:
        monitor.event("note", text="only 2 good parts")
        monitor.scalars(20, {"focal": 0.25, "total": 1.5}, learning_rate=1e-3)
        monitor.advance(20, 1.0)
    shown = capsys.readouterr().out
    assert "only 2 good parts" in shown
    assert "step 20" in shown
    assert "100%" in shown
    assert "eta" in shown
    assert shown.index("total 1.5") > 0


def test_a_machine_reads_the_same_lines_that_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints exactly the lines of log.jsonl, and a later sitting appends to them."""
    for step in (4, 8):
        with Monitor(tmp_path, "json", active=True, first_step=step - 4) as monitor:
            monitor.event("start", step=step - 4)
            monitor.scalars(step, {"total": 0.5}, elapsed_s=1.0)
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in printed.splitlines()] == [0, 4, 4, 8]


def test_other_processes_are_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the first process writes and prints."""
    with Monitor(tmp_path, "json", active=False, first_step=0) as monitor:
        monitor.event("start", step=0)
        monitor.scalars(1, {"total": 0.5})
        monitor.advance(1, 0.5)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
