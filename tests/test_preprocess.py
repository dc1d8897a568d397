# SPDX-License-Identifier: Apache-2.0
"""Preprocessing: crops, units, buffers and geometry of the one class that training and inspection share."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.errors import ConfigError, FrameRefused
from rasant.preprocess import MODALITIES, Prepared, Preprocessor, PreprocessParams, frame_from_map
from rasant.types import Frame, Intrinsics, Reason
from tiny_bundle import plate_frame

PLAIN = PreprocessParams(size=(32, 40), background="none", depth_rule="metric", fill_passes=0)


def copied(prepared: Prepared) -> tuple[np.ndarray, ...]:
    """All arrays of a result, out of the reused buffers."""
    arrays = (prepared.color_input, prepared.depth_input, prepared.foreground, prepared.valid, prepared.depth_m)
    return tuple(array.copy() for array in arrays if array is not None)


def crop(frame: Frame, roi: tuple[int, int, int, int]) -> Frame:
    """A frame as a smaller camera would have seen it."""
    x, y, width, height = roi
    k = frame.intrinsics
    return replace(
        frame, color=frame.color[y : y + height, x : x + width].copy(),
        depth=frame.depth[y : y + height, x : x + width].copy(),
        intrinsics=Intrinsics(width, height, k.fx, k.fy, k.cx - x, k.cy - y),
    )


@given(
    x=st.integers(0, 40), y=st.integers(0, 30), width=st.integers(40, 80), height=st.integers(40, 60),
    background=st.sampled_from(["none", "plane_ransac", "plane_corners", "bilinear_corners"]),
)
@settings(max_examples=25, deadline=None)
def test_region_of_interest_equals_a_cropped_camera(x: int, y: int, width: int, height: int, background: str) -> None:
    """Preprocessing a region gives bit for bit what a camera that sees only this region would give."""
    frame = plate_frame("dent", center=(y + height // 2, x + width // 2), radius=8)
    whole = replace(PLAIN, background=background, foreground_m=0.0015, inlier_m=0.001)
    roi = (x, y, width, height)
    inside = copied(Preprocessor(replace(whole, roi=roi))(frame))
    alone = copied(Preprocessor(whole)(crop(frame, roi)))
    assert all(np.array_equal(a, b) for a, b in zip(inside, alone, strict=True))


def test_counts_and_metres_agree() -> None:
    """uint16 counts with a scale and float32 metres of the same scene give the same tensors, but for rounding."""
    counts, metres = plate_frame("dent"), plate_frame("dent", metres=True)
    a, b = copied(Preprocessor(PLAIN)(counts)), copied(Preprocessor(PLAIN)(metres))
    assert np.abs(a[1] - b[1]).max() <= 0.6e-4
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[3], b[3])


@pytest.mark.parametrize("view", ["flipped channels", "every second column", "read-only"])
def test_any_memory_layout_of_a_frame_is_accepted(view: str) -> None:
    """Strided and read-only images give the same as their contiguous copies, and are not written to."""
    frame = plate_frame("stain", size=(96, 128))
    color, depth = frame.color, frame.depth
    if view == "flipped channels":
        color = color[..., ::-1]
    elif view == "every second column":
        color, depth = color[:, ::2], depth[:, ::2]
        frame = replace(frame, intrinsics=replace(frame.intrinsics, width=64))
    else:
        color.flags.writeable = depth.flags.writeable = False
    strided = copied(Preprocessor(PLAIN)(replace(frame, color=color, depth=depth)))
    plain = copied(Preprocessor(PLAIN)(replace(frame, color=color.copy(), depth=depth.copy())))
    assert all(np.array_equal(a, b) for a, b in zip(strided, plain, strict=True))


def test_channel_order_is_the_bundles() -> None:
    """The network's first plane is red for "rgb" and blue for "bgr"."""
    frame = plate_frame()
    rgb, bgr = (copied(Preprocessor(replace(PLAIN, channel_order=order))(frame))[0] for order in ("rgb", "bgr"))
    assert np.array_equal(rgb[:, ::-1], bgr)
    assert rgb[0, 0].mean() < rgb[0, 2].mean()  # the plate is bluish


def test_the_callers_buffers_are_written() -> None:
    """Inputs go straight into the engine's buffers where they are given."""
    color, depth = np.full((1, 3, 32, 40), -1, np.float32), np.full((1, 1, 32, 40), -1, np.float32)
    prepared = Preprocessor(PLAIN)(plate_frame(), color, depth)
    assert prepared.color_input is color and prepared.depth_input is depth
    assert color.min() >= 0.0 and depth.min() >= 0.0


def test_nothing_of_image_size_is_allocated_after_the_first_frame() -> None:
    """The hot path reuses its buffers: the second frame of a size allocates less than one of its rows of metres."""
    preprocess = Preprocessor(replace(PLAIN, background="plane_ransac", fill_passes=2, foreground_m=0.0015))
    frames = [plate_frame("dent", size=(240, 320), index=i) for i in range(3)]
    addresses = {preprocess(frames[0]).depth_m.ctypes.data}
    tracemalloc.start()
    try:
        addresses.add(preprocess(frames[1]).depth_m.ctypes.data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(addresses) == 1
    assert peak < 64_000, f"{peak} bytes for a frame of {240 * 320} pixels"


def test_a_new_frame_size_gets_new_buffers() -> None:
    """Two sizes in turn give what each gives alone."""
    preprocess = Preprocessor(PLAIN)
    for size in [(96, 128), (48, 64), (96, 128)]:
        frame = plate_frame("dent", size=size)
        assert all(map(np.array_equal, copied(preprocess(frame)), copied(Preprocessor(PLAIN)(frame))))


@given(
    rows=st.integers(1, 900), cols=st.integers(1, 900), h=st.integers(1, 300), w=st.integers(1, 300),
    x=st.integers(0, 50), y=st.integers(0, 50),
)
def test_frame_from_map_takes_pixel_edges_to_pixel_edges(rows: int, cols: int, h: int, w: int, x: int, y: int) -> None:
    """The outer edges of the map land on the outer edges of the region, for any two sizes."""
    matrix = frame_from_map((h, w), (1000, 1000), (x, y, cols, rows))
    corners = matrix @ np.array([[-0.5, w - 0.5], [-0.5, h - 0.5], [1.0, 1.0]])
    assert np.allclose(corners, [[x - 0.5, x + cols - 0.5], [y - 0.5, y + rows - 0.5]], atol=1e-9)


def test_valid_counts_measured_pixels_before_filling() -> None:
    """`valid_ratio` is exact, NaN and 0 count as invalid, and filling does not improve it."""
    frame = plate_frame(metres=True)
    depth = np.full(frame.size, 0.5, np.float32)
    depth[10, :7] = 0.0
    depth[11, :5] = np.nan
    prepared = Preprocessor(replace(PLAIN, fill_passes=3))(replace(frame, depth=depth))
    assert prepared.valid_ratio == 1.0 - 12 / depth.size
    assert np.count_nonzero(prepared.depth_m) == depth.size - 12


def test_height_is_positive_towards_the_camera() -> None:
    """A bump raises the height input above the plane's level, a dent lowers it."""
    params = replace(
        PLAIN, size=(96, 128), background="plane_ransac", inlier_m=0.001, foreground_m=0.0015, fill_passes=2,
        depth_rule="height_range", depth_low=-0.01, depth_high=0.01,
    )
    for defect, sign in (("bump", 1.0), ("dent", -1.0)):
        prepared = Preprocessor(params)(plate_frame(defect))
        depth = prepared.depth_input[0, 0]
        assert sign * (depth[48, 64] - 0.5) == pytest.approx(0.003 / 0.02 * 0.8, abs=0.02)
        assert (depth[5:20, 5:20] == 0.0).all()  # the background is missing to the network
        assert prepared.foreground[48, 64] and not prepared.foreground[5:20, 5:20].any()


@pytest.mark.parametrize("modalities", sorted(MODALITIES))
def test_only_the_inputs_of_the_modalities_exist(modalities: str) -> None:
    """Without depth nothing is asked of it; the masks are then all True."""
    params = replace(PLAIN, modalities=modalities)
    prepared = Preprocessor(params)(replace(plate_frame(), **({"depth": None} if modalities == "rgb" else {})))
    assert (prepared.color_input is not None, prepared.depth_input is not None) == (
        params.uses_color, params.uses_depth,
    )
    if modalities == "rgb":
        assert prepared.foreground.all() and prepared.valid.all() and np.isnan(prepared.valid_ratio)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"color": None}, Reason.COLOR_MISSING),
        ({"depth": None}, Reason.DEPTH_MISSING),
        ({"depth": np.zeros((96, 128), np.uint16)}, Reason.DEPTH_EMPTY),
        ({"depth": np.full((96, 128), np.nan, np.float32), "depth_scale": 1.0}, Reason.DEPTH_EMPTY),
        ({"depth": np.full((96, 128), 0.5, np.float32), "depth_scale": 1e-3}, Reason.UNITS),
        ({"depth": np.zeros((95, 128), np.uint16)}, Reason.FORMAT),
        ({"depth": np.zeros((96, 128, 1), np.uint16)}, Reason.FORMAT),
        ({"depth": np.zeros((96, 128), np.float64)}, Reason.FORMAT),
        ({"color": np.zeros((96, 128, 4), np.uint8)}, Reason.FORMAT),
        ({"color": np.zeros((96, 128, 3), np.float32)}, Reason.FORMAT),
        ({"depth_scale": 0.0}, Reason.UNITS),
        ({"depth_scale": float("nan")}, Reason.UNITS),
    ],
)
def test_a_frame_that_cannot_feed_the_network_is_refused(change: dict[str, object], reason: Reason) -> None:
    """The refusal carries the reason that the verdict will have."""
    with pytest.raises(FrameRefused) as refusal:
        Preprocessor(PLAIN)(replace(plate_frame(), **change))
    assert refusal.value.reason == reason.value


def test_a_region_outside_the_frame_is_refused() -> None:
    """The error names both sizes and what to do."""
    with pytest.raises(FrameRefused, match=r"must lie inside the frame, got 128x96"):
        Preprocessor(replace(PLAIN, roi=(100, 0, 64, 32)))(plate_frame())


def test_an_empty_station_is_refused() -> None:
    """With a background but nothing in front of it there is no part to judge."""
    flat = replace(plate_frame(), depth=np.full((96, 128), 5000, np.uint16))
    with pytest.raises(FrameRefused, match="is a part in place"):
        Preprocessor(replace(PLAIN, background="plane_ransac"))(flat)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 4)}, {"modalities": "xyz"}, {"channel_order": "gbr"}, {"background": "blue"},
        {"depth_rule": "magic"}, {"interpolation": "cubic"}, {"roi": (-1, 0, 3, 3)}, {"roi": (0, 0, 0, 3)},
        {"inlier_m": 0.0}, {"foreground_m": float("nan")}, {"fill_passes": -1}, {"color_mean": (0.5, 0.5, 0.5)},
        {"depth_low": 1.0, "depth_high": 1.0}, {"depth_high": float("inf")},
        {"background": "none", "depth_rule": "height_range"}, {"depth_rule": "percentile"},
    ],
)  # fmt: skip
def test_parameters_without_sense_are_refused(wrong: dict[str, object]) -> None:
    """The error names the field."""
    with pytest.raises(ConfigError, match=r"preprocess\."):
        PreprocessParams(**wrong)
