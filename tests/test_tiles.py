# SPDX-License-Identifier: Apache-2.0
"""Tiles: a network over a larger image gives the map of one pass over the whole, and the same verdicts, everywhere."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rasant
from rasant.bundle.manifest import Tiles
from rasant.engines import Engine, open_engine
from rasant.errors import ConfigError, EngineError, EngineTimeout, ManifestError, ShapeError
from rasant.preprocess import Preprocessor, PreprocessParams
from rasant.resolution import map_resolution, median_distance
from rasant.tiled_engine import TiledEngine
from rasant.tiles import MAX_TILES, TileParams, lay_tiles
from rasant.types import Reason, Verdict
from stub_engine import StubEngine, stub_inspector
from tiny_bundle import plate_camera, plate_frame, tiny_manifest, tiny_model, write_tiny_bundle

FIELD = 32  # twice the radius of the tiny filter: windows of 31 and 3 reach 15 + 1 pixels
ROUNDING = 2e-4  # of logits up to 50: sums in another order


def echo(engine: StubEngine) -> None:
    """A network that looks at one pixel: the defect's logit is the depth, the good one's the red channel."""
    np.copyto(engine.outputs["logits"][:, 1], engine.inputs["depth"][:, 0])
    np.copyto(engine.outputs["logits"][:, 0], engine.inputs["color"][:, 0])


def tiled_stub(
    size: tuple[int, int], tile: tuple[int, int], overlap: int, batch: int = 1,
    answer: Callable[[StubEngine], None] = echo,
) -> tuple[TiledEngine, StubEngine]:
    """A tiled engine over a stub, and the stub."""
    stub = StubEngine(tile, batch=batch, answer=answer)
    return TiledEngine(stub, size, TileParams(tile, overlap)), stub


def fill(engine: Engine, size: tuple[int, int], defect: str | None = "dent") -> None:
    """Prepare a frame of a plate of (rows, cols) for an engine over the whole of it."""
    params = PreprocessParams(size=size, background="none", depth_rule="metric", fill_passes=0)
    frame = plate_frame(defect, size=size, center=(size[0] // 2, size[1] // 2))
    Preprocessor(params)(frame, engine.inputs["color"], engine.inputs["depth"])


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)), tile=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    data=st.data(),
)
def test_each_pixel_is_decided_once_far_from_the_edges(
    size: tuple[int, int], tile: tuple[int, int], data: st.DataObject
) -> None:
    """Tiles start inside the image and decide each pixel once, overlap // 2 away from edges that only they have."""
    overlap = data.draw(st.integers(0, min(tile) - 1))
    tiles = TileParams(tile, overlap)
    counts = [max(1, -(-(length - overlap) // (side - overlap))) for length, side in zip(size, tile, strict=True)]
    if counts[0] * counts[1] > MAX_TILES:
        with pytest.raises(ConfigError, match=f"takes {counts[0] * counts[1]} tiles .* at most {MAX_TILES}"):
            lay_tiles(size, tiles)
        return
    windows = lay_tiles(size, tiles)
    assert len(windows) == counts[0] * counts[1]
    decided = np.zeros(size, np.int32)
    for y, x, top, bottom, left, right in windows:
        decided[top:bottom, left:right] += 1
        for first, start, stop, side, length in (
            (y, top, bottom, tile[0], size[0]), (x, left, right, tile[1], size[1]),
        ):
            assert first >= 0 and (first == 0 or first + side <= length) and first <= start < stop <= first + side
            assert start == 0 or start - first >= overlap // 2
            assert stop == length or first + side - stop >= overlap // 2
    assert (decided == 1).all()


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)), tile=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    overlap=st.integers(0, 4), batch=st.integers(1, 5), data=st.randoms(use_true_random=False),
)
def test_what_is_cut_out_comes_back_to_its_place(
    size: tuple[int, int], tile: tuple[int, int], overlap: int, batch: int, data: object
) -> None:
    """For any image, tile, overlap and batch size, through `infer` and through `submit` and `wait`."""
    tiled, stub = tiled_stub(size, tile, overlap, batch)
    random = np.random.default_rng(data.getrandbits(32))
    for run in (tiled.infer, lambda: (tiled.submit(), tiled.wait())):
        for image in tiled.inputs.values():
            image[...] = random.random(image.shape, np.float32)
        before, stub.runs = [image.copy() for image in tiled.inputs.values()], 0
        run()
        assert np.array_equal(tiled.outputs["logits"][0], [tiled.inputs["color"][0, 0], tiled.inputs["depth"][0, 0]])
        assert all(map(np.array_equal, before, tiled.inputs.values()))
        assert stub.runs == -(-len(lay_tiles(size, TileParams(tile, overlap))) // batch)


def test_an_image_smaller_than_a_tile_is_continued_by_its_edge() -> None:
    """The tile shows the image, then its last column and row again and again; the map is that of the image alone."""
    tiled, stub = tiled_stub((5, 7), (8, 16), 4)
    tiled.inputs["depth"][...] = np.arange(35, dtype=np.float32).reshape(5, 7)
    tiled.infer()
    expected = np.pad(np.arange(35, dtype=np.float32).reshape(5, 7), ((0, 3), (0, 9)), mode="edge")
    assert np.array_equal(stub.inputs["depth"][0, 0], expected)
    assert tiled.outputs["logits"].shape == (1, 2, 5, 7)


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "batch", "engine", "slots"),
    [
        ((96, 128), (64, 64), FIELD, 1, "onnxruntime", 1),
        ((97, 203), (64, 64), FIELD, 4, "onnxruntime", 1),
        ((150, 131), (80, 72), FIELD + 1, 3, "onnxruntime", 2),
        ((64, 161), (64, 96), FIELD, 2, "openvino", 2),
        ((131, 67), (96, 66), 40, 1, "openvino", 1),
    ],
)  # fmt: skip
def test_a_network_with_a_field_within_the_overlap_leaves_no_seam(
    size: tuple[int, int], tile: tuple[int, int], overlap: int, batch: int, engine: str, slots: int
) -> None:
    """Every output equals that of one pass over the whole image, at odd sizes and shifted tiles, in real runtimes."""
    pytest.importorskip(engine)
    model = tiny_model(tile, batch=batch)
    with (
        open_engine(engine, tiny_model(size), threads=1) as whole,
        TiledEngine(open_engine(engine, model, threads=1, slots=slots), size, TileParams(tile, overlap)) as tiled,
    ):
        for defect in ("dent", "stain"):
            fill(whole, size, defect)
            fill(tiled, size, defect)
            whole.infer()
            tiled.infer()
            for name, expected in whole.outputs.items():
                assert np.allclose(tiled.outputs[name], expected, rtol=0, atol=ROUNDING), name


def test_an_overlap_below_the_field_shows_at_the_seams_only() -> None:
    """The control: with half the overlap the map differs, and only nearer to a cut than the filter's radius."""
    size, tile, overlap = (96, 160), TileParams((64, 64), FIELD // 2), FIELD // 2
    with open_engine("onnxruntime", tiny_model(size), threads=1) as whole:
        fill(whole, size)
        whole.infer()
        expected = whole.outputs["logits"].copy()
    with TiledEngine(open_engine("onnxruntime", tiny_model(tile.size), threads=1), size, tile) as tiled:
        fill(tiled, size)
        tiled.infer()
        differs = np.abs(tiled.outputs["logits"] - expected).max(axis=(0, 1)) > ROUNDING
    rows = {w.top for w in lay_tiles(size, tile)} - {0}
    cols = {w.left for w in lay_tiles(size, tile)} - {0}
    near_row = np.min([np.abs(np.arange(size[0]) + 0.5 - cut) for cut in rows], axis=0) < (FIELD - overlap) / 2
    near_col = np.min([np.abs(np.arange(size[1]) + 0.5 - cut) for cut in cols], axis=0) < (FIELD - overlap) / 2
    assert differs.any() and not (differs & ~(near_row[:, None] | near_col)).any()


def tiled_bundle(path: Path, *, size: tuple[int, int] = (96, 128), batch: int = 2, **options: object) -> Path:
    """A bundle whose filter of 64 x 64 is run over an image of `size`."""
    preprocess = {"size": size, **options.pop("preprocess", {})}
    defaults = {"tiles": Tiles(size=(64, 64), overlap=FIELD), "camera": plate_camera(), "preprocess": preprocess}
    return write_tiny_bundle(path, batch=batch, **{**defaults, **options})


@pytest.mark.parametrize("roi", [None, (20, 10, 100, 80), (0, 0, 50, 40)])
def test_a_tiled_bundle_decides_as_a_whole_one(tmp_path: Path, roi: tuple[int, int, int, int] | None) -> None:
    """Verdict, score, maps, boxes and centres are those of a bundle whose network takes the whole region."""
    size = (96, 128) if roi is None else (roi[3], roi[2])
    whole = write_tiny_bundle(tmp_path / "w.rasant", size=size, preprocess={"roi": roi}, camera=plate_camera())
    tiled = tiled_bundle(tmp_path / "t.rasant", size=size, preprocess={"roi": roi})
    small = roi is not None and roi[3] < 64  # the filter sees the continued edge
    with rasant.load(whole, threads=1) as a, rasant.load(tiled, "onnxruntime", threads=1) as b:
        for index, defect in enumerate((None, "dent", "stain", "bump")):
            frame = plate_frame(defect, index=index, center=(30, 36), radius=6)
            one, other = a(frame), b(frame)
            assert other.verdict is one.verdict is (Verdict.REJECT if defect else Verdict.PASS)
            assert other.anomaly_map.shape == one.anomaly_map.shape == size
            assert np.array_equal(one.frame_from_map, other.frame_from_map)
            if not small:
                assert np.abs(other.anomaly_map - one.anomaly_map).max() < 1e-4
                assert other.score == pytest.approx(one.score, abs=1e-4)
                assert [(r.x, r.y, r.width, r.height) for r in one.regions] == [
                    (r.x, r.y, r.width, r.height) for r in other.regions
                ]
            for region in other.regions:
                assert region.x <= 36 < region.x + region.width and region.y <= 30 < region.y + region.height


def test_tiles_find_what_a_resize_hides(tmp_path: Path) -> None:
    """Dents 5 to 9 frame pixels wide are found at frame resolution, and not where a map pixel is 4 frame pixels."""
    size = (384, 512)
    camera, tiles = plate_camera(size), Tiles(size=(128, 128), overlap=FIELD)
    small = write_tiny_bundle(tmp_path / "s.rasant", size=(96, 128), kernel=3, camera=camera)
    tiled = write_tiny_bundle(
        tmp_path / "t.rasant", size=(128, 128), kernel=3, camera=camera, preprocess={"size": size}, tiles=tiles
    )
    with rasant.load(small, "onnxruntime", threads=1) as a, rasant.load(tiled, "onnxruntime", threads=1) as b:
        for index, radius in enumerate((2, 3, 4)):
            frame = plate_frame("dent", size=size, center=(190 + index, 250), radius=radius, index=index)
            assert (a(frame).verdict, b(frame).verdict) == (Verdict.PASS, Verdict.REJECT)
        assert a.resolution(frame).smallest_defect_mm == 4 * b.resolution(frame).smallest_defect_mm


def test_masks_are_of_the_merged_map(tmp_path: Path) -> None:
    """The bundle's ignore mask and the foreground have the size of the prepared image, not of a tile."""
    mask = np.zeros((96, 128), np.uint8)
    mask[:, 64:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    with rasant.load(tiled_bundle(tmp_path / "m.rasant"), ignore_mask=tmp_path / "mask.png") as inspector:
        assert inspector(plate_frame("dent", center=(48, 100))).verdict is Verdict.PASS
        assert inspector(plate_frame("dent", center=(48, 30), index=1)).verdict is Verdict.REJECT
    engine = StubEngine((64, 64))
    engine.set_probability(0.9, (slice(0, 8), slice(0, 8)))  # of every tile
    params = PreprocessParams(
        size=(96, 128), depth_rule="metric", inlier_m=0.001, foreground_m=0.005, fill_passes=0
    )
    tiles = TileParams((64, 64), 16)
    frame = plate_frame()
    depth = frame.depth.copy()
    depth[4:20, 100:120] = 4800  # away from what every tile lights up in its corner: at columns 0 to 7, 48 to 55, 72 on
    inspector = stub_inspector(engine, preprocess=params, tiles=tiles, mask_to_foreground=True)
    assert inspector(replace(frame, depth=depth)).verdict is Verdict.PASS
    depth[0:20, 0:20] = 4800
    assert inspector(replace(frame, depth=depth, index=1)).regions[0].x == 0


def test_another_region_keeps_the_scale(tmp_path: Path) -> None:
    """A station's region changes the size of the image that tiles are cut from: a map pixel stands for the same."""
    path = tiled_bundle(tmp_path / "t.rasant", size=(48, 64))  # half the camera's resolution
    with rasant.load(path, roi=(8, 4, 110, 90)) as inspector:
        answer = inspector(plate_frame("dent", center=(48, 90)))
    assert answer.anomaly_map.shape == (45, 55) and answer.verdict is Verdict.REJECT
    assert np.allclose(answer.frame_from_map[:, :2], [[2, 0], [0, 2]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_value_anywhere_in_any_tile_is_unknown(value: float) -> None:
    """Also where the tile does not decide, and in a row that only continues the image's edge."""
    places = [(run, y, x) for run in range(6) for y, x in ((0, 0), (31, 31), (63, 63), (0, 63), (20, 40))]
    engine = StubEngine((64, 64))
    params = PreprocessParams(size=(60, 203), background="none", depth_rule="metric", fill_passes=0)
    inspector = stub_inspector(engine, preprocess=params, tiles=TileParams((64, 64), 32))
    assert inspector(plate_frame()).verdict is Verdict.PASS and engine.runs == 6
    for index, (run, y, x) in enumerate(places, 1):
        engine.runs = 0

        def poison(stub: StubEngine, run: int = run, y: int = y, x: int = x) -> None:
            stub.set_probability(0.1)
            if stub.runs == run + 1:
                stub.logits[0, y, x] = value

        engine.answer = poison
        answer = inspector(plate_frame(index=index))
        assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.NONFINITE), (run, y, x)


def test_nothing_of_image_size_is_allocated_for_a_frame() -> None:
    """Cutting and merging use the buffers that were made once."""
    tiled, _ = tiled_stub((300, 400), (128, 128), 32, 2)
    tiled.infer()
    tracemalloc.start()
    try:
        tiled.infer()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000, f"{peak} bytes for an image of {300 * 400} pixels"


def test_a_late_image_is_given_up() -> None:
    """After the time limit no further tile is run; the slot is free when the last one ends, and its maps are NaN."""
    tiled, stub = tiled_stub((64, 400), (64, 64), 0, answer=lambda _: time.sleep(0.05))
    tiled.submit()
    with pytest.raises(EngineTimeout):
        tiled.wait(0, 0.075)
    with pytest.raises(EngineError, match="busy"):
        tiled.submit()
    tiled.wait()
    assert stub.runs == 2 < len(lay_tiles((64, 400), TileParams((64, 64), 0)))
    assert np.isnan(tiled.outputs["logits"]).all()
    stub.answer = echo
    tiled.submit()
    tiled.wait(0, 10.0)
    assert np.isfinite(tiled.outputs["logits"]).all()


def test_a_failing_tile_fails_the_image() -> None:
    """The error comes from `wait`, nothing more is run, and the next image is."""
    def fail(stub: StubEngine) -> None:
        if stub.runs == 2:
            raise EngineError("no")

    tiled, stub = tiled_stub((64, 400), (64, 64), 0, answer=fail)
    tiled.submit()
    with pytest.raises(EngineError, match="no"):
        tiled.wait()
    assert stub.runs == 2
    with pytest.raises(EngineError, match="submit first"):
        tiled.wait()
    tiled.submit()
    tiled.wait()
    stub.runs = 0
    with pytest.raises(EngineError, match="no"):
        tiled.infer()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera": None}, r"tiles: preprocess\.roi or camera"),
        ({"tiles": {"size": (64, 64), "overlap": 64}}, "share less than the shorter"),
        ({"tiles": {"size": (64, 48), "overlap": 8}}, r"graphs\.detector\.inputs"),
        ({"tiles": {"size": (64, 64), "overlap": 63}, "preprocess": {"size": (200, 128)}}, f"at most {MAX_TILES}"),
        ({"tiles": {"size": (64, 64), "overlap": 8, "blend": 1}}, "blend"),
    ],
)
def test_tiles_that_make_no_sense_are_refused_by_the_manifest(change: dict[str, object], message: str) -> None:
    """The error names the key."""
    fields = {
        "tiles": {"size": (64, 64), "overlap": FIELD}, "camera": plate_camera(), "preprocess": {"size": (96, 128)},
        **change,
    }
    with pytest.raises((ValueError, ManifestError), match=message):
        tiny_manifest(tiny_model(batch=2), **fields)


def test_a_graph_of_another_size_is_refused() -> None:
    """An engine whose buffers are not tiles is named with its shapes."""
    with pytest.raises(ShapeError, match=r"\(N, channels, 64, 48\)"):
        TiledEngine(StubEngine((64, 64)), (96, 128), TileParams((64, 48), 8))


def test_the_resolution_is_what_the_camera_sees() -> None:
    """A square of the stated side, projected by the camera, covers two pixels of the map on the coarser axis."""
    frame = plate_frame()
    params = PreprocessParams(size=(48, 32), background="none", depth_rule="metric")
    found = map_resolution(params, frame.intrinsics, 0.5)
    side_px = frame.intrinsics.fx * found.smallest_defect_mm / 1e3 / 0.5  # frame pixels
    assert side_px * 32 / 128 == pytest.approx(2.0)  # columns are the coarser: 4 frame pixels in one
    assert found.pixel_mm == pytest.approx((1e3 * 0.5 * 4 / 153.6, 1e3 * 0.5 * 2 / 153.6))
    inspector = stub_inspector(preprocess=replace(params, roi=(0, 0, 64, 96)))
    halved = inspector.resolution(frame)
    assert halved.distance_m == pytest.approx(0.5, abs=1e-3) and halved.pixel_mm[0] == pytest.approx(6.51, abs=0.02)
    assert inspector.resolution(replace(frame, depth=None)) is None
    assert inspector.resolution(replace(frame, depth=np.zeros_like(frame.depth))) is None
    assert np.isnan(median_distance(np.zeros((3, 3), np.float32)))
    with pytest.raises(ConfigError, match="positive"):
        map_resolution(params, frame.intrinsics, 0.0)
