# SPDX-License-Identifier: Apache-2.0
"""A board seen by a colour and an infrared camera of known geometry: rendered once for all tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rasant.types import Intrinsics
from rasant_calibration.board import Board, View, parse_board
from reference.boards import Matrix, picture, pose, poses

COLOR = Intrinsics(640, 400, 600.0, 603.0, 323.0, 198.0, "brown_conrady", (-0.055, 0.065, 0.0003, 0.0006, -0.02))
INFRARED = Intrinsics(640, 400, 570.0, 570.0, 317.0, 203.0, "brown_conrady", (0.03, -0.02, 0.0, 0.0, 0.0))
COLOR_FROM_DEPTH = pose((0.005, -0.008, 0.003), (0.015, 0.0002, 0.0004))
VIEWS = 8


@dataclass(frozen=True)
class Rig:
    """What the cameras saw, and the truth about it."""

    board: Board
    color: list[View]
    infrared: list[View]
    pictures: list[np.ndarray]
    poses: list[Matrix]


def make_rig() -> Rig:
    """Views of a ChArUco board by both cameras, with blur and noise."""
    board = parse_board("charuco:9x7:0.02:0.014")
    image = board.aruco.generateImage((9 * 60, 7 * 60), marginSize=0)
    seen: dict[str, list[View]] = {"color": [], "infrared": []}
    pictures = []
    from_depth = poses(VIEWS, (0.09, 0.07, 0.0), 0.24)
    for number, place in enumerate(from_depth):
        for side, lens, at in (("color", COLOR, COLOR_FROM_DEPTH @ place), ("infrared", INFRARED, place)):
            shot = picture(image, 60 / board.square_m, lens, at, seed=number)
            seen[side].append(board.detect(shot, f"{number:02d}"))
            if side == "color":
                pictures.append(shot)
    return Rig(board, seen["color"], seen["infrared"], pictures, from_depth)
