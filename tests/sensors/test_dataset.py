# SPDX-License-Identifier: Apache-2.0
"""`dataset:` gives labelled frames with exact truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from encoded_images import encode, pattern
from rasant.errors import ConfigError, FrameError, SourceError
from rasant.sensors import open_source
from rasant.synthesis.commands import write_dataset


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small categories."""
    root = tmp_path_factory.mktemp("parts")
    for category in ("plate", "flange"):
        write_dataset(root, category, train=3, validation=2, test_good=2, test_defect=6, size=64)
    return root


@pytest.mark.parametrize(
    ("query", "count"), [("", 8), ("?split=train", 3), ("?split=validation", 2), ("?split=all", 13), ("?label=dent", 1)]
)
def test_splits_and_labels_select(parts: Path, query: str, count: int) -> None:
    """The default split is test; train, validation, all and a label choose others."""
    with open_source(f"dataset:{parts}/plate{query}") as source:
        assert source.frame_count == count == len(list(source))


def test_root_goes_through_all_categories(parts: Path) -> None:
    """A root gives its categories one after the other; every frame says where it comes from."""
    with open_source(f"dataset:{parts}") as source:
        frames = list(source)
    assert Counter(f.sample.category for f in frames if f.sample) == {"flange": 8, "plate": 8}
    assert len({frame.name for frame in frames}) == 16
    assert all(frame.name.startswith(f"{frame.sample.category}/test/") for frame in frames if frame.sample)


def test_truth_is_empty_for_good_parts_and_not_for_others(parts: Path) -> None:
    """Good parts have an all-false mask, defective ones that of their file."""
    with open_source(f"dataset:{parts}?split=all") as source:
        for frame in source:
            assert frame.sample is not None and frame.sample.truth is not None
            assert frame.sample.truth.dtype == np.bool_ and frame.sample.truth.shape == frame.size
            assert frame.sample.truth.any() == frame.sample.defective


def test_missing_mask_is_none_and_wrong_size_a_frame_error(tmp_path: Path) -> None:
    """A defective frame without mask file has no truth; a mask of another size is refused with both sizes."""
    root = write_dataset(tmp_path, "plate", train=0, validation=0, test_good=0, test_defect=2, size=64)
    (root / "test/dent/gt/000.png").unlink()
    (root / "test/bump/gt/000.png").write_bytes(encode(".png", pattern(10, 12)))
    with open_source(f"dataset:{root}") as source:
        with pytest.raises(FrameError, match="mask is 12x10, the frame is 64x64"):
            source.read()
        frame = source.read()
        assert frame.sample is not None and frame.sample.truth is None and frame.sample.defective


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("?split=exam", ConfigError, "train, validation, test or all, got 'exam'"),
        ("?splat=test", ConfigError, "'splat'; it knows split, label"),
        ("?label=rust", SourceError, "label 'rust' holds no frame"),
    ],
)
def test_wrong_options_say_what_is_known(parts: Path, query: str, error: type[Exception], words: str) -> None:
    """An unknown split, option or label is refused when the source is opened."""
    with pytest.raises(error, match=words):
        open_source(f"dataset:{parts}{query}")


def test_folder_without_category_is_refused(tmp_path: Path) -> None:
    """A folder without camera.json and splits is no data set."""
    with pytest.raises(SourceError, match=r"camera\.json and train, validation, test"):
        open_source(f"dataset:{tmp_path}")


@pytest.mark.captures
def test_rendered_parts_agree_with_their_records(captures: Path) -> None:
    """All 267 frames of the rendered set read, and each mask has the number of pixels that meta.json states."""
    relief = captures / "relief"
    with open_source(f"dataset:{relief}?split=all") as source:
        samples = {frame.name: frame.sample for frame in source}
    found = {name: int(s.truth.sum()) for name, s in samples.items() if s is not None and s.truth is not None}
    assert len(found) == 267
    for meta in relief.glob("*/meta.json"):
        for record in json.loads(meta.read_text()):
            assert found[f"{meta.parent.name}/{record['id']}"] == record.get("gt_px", 0)
