# SPDX-License-Identifier: Apache-2.0
"""Captures of a board under structured light: one folder a pose, its images in the order of the patterns.

    POSES/patterns.json  POSES/pose_00/CAPTURE.{png,jpg,tiff}  POSES/pose_01/...

`patterns.json` is that of `rasant patterns` and must code both axes. Without it the captures are Gray code of stripes
of one pixel, columns before rows, as OpenCV's GrayCodePattern orders them. One or two captures may follow the patterns:
all white and all black.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.recording.image_file import decode_color, read_bytes
from rasant.sensors.files import COLOR_SUFFIXES, child_folders, images_by_stem
from rasant.sensors.structured_light.decoder import decode_axis
from rasant.sensors.structured_light.patterns import SEQUENCE_FILE, PatternSequence, read_sequence
from rasant_calibration.board import Board
from rasant_calibration.projector import LitView

__all__ = ["Pose", "read_poses", "sequence_of"]

Grey = npt.NDArray[np.uint8]
_AXES = {"columns", "rows"}


@dataclass(frozen=True, slots=True)
class Pose:
    """A decoded pose, and the picture in which its corners were found."""

    lit: LitView
    picture: Grey


def sequence_of(folder: Path, size: tuple[int, int] | None) -> PatternSequence:
    """The patterns that were shown; size is (rows, cols) of the projector, or None where `patterns.json` tells.

    Raises ConfigError where neither tells, where they differ, or where only one axis is coded.
    """
    if not (folder / SEQUENCE_FILE).is_file():
        if size is None:
            raise ConfigError(f"{folder} has no {SEQUENCE_FILE}; give the projector's size: --projector COLUMNSxROWS")
        return PatternSequence(width=size[1], height=size[0], axes=("columns", "rows"))
    sequence = read_sequence(folder / SEQUENCE_FILE)
    if size is not None and size != (sequence.height, sequence.width):
        raise ConfigError(f"{SEQUENCE_FILE} is for {sequence.width}x{sequence.height}, not for {size[1]}x{size[0]}")
    if set(sequence.axes) != _AXES:
        raise ConfigError(f"{folder / SEQUENCE_FILE}: a calibration needs both axes coded, columns and rows")
    return sequence


def read_poses(folder: Path, board: Board, sequence: PatternSequence) -> list[Pose]:
    """Decode every pose in a folder. Raises ConfigError for no pose, or another number of captures than patterns."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; it must hold one folder of captures per pose")
    poses = [_pose(path, board, sequence) for path in child_folders(folder) if images_by_stem(path, COLOR_SUFFIXES)]
    if not poses:
        raise ConfigError(f"{folder}: no folder in it holds captures; make one folder per pose of the board")
    return poses


def _pose(folder: Path, board: Board, sequence: PatternSequence) -> Pose:
    paths = list(images_by_stem(folder, COLOR_SUFFIXES).values())
    if not len(sequence) <= len(paths) <= len(sequence) + 2:
        raise ConfigError(
            f"{folder}: the sequence has {len(sequence)} patterns, and white and black may follow; got {len(paths)} "
            "captures"
        )
    captures = np.stack([_grey(path) for path in paths])
    column, sure_across = decode_axis(captures, sequence, "columns")
    row, sure_down = decode_axis(captures, sequence, "rows")
    picture = _evenly_lit(captures, sequence)
    return Pose(LitView(board.detect(picture, folder.name), column, row, (sure_across > 0) & (sure_down > 0)), picture)


def _evenly_lit(captures: Grey, sequence: PatternSequence) -> Grey:
    """The white capture, else the mean of all patterns and inverses of an axis, in which the stripes cancel."""
    if sequence.white or len(captures) > len(sequence):
        last = captures[len(sequence) - int(sequence.white) :]
        return np.asarray(max(last, key=lambda capture: float(capture.mean())))
    return np.asarray(np.rint(captures[sequence.gray("columns")].mean(axis=0)), np.uint8)


def _grey(path: Path) -> Grey:
    rgb = decode_color(read_bytes(path), str(path))
    return np.ascontiguousarray(rgb[..., 1])  # grey files have three equal channels, colour cameras see best in green
