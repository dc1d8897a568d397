# SPDX-License-Identifier: Apache-2.0
"""Skew-Gaussian depth defects against the paper's formulas, and against a direct correlation in single precision."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d
from scipy.stats import multivariate_normal, norm

from rasant.errors import ConfigError
from rasant.ops.defect import apply_defect
from rasant.synthesis.skew_gauss import skew_gauss_params, skew_gaussian_kernel


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
@pytest.mark.parametrize("skew", [(0.0, 0.0), (0.3, -0.2), (-0.5, 0.5)])
def test_kernel_is_the_sampled_density_over_its_sum(sigma: float, skew: tuple[float, float]) -> None:
    """2 phi2(x; 0, s^2 I) Phi(a . x) on an odd grid of 3 sigma, divided by its sum."""
    kernel = skew_gaussian_kernel(sigma, skew)
    radius = int(np.ceil(3 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    density = 2 * multivariate_normal([0, 0], np.eye(2) * sigma**2).pdf(np.stack([y, x], -1))
    density *= norm.cdf(skew[0] * y + skew[1] * x)
    assert kernel.shape == (2 * radius + 1, 2 * radius + 1)
    np.testing.assert_allclose(kernel, density / density.sum(), atol=5e-8)


@given(st.floats(0.6, 6.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_kernel_sums_to_one(sigma: float, ay: float, ax: float) -> None:
    """A plateau smoothed by the kernel keeps its height, whatever the skew."""
    assert skew_gaussian_kernel(sigma, (ay, ax)).sum() == pytest.approx(1.0, abs=1e-5)


def test_defect_is_the_correlation_of_signs_and_kernel() -> None:
    """Delta = p_z K * (M_f M_p) with zero padding, clipped to the foreground; M* where |Delta| >= t_h."""
    random = np.random.default_rng(0)
    signs = random.integers(-1, 2, (31, 40)).astype(np.float32)
    foreground = random.random((31, 40)) > 0.2
    params = skew_gauss_params(threshold=0.5, sigma=1.3, skew=(0.3, 0.1), amplitude=-2.5, visible=0.4, unit=0.1)
    height = random.random((31, 40), dtype=np.float32)
    drawn = apply_defect(signs, params, support=foreground, foreground=foreground, depth=height)
    assert drawn.depth is not None
    delta = -2.5 * correlate2d(signs * foreground, skew_gaussian_kernel(1.3, (0.3, 0.1)), mode="same") * foreground
    np.testing.assert_allclose(drawn.depth, height + 0.1 * delta, atol=1e-6)
    sure = np.abs(np.abs(delta) - 0.4) > 1e-5
    assert np.array_equal(drawn.mask[sure], np.abs(delta[sure]) >= 0.4)
    assert np.array_equal(drawn.depth[~foreground], height[~foreground])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.6, 10.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 1000))
def test_the_spread_is_opencvs_within_single_precision(sigma: float, ay: float, ax: float, seed: int) -> None:
    """filter2D of the same kernel differs by less than 1e-6 of a plateau: trainings of both see the same samples."""
    field = np.random.default_rng(seed).normal(size=(60, 70)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), 4)
    signs = (field > 0.05).astype(np.float32) - (field < -0.05)
    kernel = skew_gaussian_kernel(sigma, (ay, ax))
    expected = cv2.filter2D(signs, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    params = skew_gauss_params(threshold=0.05, sigma=sigma, skew=(ay, ax), amplitude=1.0, visible=0.1)
    drawn = apply_defect(field, params, depth=np.zeros_like(field)).depth
    assert drawn is not None and np.abs(drawn - expected).max() < 1e-6


def test_unclipped_defect_spreads_beyond_the_foreground() -> None:
    """Without a foreground, the paper's literal form, the blur leaves the part."""
    support = np.zeros((20, 20), np.bool_)
    support[:, :10] = True
    params = skew_gauss_params(threshold=0.5, sigma=1.5, skew=(0.0, 0.0), amplitude=1.0, visible=0.1)
    ones, zeros = np.ones((20, 20), np.float32), np.zeros((20, 20), np.float32)
    literal = apply_defect(ones, params, support=support, depth=zeros).depth
    clipped = apply_defect(ones, params, support=support, foreground=support, depth=zeros).depth
    assert literal is not None and clipped is not None
    assert np.all(literal[:, 10] > 0.1) and not np.any(clipped[:, 10])


def test_empty_mask_is_possible_and_reported_as_such() -> None:
    """A blob that the blur sinks below the visible height leaves an empty mask, never a false one."""
    signs = np.zeros((32, 32), np.float32)
    signs[16, 16] = 1
    params = skew_gauss_params(threshold=0.5, sigma=4.0, skew=(0.0, 0.0), amplitude=1.0, visible=0.25)
    drawn = apply_defect(signs, params, depth=np.zeros_like(signs))
    assert drawn.depth is not None and 0 < np.abs(drawn.depth).max() < 0.25
    assert not drawn.mask.any()


def test_bad_arguments_are_refused_by_name() -> None:
    """A sigma that is not positive, or so wide that the kernel would not fit, is named with what came."""
    for sigma in (0.0, 33.0, float("nan")):
        with pytest.raises(ConfigError, match="sigma must be > 0 and at most 32 pixels, got"):
            skew_gaussian_kernel(sigma, (0.0, 0.0))
