# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant.preprocess import Preprocessor, PreprocessParams
from rasant_training.data.parts import good_frames, prepare_parts, with_split
from rasant_training.data.suspects import outliers
from rasant_training.recipe import DataRecipe
from training.boxes import PARAMS, picture, write_split


def test_training_sees_what_inspection_sees(tmp_path: Path) -> None:
    """Each prepared part equals, bit for bit, what the runtime's preprocessor makes of the frame with that range."""
    root = write_split(tmp_path / "box", (picture(n) for n in range(4)))
    parts = prepare_parts(f"dataset:{root}", PARAMS, DataRecipe())
    preprocess = Preprocessor(parts.params)
    for index, frame in enumerate(good_frames(f"dataset:{root}", "train")):
        prepared = preprocess(frame)
        assert prepared.color_input is not None and prepared.depth_input is not None
        np.testing.assert_array_equal(parts.color[index], prepared.color_input[0])
        np.testing.assert_array_equal(parts.depth[index], prepared.depth_input[0, 0])
        np.testing.assert_array_equal(parts.foreground[index], prepared.foreground)
    assert (len(parts), parts.category, parts.notes) == (4, "box", ())
    assert parts.names == tuple(f"box/train/good/{n:03d}" for n in range(4))


def test_the_depth_range_is_that_of_the_good_parts(tmp_path: Path) -> None:
    """The frozen range is the percentile range of foreground heights, and the input's scale follows from it."""
    root = write_split(tmp_path / "box", (picture(n, height_m=0.01 + 0.001 * n) for n in range(5)))
    parts = prepare_parts(f"dataset:{root}", PARAMS, DataRecipe(height_percentiles=(2.0, 98.0)))
    assert parts.params.depth_low == pytest.approx(0.010, abs=2e-4)
    assert parts.params.depth_high == pytest.approx(0.014, abs=2e-4)
    assert parts.units_per_metre == pytest.approx(0.8 / (parts.params.depth_high - parts.params.depth_low))
    kept = prepare_parts(f"dataset:{root}", PARAMS, DataRecipe(), estimate=False)
    assert (kept.params.depth_low, kept.params.depth_high) == (PARAMS.depth_low, PARAMS.depth_high)


def test_without_good_parts_nothing_is_trained(tmp_path: Path) -> None:
    """No good part, or none that can be prepared, is an error that says where it looked and why."""
    root = write_split(tmp_path / "box", [picture(0)], label="dent")
    with pytest.raises(ConfigError, match="no usable good part in split 'train'"):
        prepare_parts(f"dataset:{root}", PARAMS, DataRecipe())
    flat = write_split(tmp_path / "flat", [picture(n, height_m=0.0) for n in range(3)])
    with pytest.raises(ConfigError, match="every frame was refused"):
        prepare_parts(f"dataset:{flat}", PARAMS, DataRecipe())


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_good_parts_are_trained_with_a_warning(tmp_path: Path, count: int) -> None:
    """Too few parts to know how good parts differ: the run goes on and says so."""
    root = write_split(tmp_path / "box", (picture(n) for n in range(count)))
    (note,) = prepare_parts(f"dataset:{root}", PARAMS, DataRecipe()).notes
    assert note.startswith(f"only {count} good part")


def test_identical_parts_are_refused_and_copies_are_named(tmp_path: Path) -> None:
    """A folder of copies of one shot is an error; a few copies among others are reported."""
    same = write_split(tmp_path / "same", [picture(1)] * 4)
    with pytest.raises(ConfigError, match="hold the same pixels"):
        prepare_parts(f"dataset:{same}", PARAMS, DataRecipe())
    some = write_split(tmp_path / "some", [picture(1), picture(1), picture(2), picture(3)])
    (note,) = prepare_parts(f"dataset:{some}", PARAMS, DataRecipe()).notes
    assert note.startswith("1 of 4 good parts are exact copies")


def test_a_part_that_differs_is_named(tmp_path: Path) -> None:
    """A dark shot and a part of another height among the good ones are reported by name and by what differs."""
    pictures = [picture(n) for n in range(12)]
    pictures[3] = (pictures[3][0] // 8, pictures[3][1])
    pictures[7] = picture(7, height_m=0.004)
    root = write_split(tmp_path / "box", pictures)
    notes = "\n".join(prepare_parts(f"dataset:{root}", PARAMS, DataRecipe()).notes)
    assert "box/train/good/003 stands out: color_mean" in notes
    assert "box/train/good/007 stands out: relief_mean" in notes
    assert "/005" not in notes


def test_a_damaged_file_is_left_out_and_named(tmp_path: Path) -> None:
    """One cut PNG does not stop a training; it is reported."""
    root = write_split(tmp_path / "box", (picture(n) for n in range(4)))
    path = root / "train" / "good" / "depth" / "002.png"
    path.write_bytes(path.read_bytes()[:200])
    parts = prepare_parts(f"dataset:{root}", PARAMS, DataRecipe())
    assert len(parts) == 3
    assert any("002" in note for note in parts.notes)


def test_the_digest_follows_the_bytes_of_the_training_files(tmp_path: Path) -> None:
    """The same files in another place have the same digest; a changed training file changes it; test files do not."""
    digests = []
    for name in ("a", "b", "c", "d"):
        root = write_split(tmp_path / name / "box", (picture(n) for n in range(3)))
        if name == "c":
            write_split(root, [picture(9)], split="test")
        if name == "d":
            write_split(root, [picture(9)])
        digests.append(prepare_parts(f"dataset:{root}", PARAMS, DataRecipe()).sha256)
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_categories_are_not_mixed(tmp_path: Path) -> None:
    """The root of several categories is refused, with the address that would work."""
    for name in ("one", "two"):
        write_split(tmp_path / name, (picture(n) for n in range(3)))
    with pytest.raises(ConfigError, match="mixes categories one, two"):
        prepare_parts(f"dataset:{tmp_path}", PARAMS, DataRecipe())


def test_the_unused_modality_still_gives_the_outline(tmp_path: Path) -> None:
    """Training on colour alone knows the part from the depth that the frames have."""
    root = write_split(tmp_path / "box", (picture(n) for n in range(3)))
    rgb = PreprocessParams(size=(32, 32), modalities="rgb", foreground_m=0.001, inlier_m=0.002, border_px=6)
    parts = prepare_parts(f"dataset:{root}", rgb, DataRecipe())
    assert 0.1 < parts.foreground.mean() < 0.2
    assert parts.params.modalities == "rgb"


def test_only_labelled_sources_are_asked_for_a_split() -> None:
    """A plain folder has no splits; a given split is kept."""
    assert with_split("dataset:a", "train") == "dataset:a?split=train"
    assert with_split("dataset:a?label=good", "train") == "dataset:a?label=good&split=train"
    assert with_split("dataset:a?split=all", "train") == "dataset:a?split=all"
    assert with_split("folder:a", "train") == "folder:a"


def test_outliers_need_a_usual_value() -> None:
    """A value far from a tight group is found; few values and near-constant values accuse no one."""
    assert outliers([1.0, 1.01, 0.99, 1.0, 1.02, 3.0]) == [5]
    assert outliers([1.0, 1.0, 3.0]) == []
    assert outliers([1.0, 1.0, 1.0, 1.0, 1.001]) == []
    assert outliers([1.0, 1.0, 1.0, 1.0, 1.0, -5.0], upper_only=True) == []
    assert outliers([0.01, 0.01, 0.011, 0.01, 0.05], floor=0.02) == []
