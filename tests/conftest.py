# SPDX-License-Identifier: Apache-2.0
"""Fixtures that all rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT.parent / "shared" / "data"

# A busy machine is no failure: pytest-timeout ends what hangs. A red run must come from the change it judges: examples
# are the same in every run, and other ones are looked for on purpose, with HYPOTHESIS_PROFILE=explore.
settings.register_profile("rasant", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rasant"))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real captures beside the checkout; skips where it is absent, and only there."""
    if not CAPTURES.is_dir():
        pytest.skip("the folder of real captures is not beside this checkout")
    return CAPTURES


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small valid bundle (`tiny_bundle.write_tiny_bundle`): network 64x64, colour and depth, threshold 0.5."""
    from tiny_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.rasant")
