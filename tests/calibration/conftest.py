# SPDX-License-Identifier: Apache-2.0
"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import pytest

from board_rig import Rig, make_rig


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """OpenCV's solvers wait for their own threads on a busy machine, and the suite runs a process per core."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="session")
def rig() -> Rig:
    """8 views of a ChArUco board by two cameras: rendered once."""
    return make_rig()
