# SPDX-License-Identifier: Apache-2.0
"""The stand-in: one modality decides while the other is missing; asked for, for no other reason, never in silence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rasant
from rasant.bundle.manifest import StandIn, Validity
from rasant.inspector import Inspector
from rasant.settings import Settings
from rasant.types import Clock, Frame, Inspection, Reason, Verdict
from stub_engine import EASY, PLAIN, StubEngine, wait_ms
from tiny_bundle import plate_camera, plate_frame, write_tiny_bundle

LOSS = StandIn(
    of="a" * 64, data_sha256="b" * 64, n_good=30, n_defective=20, n_unknown=0, i_auroc=0.9, i_auroc_of=0.97,
    i_auroc_change=(-0.12, -0.02), escapes=7, escapes_of=2, false_rejects=1, false_rejects_of=0,
)  # fmt: skip
TEXT = "expected loss: of 20 defective parts it passes 7 instead of 2, of 30 good ones it rejects 1 instead of 0"
RGB = replace(PLAIN, modalities="rgb")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The plate's bundle of both modalities, and one of each alone that may stand in for it."""
    folder = tmp_path_factory.mktemp("bundles")
    options: dict[str, Any] = {"camera": plate_camera()}
    return {
        "rgbd": write_tiny_bundle(folder / "both.rasant", **options),
        "rgb": write_tiny_bundle(folder / "colour.rasant", modalities="rgb", threshold=0.4, stand_in=LOSS, **options),
        "depth": write_tiny_bundle(folder / "depth.rasant", modalities="depth", stand_in=LOSS, **options),
    }


def load(bundles: dict[str, Path], one: str = "rgb", **options: Any) -> Inspector:
    """Both, with a stand-in."""
    return rasant.load(bundles["rgbd"], stand_in=bundles[one], threads=1, **options)


def no_depth(frame: Frame) -> Frame:
    """As a source gives it whose depth camera is gone: nothing, and no scale either."""
    return replace(frame, depth=None, depth_scale=1.0)


def empty(frame: Frame) -> Frame:
    """As a scanner gives it whose projector is dark."""
    assert frame.depth is not None
    return replace(frame, depth=np.zeros_like(frame.depth))


def live(frames: Sequence[Frame]) -> list[Frame]:
    """As they come from a camera with a clock, 10 ms apart."""
    return [replace(f, index=k, clock=Clock.DEVICE, device_time_ns=k * 10**7) for k, f in enumerate(frames)]


def inspect(inspector: Inspector, frames: Sequence[Frame]) -> list[Inspection]:
    """Each at the moment it arrives."""
    return [inspector(replace(frame, arrival_ns=time.monotonic_ns())) for frame in frames]


def test_depth_that_drops_in_mid_stream_is_decided_by_colour_until_it_is_back(
    bundles: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Missing, then empty, then there again: nobody takes the gap for a clock or a form that changed. What colour alone
    decides carries its own bundle, threshold and reason, and one warning each; a dent escapes it, as declared."""
    defects = [None, "dent", None, "stain", "dent", None, "stain", None, "dent", None]
    plates = [plate_frame(defect, index=k) for k, defect in enumerate(defects)]
    drops: dict[int, Callable[[Frame], Frame]] = {2: no_depth, 3: no_depth, 4: no_depth, 5: empty, 6: empty}
    frames = live([drops[k](frame) if k in drops else frame for k, frame in enumerate(plates)])
    with load(bundles, max_age_ms=5000.0) as inspector, caplog.at_level(logging.INFO, logger="rasant"):
        answers = inspect(inspector, frames)
        status = inspector.status
    verdicts = "PASS REJECT PASS REJECT PASS PASS REJECT PASS REJECT PASS"
    assert [a.verdict.value for a in answers] == verdicts.split(), [a.detail for a in answers]
    own, both = (rasant.read_bundle(bundles[name]).sha256 for name in ("rgb", "rgbd"))
    for k, answer in enumerate(answers):
        assert (answer.frame, answer.source, answer.name) == (k, "plate", f"{k:03d}")
        assert (answer.bundle, answer.threshold) == ((own, 0.4) if k in drops else (both, 0.5))
    assert [a.stood_in for a in answers[1:8]] == [
        None, *[Reason.DEPTH_MISSING] * 3, *[Reason.DEPTH_EMPTY] * 2, None,
    ]  # fmt: skip
    assert answers[2].detail == (
        f"decided by colour alone (E_DEPTH_MISSING: the bundle needs depth and the frame has none); {TEXT}"
    )
    assert answers[6].detail.startswith("decided by colour alone (E_DEPTH_EMPTY: none of 12288 depth pixels is valid);")
    assert f"{TEXT}; score " in answers[6].detail and answers[6].regions[0].modality == "color"
    assert answers[7].detail == ""
    assert status.frames == 10 and status.verdicts == {"PASS": 6, "REJECT": 4}
    assert status.reasons == {"OK": 6, "DEFECT": 4}
    assert status.fallbacks == ("frames decided by colour alone: 5",) and status.bundle == both
    assert [r.levelname for r in caplog.records] == ["WARNING"] * 5 and "decided by colour alone" in caplog.text


def test_it_is_off_unless_asked_for(bundles: dict[str, Path]) -> None:
    """Without a stand-in a frame without depth stays UNKNOWN, and a frame with both is not touched by one."""
    with rasant.load(bundles["rgbd"]) as plain, load(bundles) as inspector:
        assert plain(no_depth(plate_frame())).reason is Reason.DEPTH_MISSING
        ours, theirs = inspector(plate_frame("dent")), plain(plate_frame("dent"))
    assert (ours.score, ours.verdict, ours.bundle, ours.stood_in) == (
        theirs.score, Verdict.REJECT, theirs.bundle, None,
    )  # fmt: skip
    assert inspector.status.fallbacks == ()


def test_depth_stands_in_for_colour(bundles: dict[str, Path]) -> None:
    """The other way round: a dent is found, a stain escapes."""
    with load(bundles, "depth") as inspector:
        answers = [inspector(replace(plate_frame(d, index=k), color=None)) for k, d in enumerate((None, "dent"))]
    assert [(a.verdict, a.stood_in) for a in answers] == [
        (Verdict.PASS, Reason.COLOR_MISSING), (Verdict.REJECT, Reason.COLOR_MISSING),
    ]  # fmt: skip
    assert answers[1].detail.startswith("decided by depth alone (E_COLOR_MISSING: ")
    assert inspector.status.fallbacks == ("frames decided by depth alone: 2",)


@pytest.mark.parametrize(
    ("one", "drop", "reason"),
    [
        ("rgb", lambda f: replace(f, color=None), Reason.COLOR_MISSING),
        ("rgb", lambda f: replace(f, color=None, depth=None), Reason.COLOR_MISSING),
        ("depth", no_depth, Reason.DEPTH_MISSING),
        ("depth", empty, Reason.DEPTH_EMPTY),
    ],
)
def test_a_stand_in_of_the_missing_modality_changes_nothing(
    bundles: dict[str, Path], one: str, drop: Callable[[Frame], Frame], reason: Reason
) -> None:
    """The main bundle's UNKNOWN stays as it is."""
    with load(bundles, one) as inspector:
        answer = inspector(drop(plate_frame()))
    assert (answer.verdict, answer.reason, answer.stood_in) == (Verdict.UNKNOWN, reason, None)
    assert answer.bundle == rasant.read_bundle(bundles["rgbd"]).sha256 and inspector.status.fallbacks == ()


def test_both_missing_stays_unknown(bundles: dict[str, Path]) -> None:
    """A stand-in without its own modality cannot decide either, and the detail names both."""
    for drop in (no_depth, empty):
        with load(bundles, "depth") as inspector:
            answer = inspector(drop(replace(plate_frame(), color=None)))
        assert answer.verdict is Verdict.UNKNOWN and answer.reason in (Reason.DEPTH_MISSING, Reason.DEPTH_EMPTY)
        assert answer.detail.startswith("depth alone cannot decide either (E_COLOR_MISSING: ")
        assert inspector.status.fallbacks == ()


def sparse(frame: Frame) -> Frame:
    depth = np.zeros_like(frame.depth)
    depth[0, 0] = 5000
    return replace(frame, depth=depth)


OTHER = {
    "pair": (lambda f: replace(f, pair=(1, 2)), Reason.PAIR),
    "pair of one image": (lambda f: replace(no_depth(f), pair=(1, 2)), Reason.PAIR),
    "another camera": (lambda f: replace(no_depth(f), intrinsics=replace(f.intrinsics, fx=-1.0)), Reason.CALIBRATION),
    "another size": (lambda f: no_depth(plate_frame(size=(48, 64))), Reason.FORMAT),
    "depth of another size": (lambda f: replace(f, depth=f.depth[:-1]), Reason.FORMAT),
    "depth saturates": (lambda f: replace(f, depth=np.full_like(f.depth, 65535)), Reason.RANGE),
    "depth in other units": (lambda f: replace(f, depth_scale=1e-1), Reason.UNITS),
    "one valid pixel": (sparse, Reason.DEPTH_SPARSE),
    "black": (lambda f: replace(f, color=np.zeros_like(f.color)), Reason.EXPOSURE),
    "from the future": (lambda f: replace(f, arrival_ns=time.monotonic_ns() + 10**12), Reason.TIME),
    "no time stamp": (lambda f: replace(f, clock=Clock.DEVICE, arrival_ns=time.monotonic_ns()), Reason.TIME),
}


@pytest.mark.parametrize("case", OTHER)
def test_no_other_reason_is_replaced(bundles: dict[str, Path], case: str) -> None:
    """Colour alone could decide most of these frames, and must not."""
    spoil, reason = OTHER[case]
    with load(bundles) as inspector:
        answer = inspector(spoil(plate_frame()))
        assert (answer.verdict, answer.reason, answer.stood_in) == (Verdict.UNKNOWN, reason, None), answer.detail
        assert inspector.refuse(1, "plate", "another serial", reason=Reason.SERIAL).reason is Reason.SERIAL
    assert inspector.status.fallbacks == () and inspector.status.frames == 2


def fail(engine: StubEngine) -> None:
    raise RuntimeError("no luck")


def pair(engine: StubEngine, other: StubEngine, limits: Any = EASY, own: Any = EASY) -> Inspector:
    """A stub of both modalities with a stub of colour as its stand-in."""
    spare = Inspector(other, Settings(RGB, 0.5, kernel=5, limits=own))
    return Inspector(engine, Settings(PLAIN, 0.5, kernel=5, limits=limits), stand_in=spare)


def test_an_engine_that_fails_is_not_replaced() -> None:
    """Nor one whose map is not finite or comes too late; the stand-in does not even run."""
    spare = StubEngine()
    lost, late = StubEngine(answer=fail), StubEngine(answer=wait_ms(60))
    nan = StubEngine(answer=lambda e: e.logits.fill(np.nan))
    for engine, reason in ((lost, Reason.ENGINE), (nan, Reason.NONFINITE), (late, Reason.DEADLINE)):
        with pair(engine, spare, replace(EASY, deadline_ms=20.0 if engine is late else 10_000.0)) as inspector:
            assert inspector(plate_frame()).reason is reason
    assert spare.runs == 0


def test_the_stand_ins_own_engine_may_fail() -> None:
    """That is UNKNOWN with both reasons in the detail, one log record, and no fallback that happened."""
    with pair(StubEngine(), StubEngine(answer=fail)) as inspector:
        answer = inspector(no_depth(plate_frame()))
        assert (answer.verdict, answer.reason, answer.stood_in) == (
            Verdict.UNKNOWN, Reason.ENGINE, Reason.DEPTH_MISSING,
        )  # fmt: skip
        assert "cannot decide either (E_DEPTH_MISSING" in answer.detail and "no luck" in answer.detail
        assert inspector.status.reasons == {"E_ENGINE": 1} and inspector.status.fallbacks == ()


def test_what_the_stand_in_sees_must_be_sound(bundles: dict[str, Path]) -> None:
    """A black picture without depth is UNKNOWN, and so is one that is too old or of another size."""
    frame = no_depth(plate_frame())
    cases: list[tuple[dict[str, Any], int, Reason]] = [
        ({"color": np.zeros_like(frame.color)}, 0, Reason.EXPOSURE),
        ({}, 10**10, Reason.STALE),
        ({"color": frame.color[:-1]}, 0, Reason.FORMAT),
    ]
    with load(bundles, max_age_ms=5000.0) as inspector:
        for changes, age_ns, reason in cases:
            answer = inspector(replace(frame, arrival_ns=time.monotonic_ns() - age_ns, **changes))
            assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, reason), answer.detail


def test_a_frozen_picture_beside_live_depth_is_known_when_depth_drops(bundles: dict[str, Path]) -> None:
    """Live depth hides from the main bundle that colour stands still. The stand-in looked at every frame, so that the
    first one that it has to decide is no PASS on an old picture."""
    still = plate_frame().color
    plates = [replace(plate_frame(index=k), color=still) for k in range(6)]
    frames = live([*plates[:4], no_depth(plates[4]), empty(plates[5])])
    with load(bundles, max_age_ms=5000.0) as inspector:
        reasons = [answer.reason for answer in inspect(inspector, frames)]
    assert reasons == [Reason.OK] * 4 + [Reason.STALE] * 2


@pytest.mark.parametrize("drop", [no_depth, empty])
def test_depth_that_comes_and_goes_is_no_fault_of_time(
    bundles: dict[str, Path], drop: Callable[[Frame], Frame]
) -> None:
    """Every pattern of gaps: no E_TIME, E_STALE, E_FORMAT or E_FRAME on either side, and each frame is counted once."""
    random = np.random.default_rng(0)
    gone = random.random(40) < 0.5
    frames = live([drop(plate_frame(index=k)) if gone[k] else plate_frame(index=k) for k in range(40)])
    with load(bundles, max_age_ms=5000.0) as inspector:
        answers = inspect(inspector, frames)
        assert inspector.status.frames == 40
        assert inspector.status.fallbacks == (f"frames decided by colour alone: {gone.sum()}",)
    assert {a.verdict for a in answers} == {Verdict.PASS}, [a.detail for a in answers]
    assert [a.stood_in is not None for a in answers] == gone.tolist()


def test_a_stations_threshold_is_the_main_bundles(bundles: dict[str, Path], tmp_path: Path) -> None:
    """From a file and as an override; its other values hold for both. The file names the stand-in beside itself."""
    (tmp_path / "colour.rasant").write_bytes(bundles["rgb"].read_bytes())
    stated = 'threshold = 0.9999\nstand_in = "colour.rasant"\n[validity.exposure]\nmin_mean = 200'
    (tmp_path / "station.toml").write_text(stated)
    for options in ({}, {"threshold": 0.999}):
        with rasant.load(bundles["rgbd"], station=tmp_path / "station.toml", **options) as inspector:
            dark = inspector(no_depth(plate_frame()))
            assert (dark.reason, dark.threshold) == (Reason.EXPOSURE, 0.4)
            assert inspector(plate_frame(index=1)).threshold == options.get("threshold", 0.9999)
    with rasant.load(bundles["rgbd"], station=tmp_path / "station.toml", min_mean=4.0, roi=(0, 0, 40, 96)) as inspector:
        answers = [inspector(change(plate_frame("stain", center=(48, 90)))) for change in (no_depth, empty)]
    assert [a.verdict for a in answers] == [Verdict.PASS, Verdict.PASS], "the stain lies outside the region"


def test_age_and_deadline_are_the_main_bundles(tmp_path: Path) -> None:
    """A machine waits for one verdict, whoever gives it."""
    strict = Validity(min_valid_depth=0.5, depth_range_m=(0.2, 2.0), max_age_ms=50.0, deadline_ms=70.0)
    both = write_tiny_bundle(tmp_path / "both.rasant", validity=strict)
    one = write_tiny_bundle(tmp_path / "one.rasant", modalities="rgb", stand_in=LOSS)
    with rasant.load(both, stand_in=one) as inspector:
        old = no_depth(plate_frame(arrival_ns=time.monotonic_ns() - 10**8))
        assert inspector(old).reason is Reason.STALE
    late = StubEngine(answer=wait_ms(60))
    limits = replace(EASY, deadline_ms=20.0)
    with pair(StubEngine(), late, limits, limits) as inspector:
        assert inspector(no_depth(plate_frame())).reason is Reason.DEADLINE


def test_a_patch_of_known_depth_does_not_hide_that_depth_is_empty(bundles: dict[str, Path]) -> None:
    """No depth at all is E_DEPTH_EMPTY, not another unit; the stand-in is still held to the patch's colour."""
    patch = {"box": (4, 4, 8, 8), "color": (140.0, 150.0, 160.0), "tolerance": 10.0, "depth_m": 0.5}
    red = empty(plate_frame(index=1))
    red = replace(red, color=np.roll(red.color, 1, axis=2) // 2)
    with load(bundles, patch=patch) as inspector:
        answer = inspector(empty(plate_frame()))
        assert (answer.verdict, answer.stood_in) == (Verdict.PASS, Reason.DEPTH_EMPTY), answer.detail
        assert inspector(red).reason is Reason.EXPOSURE
        assert inspector(no_depth(red)).reason is Reason.EXPOSURE


def test_what_cannot_stand_in_is_refused_at_load(bundles: dict[str, Path], tmp_path: Path) -> None:
    """Each mistake is named, with what to do."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", modalities="rgb")
    raw = write_tiny_bundle(tmp_path / "raw.rasant", modalities="rgb", threshold=None, stand_in=LOSS)
    other = write_tiny_bundle(tmp_path / "other.rasant", modalities="rgb", category="bracket", stand_in=LOSS)
    both, rgb, depth = bundles["rgbd"], bundles["rgb"], bundles["depth"]
    for main, one, error, words in (
        (rgb, depth, rasant.ConfigError, "colour.rasant sees colour alone"),
        (depth, rgb, rasant.ConfigError, "depth.rasant sees depth alone"),
        (both, both, rasant.ConfigError, "both.rasant sees colour and depth; train one with --modalities rgb or depth"),
        (both, other, rasant.ConfigError, "other.rasant is for 'bracket' and both.rasant for 'plate'"),
        (both, raw, rasant.ThresholdError, "raw.rasant has no threshold.* rasant calibrate threshold raw.rasant"),
        (both, plain, rasant.ConfigError, "rasant calibrate stand-in plain.rasant both.rasant LABELLED_PARTS"),
        (both, tmp_path / "nowhere.rasant", rasant.BundleError, "nowhere.rasant"),
    ):
        with pytest.raises(error, match=words):
            rasant.load(main, stand_in=one)
    with pytest.raises(rasant.ThresholdError, match="has no threshold"):
        rasant.load(both, stand_in=raw, threshold=0.5)


def test_closing_closes_both(bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the main bundle's engine cannot be opened after the stand-in's was."""
    engines = [StubEngine(), StubEngine()]
    inspector = pair(*engines)
    inspector.close()
    inspector.close()
    assert [engine.closed for engine in engines] == [1, 1]
    spare = StubEngine()

    def opens(name: str, model: bytes, **options: Any) -> StubEngine:
        if model != rasant.read_bundle(bundles["rgb"]).graph():
            raise rasant.EngineUnavailable("no more of them")
        return spare

    monkeypatch.setattr("rasant.opening.open_engine", opens)
    with pytest.raises(rasant.EngineUnavailable):
        load(bundles, prove=False)
    assert spare.closed == 1
