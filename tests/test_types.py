# SPDX-License-Identifier: Apache-2.0
"""Frames and inspections as they travel."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from rasant.types import Drops, Frame, Inspection, Intrinsics, Reason, Region, Sample, Timings, Verdict

CAMERA = Intrinsics(4, 3, 5.0, 5.0, 1.5, 1.0)


def test_values_are_frozen() -> None:
    """Nobody downstream changes a frame or a verdict."""
    frame = Frame(None, None, 1.0, CAMERA, 0, "s", 0)
    for value, field in ((frame, "index"), (CAMERA, "fx"), (Drops(), "queue"), (Timings(), "total_ms")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)


def test_small_facts() -> None:
    """Size is (rows, cols), drops add up, and only "good" is not defective."""
    assert Frame(None, None, 1.0, CAMERA, 0, "s", 0).size == (3, 4)
    assert Drops(1, 2, 3).total == 6
    assert not Sample("c", "test", "good", "0").defective
    assert Sample("c", "test", "dent", "0").defective


def test_reasons_are_codes() -> None:
    """PASS and REJECT have one reason each; every other reason is an E_ code, all different."""
    codes = [reason.value for reason in Reason]
    assert len(codes) == len(set(codes))
    assert [code for code in codes if not code.startswith("E_")] == ["OK", "DEFECT"]


def test_json_has_no_nan() -> None:
    """What does not exist is null; the text is strict JSON."""
    region = Region(1, 2, 3, 4, 12, float(np.float32(0.7)), (0.1, 0.2, 0.3), "depth")
    inspection = Inspection(
        5, "folder:x", Verdict.UNKNOWN, Reason.FRAME, "cut", float("nan"), float("nan"), (region,), None, None,
        np.eye(2, 3), Timings(), "b", "e",
    )
    line = json.loads(json.dumps(inspection.as_json(), allow_nan=False))
    assert line["score"] is None and line["threshold"] is None and line["valid_depth_ratio"] is None
    assert line["verdict"] == "UNKNOWN" and line["reason"] == "E_FRAME" and line["frame"] == 5
    assert line["regions"][0]["center_m"] == [0.1, 0.2, 0.3]
