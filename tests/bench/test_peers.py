# SPDX-License-Identifier: Apache-2.0
"""The benchmark is honest: every peer, the naive one too, computes what our operation computes."""

from __future__ import annotations

import numpy as np
import pytest

from rasant.bench import peers_background, peers_depth, peers_metrics, peers_overlay, peers_perlin, peers_post
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.background import fit_plane_ransac, height_above, keep_largest
from rasant.ops.fill import fill_holes
from rasant.ops.normalize import normalize_depth
from rasant.ops.overlay import blend_map
from rasant.ops.ranking import rank_maps
from rasant.ops.regions import find_regions
from rasant.ops.score import score_map
from rasant.preprocess import frame_from_map

SIZE = (120, 160)


class Fixed:
    """A generator that draws one lattice again and again."""

    def random(self, shape: tuple[int, int], dtype: type = np.float64) -> np.ndarray:
        return np.random.default_rng(3).random(shape).astype(dtype)


@pytest.mark.parametrize("cells", [1, 4, 8])
def test_perlin_peers_draw_the_published_field(cells: int) -> None:
    """Both rewrites give DRAEM's construction on one lattice; zero on nodes, bounded."""
    naive = peers_perlin.naive_perlin(SIZE, cells, Fixed())
    assert np.abs(naive - peers_perlin.numpy_perlin(SIZE, cells, Fixed())).max() < 1e-5
    assert np.abs(naive - peers_perlin.matmul_perlin(SIZE, cells, Fixed(), np.empty(SIZE, np.float32))).max() < 1e-5
    assert np.abs(naive[:: SIZE[0] // cells, :: SIZE[1] // cells]).max() < 1e-9 and np.abs(naive).max() <= 1.0


def test_fill_peers_fill_the_same_holes() -> None:
    """Filled depth agrees within a micrometre, and what stays open is the same."""
    depth = domed_part(SIZE)
    filled = fill_holes(depth, passes=3)
    for peer in (peers_depth.naive_fill, peers_depth.BoxFill(SIZE), peers_depth.GatherFill(SIZE)):
        assert np.abs(peer(depth) - filled).max() < 1e-6
        assert np.array_equal(peer(depth) == 0, filled == 0)


def test_plane_peers_find_the_same_plane() -> None:
    """Normals agree within 1e-3 and offsets within 0.1 mm of ours; the border has no outlier here."""
    depth, camera, random = domed_part(SIZE), camera_of(SIZE), np.random.default_rng(0)
    plane = fit_plane_ransac(depth, camera)
    points = peers_background.border_points(depth, peers_background.rays_of(camera))
    fits = (
        peers_background.least_squares(points), peers_background.naive_ransac(points, random, 50),
        peers_background.ransac(points, random),
    )  # fmt: skip
    for normal, offset in fits:
        assert np.abs(normal - plane.normal).max() < 1e-3 and abs(offset - plane.offset) < 1e-4


def test_height_peers_see_the_same_part() -> None:
    """Heights agree within a micrometre; masks differ in no pixel but where the distance is the threshold itself."""
    depth, camera = domed_part(SIZE), camera_of(SIZE)
    plane = fit_plane_ransac(depth, camera)
    height, mask = height_above(depth, plane, camera, threshold_m=peers_background.THRESHOLD_M)
    fast = peers_background.Heights.of(camera)(depth, np.array(plane.normal), plane.offset)
    for other, other_mask in (peers_background.naive_height(depth, plane, camera), fast):
        assert np.abs(other - height).max() < 1e-6 and np.count_nonzero(other_mask != mask) <= 2
    assert np.array_equal(peers_background.largest_part(mask), keep_largest(mask, depth))


@pytest.mark.parametrize("rule", ["height_range", "threedsr", "percentile"])
def test_normalize_peers_follow_the_rule(rule: str) -> None:
    """Both peers give our image within 1e-5."""
    depth, camera = domed_part(SIZE), camera_of(SIZE)
    height, mask = height_above(depth, fit_plane_ransac(depth, camera), camera, threshold_m=0.005)
    values = height if rule == "height_range" else depth
    low, high = (0.5, 99.5) if rule == "percentile" else (0.0, peers_depth.HIGH_M)
    normal = normalize_depth(values, mask, rule=rule, low=low, high=high)
    fast = peers_depth.numpy_normalize(values, mask, rule, np.empty(SIZE, np.float32))
    for other in (peers_depth.naive_normalize(values, mask, rule), fast):
        assert np.abs(other - normal).max() < 1e-5


def test_the_depth_chains_end_in_the_same_image() -> None:
    """The naive chain and ours give one image, but for the rim of the part and of holes, where resizing differs."""
    size = (256, 256)
    case = next(op for op in peers_depth.OPERATIONS if op.name == "depth chain").make(size, 1)
    case.ours()
    chain = peers_depth.naive_chain(domed_part(size), size)
    assert chain.shape == size and chain.max() == pytest.approx(0.58, abs=0.03) and np.median(chain[:20]) == 0


def test_score_peers_compute_the_score() -> None:
    """Both give our score within 1e-6, and find the same non-finite values."""
    values = peers_post.logits()
    score = score_map(values, kernel=peers_post.KERNEL).score
    for peer in (peers_post.naive_score, peers_post.ScorePeer()):
        assert peer(values) == (pytest.approx(score, abs=1e-6), 0)
    values[1, 7, 9] = np.nan
    assert peers_post.ScorePeer()(values)[1] == 1


def test_regions_peers_find_the_boxes() -> None:
    """Both peers give the boxes and peaks that our regions have."""
    pooled = np.empty((256, 256), np.float32)
    score_map(peers_post.logits(), kernel=peers_post.KERNEL, out_pooled=pooled)
    found = find_regions(pooled, peers_post.THRESHOLD, frame_from_map=np.eye(2, 3), frame_size=(256, 256))
    ours = {(r.map_box.x, r.map_box.y, r.map_box.width, r.map_box.height, r.peak) for r in found}
    assert len(ours) == 3
    assert ours == set(peers_post.naive_regions(pooled)) == set(peers_post.regions_peer(pooled))


def test_overlay_peers_blend_the_same_picture() -> None:
    """Both are within 6 of 256 levels of ours: they round levels otherwise, or enlarge colours and not the map."""
    frame, pooled = peers_post.colour_image((480, 640)), np.empty((256, 256), np.float32)
    score_map(peers_post.logits(), kernel=peers_post.KERNEL, out_pooled=pooled)
    ours = blend_map(frame, pooled, picture_from_map=frame_from_map((256, 256), (480, 640)), top=1.0).astype(int)
    for peer in (peers_overlay.naive_blend, peers_overlay.StripBlend((480, 640))):
        assert np.abs(peer(frame, pooled) - ours).max() <= 6


def test_picture_peers_draw_the_boxes() -> None:
    """All three draw a picture of the frame's size with red boxes where our regions are."""
    values, frame = peers_post.logits(), np.full((480, 640, 3), 90, np.uint8)
    pictures = (
        peers_overlay.naive_picture(values, frame), peers_overlay.Assembly((480, 640))(values, frame),
        peers_overlay.plain_picture(values, frame, peers_post.ScorePeer()),
    )  # fmt: skip
    for picture in pictures:
        assert picture.shape == frame.shape and picture.dtype == np.uint8
        assert np.count_nonzero((picture[..., 0] > 150) & (picture[..., 2] < 120)) > 300


@pytest.mark.parametrize("steps", [None, 50])
def test_ranking_peers_compute_the_figures(steps: int | None) -> None:
    """Both peers give our AUROC and AUPRO, on maps with and without ties."""
    maps, truths = peers_metrics.labelled_maps(12, (96, 96))
    scores = maps if steps is None else np.round(maps * steps) / np.float32(steps)
    ranking = rank_maps(scores, truths)
    expected = pytest.approx((ranking.auroc(), ranking.aupro((0.3,))[0]), abs=1e-9)
    assert peers_metrics.naive_auroc_aupro(scores, truths) == expected
    assert peers_metrics.numpy_auroc_aupro(scores, truths) == expected
