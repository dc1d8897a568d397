# SPDX-License-Identifier: Apache-2.0
"""A small folder of captures that tests may damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoded_images import encode, pattern

HEIGHT, WIDTH = 24, 32
CAMERA = {"width": WIDTH, "height": HEIGHT, "fx": 40.0, "fy": 41.0, "cx": 15.5, "cy": 11.5, "depth_scale": 0.001}


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes `color/`, `depth/` and camera.json for some stems and returns the folder."""

    def make(*stems: str, color: str | None = ".png", depth: str | None = ".png", root: Path = tmp_path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / "camera.json").write_text(json.dumps(CAMERA))
        for number, stem in enumerate(stems):
            for kind, suffix in (("color", color), ("depth", depth)):
                if suffix is not None:
                    pixels = pattern(HEIGHT, WIDTH, *((3,) if kind == "color" else (0, np.uint16)), seed=number)
                    (root / kind).mkdir(exist_ok=True)
                    (root / kind / f"{stem}{suffix}").write_bytes(encode(suffix, pixels))
        return root

    return make
