# SPDX-License-Identifier: Apache-2.0
"""The inspector: from frames to inspections, on real bundles and on stub engines."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import rasant
from rasant.bundle.manifest import Attribution, Level, Postprocess
from rasant.types import Reason, Region, Verdict
from stub_engine import EASY, PLAIN, StubEngine, stub_inspector, wait_ms
from tiny_bundle import plate_camera, plate_frame, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle for `plate_frame`."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.rasant", camera=plate_camera())


def test_good_parts_pass_and_defects_are_rejected_where_they_are(bundle: Path) -> None:
    """Dents, bumps and stains are rejected with a region over them, in pixels and in metres; clean plates pass."""
    with rasant.load(bundle, threads=1) as inspector:
        for index, defect in enumerate([None, "dent", "stain", "bump", None]):
            frame = plate_frame(defect, index=index, center=(30, 80))
            answer = inspector(frame)
            assert answer.verdict is (Verdict.REJECT if defect else Verdict.PASS)
            assert answer.reason is (Reason.DEFECT if defect else Reason.OK)
            assert bool(answer.regions) == (answer.score >= answer.threshold)
            for region in answer.regions:
                assert region.x <= 80 < region.x + region.width and region.y <= 30 < region.y + region.height
                x, y, z = region.center_m
                k = frame.intrinsics
                assert (k.fx * x / z + k.cx, k.fy * y / z + k.cy) == pytest.approx((80, 30), abs=2)
                assert z == pytest.approx(0.5, abs=0.004)
                assert region.peak == pytest.approx(answer.score, abs=1e-6)
        assert inspector.status.verdicts == {"PASS": 2, "REJECT": 3}


def test_the_score_is_the_maximum_of_the_pooled_map(bundle: Path) -> None:
    """The maps are at network resolution, raw and finite, and belong to the caller."""
    with rasant.load(bundle) as inspector:
        first = inspector(plate_frame("dent"))
        kept = first.anomaly_map.copy(), first.pooled_map.copy()
        inspector(plate_frame("stain", index=1))
    assert np.array_equal(first.anomaly_map, kept[0]) and np.array_equal(first.pooled_map, kept[1])
    assert first.anomaly_map.shape == first.pooled_map.shape == (64, 64)
    assert first.score == first.pooled_map.max() and np.isfinite(first.anomaly_map).all()


@pytest.mark.parametrize("roi", [(0, 0, 128, 96), (20, 10, 100, 80), (64, 0, 64, 96)])
def test_a_region_of_interest_moves_no_box(tmp_path: Path, roi: tuple[int, int, int, int]) -> None:
    """Boxes and centres are in frame pixels and camera metres, whatever part of the frame is inspected."""
    path = write_tiny_bundle(tmp_path / "roi.rasant", preprocess={"roi": roi}, camera=plate_camera())
    with rasant.load(path) as inspector:
        answer = inspector(plate_frame("dent", center=(40, 90)))
    box = answer.regions[0]
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((90.5, 40.5), abs=2.5)
    x, y, z = box.center_m
    assert (1.2 * 128 * x / z + 63.5, 1.2 * 128 * y / z + 47.5) == pytest.approx((90, 40), abs=2)
    assert answer.frame_from_map @ [-0.5, -0.5, 1] == pytest.approx([roi[0] - 0.5, roi[1] - 0.5])


def test_the_region_says_which_modality_fired(tmp_path: Path) -> None:
    """A stain fires colour, a dent fires depth; without levels of good parts nobody can tell."""
    levels = Attribution(color=Level(mean=0.005, std=0.002), depth=Level(mean=8e-5, std=3e-5))
    path = write_tiny_bundle(tmp_path / "a.rasant", attribution=levels)
    with rasant.load(path) as inspector:
        stain, dent = inspector(plate_frame("stain")), inspector(plate_frame("dent", index=1))
    assert stain.regions[0].modality == "color" and dent.regions[0].modality == "depth"
    assert stain.modality_scores["color"] > 3 > stain.modality_scores["depth"]
    with rasant.load(write_tiny_bundle(tmp_path / "b.rasant")) as inspector:
        assert inspector(plate_frame("dent")).regions[0].modality == "unknown"


@pytest.mark.parametrize("modalities", ["rgb", "depth"])
def test_single_modality_bundles(tmp_path: Path, modalities: str) -> None:
    """A bundle with one input needs only that input, and names it in its regions."""
    path = write_tiny_bundle(tmp_path / "one.rasant", modalities=modalities)
    blind = {"depth": None} if modalities == "rgb" else {"color": None}
    defect = "stain" if modalities == "rgb" else "dent"
    with rasant.load(path) as inspector:
        assert inspector(replace(plate_frame(), **blind)).verdict is Verdict.PASS
        answer = inspector(replace(plate_frame(defect, index=1), **blind))
    assert answer.verdict is Verdict.REJECT
    assert answer.regions[0].modality == ("color" if modalities == "rgb" else "depth")
    assert (answer.regions[0].center_m is None) == (modalities == "rgb")


def test_masks_silence_the_map(tmp_path: Path) -> None:
    """A defect under the ignore mask does not decide; the same defect beside it does."""
    mask = np.zeros((96, 128), np.uint8)
    mask[:, 64:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    path = write_tiny_bundle(tmp_path / "m.rasant", camera=plate_camera())
    with rasant.load(path, ignore_mask=tmp_path / "mask.png") as inspector:
        assert inspector(plate_frame("dent", center=(48, 100))).verdict is Verdict.PASS
        assert inspector(plate_frame("dent", center=(48, 30), index=1)).verdict is Verdict.REJECT


def test_foreground_masking_silences_the_background(tmp_path: Path) -> None:
    """With mask_to_foreground only the part and its widened rim are scored."""
    frame = plate_frame()
    depth = frame.depth.copy()
    depth[30:70, 40:90] = 4800  # a block, 20 mm high
    color = frame.color.copy()
    color[5:12, 5:12] = 20  # a stain on the table
    path = write_tiny_bundle(
        tmp_path / "f.rasant", modalities="rgb", postprocess=Postprocess(kernel=5, mask_to_foreground=False)
    )
    with rasant.load(path) as inspector:
        assert inspector(replace(frame, color=color)).verdict is Verdict.REJECT
    engine = StubEngine()
    engine.set_probability(0.9, (slice(0, 8), slice(0, 8)))
    part = replace(PLAIN, background="plane_ransac", inlier_m=0.001, foreground_m=0.005)
    masked = stub_inspector(engine, preprocess=part, mask_to_foreground=True, foreground_dilate_px=2)
    assert masked(replace(frame, depth=depth)).verdict is Verdict.PASS
    engine.set_probability(0.9, (slice(24, 30), slice(24, 30)))
    assert masked(replace(frame, depth=depth, index=1)).verdict is Verdict.REJECT


def test_a_bundle_without_threshold_scores_but_does_not_decide(tmp_path: Path) -> None:
    """load refuses it and names the command; for evaluation its maps and scores are there, its verdict UNKNOWN."""
    path = write_tiny_bundle(tmp_path / "raw.rasant", threshold=None)
    with pytest.raises(rasant.ThresholdError, match="rasant calibrate threshold"):
        rasant.load(path)
    with rasant.load(path, require_threshold=False) as inspector:
        answer = inspector(plate_frame("dent"))
    assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.THRESHOLD)
    assert answer.score > 0.9 and answer.anomaly_map is not None and np.isnan(answer.threshold)
    assert answer.as_json()["threshold"] is None
    assert rasant.load(path, threshold=0.5)(plate_frame("dent")).verdict is Verdict.REJECT


def test_exceptions_of_the_engine_become_unknown() -> None:
    """Whatever the engine raises, the machine gets UNKNOWN E_ENGINE, and the next frame is inspected."""
    engine = StubEngine(answer=lambda e: 1 / 0 if e.runs % 2 else None)
    inspector = stub_inspector(engine)
    answers = [inspector(plate_frame(index=i)) for i in range(4)]
    assert [a.reason for a in answers] == [Reason.ENGINE, Reason.OK] * 2
    assert "ZeroDivisionError" in answers[0].detail


def test_the_deadline_counts_from_arrival() -> None:
    """A slow engine, or a frame that waited, makes E_DEADLINE; recorded frames count from the call."""
    slow = stub_inspector(StubEngine(answer=wait_ms(30)), limits=replace(EASY, deadline_ms=15.0))
    assert slow(plate_frame()).reason is Reason.DEADLINE
    live = replace(plate_frame(), clock=rasant.Clock.DEVICE, device_time_ns=0, arrival_ns=time.monotonic_ns() - 10**9)
    quick = stub_inspector(limits=replace(EASY, deadline_ms=500.0))
    assert quick(live).reason is Reason.DEADLINE
    assert quick(replace(live, clock=rasant.Clock.NONE, source="file")).verdict is Verdict.PASS


def test_threads_share_an_inspector() -> None:
    """Eight threads on one inspector: every frame gets the verdict that is its own."""
    def infer(engine: StubEngine) -> None:
        engine.set_probability(0.9 if engine.inputs["depth"].max() > 0.5015 else 0.1)

    inspector = stub_inspector(StubEngine(answer=infer))
    wrong: list[object] = []

    def work(thread: int) -> None:
        for i in range(20):
            dent = (i + thread) % 2 == 0
            answer = inspector(replace(plate_frame("dent" if dent else None, index=i), source=str(thread)))
            if answer.verdict is not (Verdict.REJECT if dent else Verdict.PASS) or answer.source != str(thread):
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and inspector.status.frames == 160


def test_every_unknown_is_one_log_record(caplog: pytest.LogCaptureFixture) -> None:
    """One warning for an UNKNOWN, none for PASS and REJECT."""
    inspector = stub_inspector()
    with caplog.at_level(logging.INFO, logger="rasant"):
        inspector(plate_frame())
        inspector(replace(plate_frame(index=1), depth=None))
        inspector.refuse(2, "folder:x", "cut file")
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]
    assert "E_DEPTH_MISSING" in caplog.text and "E_FRAME" in caplog.text


def test_unreadable_frames_are_counted() -> None:
    """`refuse` makes the UNKNOWN of a frame that could not be read."""
    inspector = stub_inspector()
    answer = inspector.refuse(7, "folder:x", "depth/007.png is cut", name="007")
    assert (answer.frame, answer.verdict, answer.reason, answer.name) == (7, Verdict.UNKNOWN, Reason.FRAME, "007")
    assert inspector.status.reasons == {"E_FRAME": 1}
    json.dumps(answer.as_json(), allow_nan=False)


def test_status_tells_fallbacks() -> None:
    """A fallback that the engine took is in the status; without one the list is empty."""
    assert stub_inspector(StubEngine(fallback="asked for CUDA, in use is CPU")).status.fallbacks == (
        "asked for CUDA, in use is CPU",
    )
    assert stub_inspector().status.fallbacks == ()


def test_closing_releases_the_engine_once() -> None:
    """After `close` a call is an error that says so, and closing again is fine."""
    engine = StubEngine()
    inspector = stub_inspector(engine)
    with inspector:
        inspector(plate_frame())
    inspector.close()
    assert engine.closed == 1
    with pytest.raises(rasant.EngineError, match="closed"):
        inspector(plate_frame())


def test_only_frames_are_inspected() -> None:
    """Passing something else is a mistake of the program, and told as such."""
    with pytest.raises(rasant.DtypeError, match=r"takes a rasant\.Frame with .* got NoneType"):
        stub_inspector()(None)


def test_the_json_line_keeps_its_contract(bundle: Path) -> None:
    """The keys that `rasant inspect --json` promises are there, with plain JSON values."""
    with rasant.load(bundle) as inspector:
        line = json.loads(json.dumps(inspector(plate_frame("dent")).as_json(), allow_nan=False))
    promised = "frame source verdict reason score threshold regions timings_ms bundle engine"
    assert set(promised.split()) <= set(line)
    assert set(line["regions"][0]) == set(Region.__dataclass_fields__)
    assert set(line["timings_ms"]) == {"acquire", "preprocess", "infer", "score", "total"}
    assert line["bundle"] == inspector.bundle.sha256 and line["engine"].startswith("onnxruntime ")
