# SPDX-License-Identifier: Apache-2.0
"""Captures of a board under Gray code: one folder a pose, its files in the order in which the patterns were shown.

    POSES/pose_00/00.png 01.png ...    columns, coarsest bit first, each pattern before its inverse; then rows; then, if
                                       they were taken, all white and all black

That is the order of `rasant.sensors.structured_light` and of OpenCV's GrayCodePattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.graycode import decode_gray
from rasant.recording.image_file import decode_color, read_bytes
from rasant.sensors.files import COLOR_SUFFIXES, child_folders, images_by_stem
from rasant_calibration.board import Board
from rasant_calibration.projector import LitView

__all__ = ["Pose", "read_poses"]

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pose:
    """A decoded pose, and the picture in which its corners were found."""

    lit: LitView
    picture: Grey


def read_poses(folder: Path, board: Board, size: tuple[int, int]) -> list[Pose]:
    """Decode every pose in a folder; size is (rows, cols) of the projector.

    The white capture shows the corners; without it the mean of all captures does, in which the stripes cancel.
    Raises ConfigError for no pose, or another number of captures than the projector's size needs.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; it must hold one folder of captures per pose")
    poses = [_pose(path, board, size) for path in child_folders(folder) if images_by_stem(path, COLOR_SUFFIXES)]
    if not poses:
        raise ConfigError(f"{folder}: no folder in it holds captures; make one folder per pose of the board")
    return poses


def _pose(folder: Path, board: Board, size: tuple[int, int]) -> Pose:
    rows, columns = size
    across, down = (2 * (side - 1).bit_length() for side in (columns, rows))
    paths = list(images_by_stem(folder, COLOR_SUFFIXES).values())
    if len(paths) not in (across + down, across + down + 2):
        raise ConfigError(
            f"{folder}: a projector of {columns}x{rows} needs {across} + {down} captures, and 2 more of white and "
            f"black if they were taken; got {len(paths)}"
        )
    stack = np.stack([_grey(path) for path in paths])
    column, sure_across = decode_gray(stack[:across], size=columns)
    row, sure_down = decode_gray(stack[across : across + down], size=rows)
    white = stack[across + down] if len(paths) > across + down else np.rint(stack.mean(axis=0)).astype(np.uint8)
    valid = (sure_across > 0) & (sure_down > 0)
    return Pose(LitView(board.detect(white, folder.name), column, row, valid), white)


def _grey(path: Path) -> Grey:
    rgb = decode_color(read_bytes(path), str(path))
    return np.ascontiguousarray(rgb[..., 1])  # grey files have three equal channels, colour cameras see best in green
