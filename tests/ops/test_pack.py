# SPDX-License-Identifier: Apache-2.0
"""The pack operation: bit-equal to its twin, the same picture as OpenCV's resize, and blind to invalid depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.pack import pack
from reference import pack as twin

sizes = st.integers(1, 60)
methods = st.sampled_from(["area", "bilinear", "nearest"])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CV2 = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}


def _frame(height: int, width: int, seed: int, holes: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(-1, 1, (height, width)).astype(np.float32)
    gone = rng.random(depth.shape) < holes
    depth[gone] = rng.choice(np.array([0, np.nan, np.inf, -np.inf], np.float32), int(gone.sum()))
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8), depth


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, sizes, sizes, methods, st.sampled_from(["rgb", "bgr"]), st.integers(1, 5), st.booleans())
def test_equals_the_twin_bit_for_bit(
    height: int, width: int, rows: int, columns: int, method: str, order: str, threads: int, normalised: bool
) -> None:
    """Any size in and out, interpolation, channel order, normalisation and number of threads, colour and depth."""
    color, depth = _frame(height, width, height * 97 + width, 0.3)
    mean, std = (MEAN, STD) if normalised else (None, None)
    packed, packed_depth = pack(
        color, depth, size=(rows, columns), channel_order=order, mean=mean, std=std, interpolation=method,
        threads=threads,
    )
    gain = np.full(3, 1 / 255) / (STD if normalised else 1.0)
    offset = -np.array(MEAN) / STD if normalised else np.zeros(3)
    assert packed is not None and packed_depth is not None
    expected = twin.pack_color(color, (rows, columns), method, gain, offset, order)
    assert packed.shape == (1, 3, rows, columns) and packed.tobytes() == expected.tobytes()
    assert packed_depth.shape == (1, 1, rows, columns)
    assert np.array_equal(packed_depth, twin.pack_depth(depth, (rows, columns), method))


@pytest.mark.parametrize(
    ("method", "size"),
    [("area", size) for size in ((128, 160), (100, 77), (240, 320), (239, 1))]
    + [("bilinear", size) for size in ((128, 160), (100, 77), (240, 320), (400, 500), (300, 200))]
    + [("nearest", size) for size in ((128, 160), (256, 256), (240, 320), (80, 64))],
)
def test_is_the_picture_of_opencv(method: str, size: tuple[int, int]) -> None:
    """Within a few float roundings of cv2.resize in float32, where OpenCV follows the same rule."""
    color, depth = _frame(240, 320, 1)
    packed, packed_depth = pack(color, depth, size=size, interpolation=method)
    expected = cv2.resize(color.astype(np.float32), size[::-1], interpolation=CV2[method]) / 255
    assert packed is not None and np.abs(packed[0].transpose(1, 2, 0) - expected).max() < 2e-5
    expected_depth = cv2.resize(depth, size[::-1], interpolation=CV2[method])
    assert packed_depth is not None and np.abs(packed_depth[0, 0] - expected_depth).max() < 4e-5


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("method", CV2)
@pytest.mark.parametrize(
    ("source", "size"),
    [((1, 1), (1, 1)), ((1, 1), (5, 37)), ((37, 53), (1, 1)), ((33, 65), (33, 65)), ((48, 64), (25, 26)),
     ((41, 90), (41, 17)), ((23, 30), (50, 71))],
)  # fmt: skip
def test_emulator_equals_cpu(source: tuple[int, int], size: tuple[int, int], method: str, seed: int) -> None:
    """The kernels give the bits of the CPU: growing, shrinking, equal and one-pixel axes, holes in depth."""
    color, depth = _frame(*source, seed, 0.4)
    how = {"size": size, "channel_order": "bgr", "mean": MEAN, "std": STD, "interpolation": method}
    with order(seed):
        packed, packed_depth = pack(put(color), put(depth), device="emu", **how)
    expected, expected_depth = pack(color, depth, **how)
    assert expected is not None and get(packed).tobytes() == expected.tobytes()
    assert expected_depth is not None and get(packed_depth).tobytes() == expected_depth.tobytes()


def test_a_constant_stays_constant() -> None:
    """Weights sum to 1: a constant picture and depth keep their value under every interpolation and size."""
    color, depth = np.full((37, 53, 3), 200, np.uint8), np.full((37, 53), 0.45, np.float32)
    for method in CV2:
        for size in [(37, 53), (16, 16), (64, 100), (1, 1), (36, 52)]:
            packed, packed_depth = pack(color, depth, size=size, interpolation=method)
            assert packed is not None and packed == pytest.approx(200 / 255, abs=1e-6)
            assert packed_depth is not None and packed_depth == pytest.approx(0.45, abs=1e-6)


def test_holes_do_not_bend_the_surface() -> None:
    """A plane with holes packs to the plane's height or to 0, never to something between."""
    _, depth = _frame(200, 200, 2, 0.3)
    plane = np.where(np.isfinite(depth) & (depth != 0), np.float32(0.5), depth)
    for method in CV2:
        _, packed = pack(None, plane, size=(64, 64), interpolation=method)
        assert packed is not None
        assert ((np.abs(packed - 0.5) < 1e-6) | (packed == 0)).all() and (packed > 0).any()
    _, empty = pack(None, np.full((9, 9), np.nan, np.float32), size=(4, 4))
    assert empty is not None and not empty.any()


def test_writes_into_the_engines_buffers() -> None:
    """Given buffers are returned and filled; what is not given is not made."""
    color, depth = _frame(20, 30, 3)
    out_color, out_depth = np.empty((1, 3, 8, 8), np.float32), np.empty((1, 1, 8, 8), np.float32)
    result = pack(color, depth, size=(8, 8), out_color=out_color, out_depth=out_depth)
    assert result[0] is out_color and result[1] is out_depth
    assert pack(None, None, size=(8, 8)) == (None, None)


def test_wrong_arguments_are_refused() -> None:
    """Wrong names, arrays, buffers and devices: a typed error each, nothing converted."""
    color, depth = _frame(10, 12, 4)
    wrong = ({"channel_order": "rgba"}, {"interpolation": "cubic"}, {"std": (1.0, 0.0, 1.0)}, {"mean": (0.1, 0.2)})
    for kwargs in wrong:
        with pytest.raises(ConfigError):
            pack(color, depth, size=(4, 4), **kwargs)
    with pytest.raises(DtypeError, match="color must be uint8"):
        pack(color.astype(np.float32), None, size=(4, 4))
    with pytest.raises(ShapeError, match=r"\(H, W, 3\)"):
        pack(np.zeros((4, 4, 4), np.uint8), None, size=(4, 4))
    with pytest.raises(ShapeError, match="C-contiguous"):
        pack(color[:, ::2], None, size=(4, 4))
    with pytest.raises(DtypeError, match="depth must be float32"):
        pack(None, np.zeros((4, 4), np.uint16), size=(4, 4))
    with pytest.raises(ShapeError, match="out_color must have shape"):
        pack(color, None, size=(4, 4), out_color=np.empty((1, 3, 4, 5), np.float32))
    with pytest.raises(DeviceUnavailable):
        pack(color, None, size=(4, 4), device="tpu")
    with pytest.raises(ConfigError, match="to_device"):
        pack(color, None, size=(4, 4), device="emu")
