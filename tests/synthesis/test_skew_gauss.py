# SPDX-License-Identifier: Apache-2.0
"""Skew-Gaussian depth defects against the paper's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d
from scipy.stats import multivariate_normal, norm

from rasant.errors import ConfigError, ShapeError
from rasant.synthesis.skew_gauss import depth_defect, skew_gaussian_kernel


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
    np.testing.assert_allclose(kernel, density / density.sum(), atol=2e-7)


@given(st.floats(0.6, 6.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_kernel_sums_to_one(sigma: float, ay: float, ax: float) -> None:
    """A plateau convolved with the kernel keeps its height, whatever the skew."""
    assert skew_gaussian_kernel(sigma, (ay, ax)).sum() == pytest.approx(1.0, abs=1e-5)


def test_defect_is_the_correlation_of_signs_and_kernel() -> None:
    """Delta = p_z K * (M_f M_p) with zero padding, clipped to the foreground; M* where |Delta| >= t_h."""
    random = np.random.default_rng(0)
    signs = random.integers(-1, 2, (31, 40)).astype(np.float32)
    foreground = (random.random((31, 40)) > 0.2).astype(np.float32)
    kernel = skew_gaussian_kernel(1.3, (0.3, 0.1))
    delta, mask = depth_defect(signs, foreground, kernel, amplitude=2.5, visible=0.4)
    expected = 2.5 * correlate2d(signs * foreground, kernel, mode="same") * foreground
    np.testing.assert_allclose(delta, expected, atol=1e-5)
    sure = np.abs(np.abs(expected) - 0.4) > 1e-4
    assert np.array_equal(mask[sure] > 0, np.abs(expected[sure]) >= 0.4)
    assert not np.any(delta[foreground == 0])


def test_unclipped_defect_spreads_beyond_the_foreground() -> None:
    """The paper's literal form lets the blur leave the part."""
    signs = np.ones((20, 20), np.float32)
    foreground = np.zeros((20, 20), np.float32)
    foreground[:, :10] = 1
    kernel = skew_gaussian_kernel(1.5, (0.0, 0.0))
    delta, _ = depth_defect(signs, foreground, kernel, amplitude=1.0, visible=0.1, clip_to_foreground=False)
    assert np.all(delta[:, 10] > 0.1)


def test_empty_mask_is_possible_and_reported_as_such() -> None:
    """A blob that the blur sinks below the visible height leaves an empty mask, never a false one."""
    signs = np.zeros((32, 32), np.float32)
    signs[16, 16] = 1
    delta, mask = depth_defect(
        signs, np.ones_like(signs), skew_gaussian_kernel(4.0, (0.0, 0.0)), amplitude=1.0, visible=0.25
    )
    assert 0 < np.abs(delta).max() < 0.25
    assert mask.sum() == 0


def test_bad_arguments_are_refused_by_name() -> None:
    """A sigma that is not positive and sizes that differ are named with what came."""
    with pytest.raises(ConfigError, match="sigma must be a positive number of pixels, got 0"):
        skew_gaussian_kernel(0, (0.0, 0.0))
    with pytest.raises(ShapeError, match=r"\(3, 3\) and \(3, 4\)"):
        depth_defect(
            np.zeros((3, 3), np.float32), np.zeros((3, 4), np.float32), np.ones((1, 1), np.float32),
            amplitude=1, visible=1,
        )  # fmt: skip
