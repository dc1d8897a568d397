# SPDX-License-Identifier: Apache-2.0
"""`import rasant` is quick and light; the public names arrive when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rasant

HEAVY = ("torch", "cv2", "numpy", "onnxruntime", "onnx", "pydantic", "typer", "rich", "jinja2", "mcap", "tifffile")
NEVER = ("torch", "lightning_fabric", "lightning", "rasant_training", "rasant_calibration")


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout.strip()


def test_import_takes_less_than_300_ms_of_cpu() -> None:
    """Best of three, CPU time, so that neighbours of this machine do not decide."""
    code = "import time; t = time.process_time(); import rasant; print(time.process_time() - t)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.3


def test_import_loads_nothing_heavy() -> None:
    """No array library, no runtime, no schema library before the first name is used."""
    assert fresh(f"import sys, rasant; print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


def test_the_whole_runtime_never_loads_torch() -> None:
    """All public names together, the commands and the engine: neither torch nor another room."""
    code = (
        "import sys, rasant\n"
        "for name in rasant.__all__: getattr(rasant, name)\n"
        "import rasant.inspect_command, rasant.evaluate_command, rasant.doctor\n"
        "rasant.doctor.examine()\n"
        f"print([m for m in {NEVER!r} if m in sys.modules])"
    )
    assert fresh(code) == "[]"


@pytest.mark.parametrize("name", rasant.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each name of __all__ can be had, and is listed by dir()."""
    assert getattr(rasant, name) is not None
    assert name in dir(rasant)


def test_all_is_sorted_and_complete() -> None:
    """__all__ holds every error and no name twice."""
    from rasant import errors

    assert rasant.__all__ == sorted(set(rasant.__all__))
    assert set(errors.__all__) <= set(rasant.__all__)


def test_unknown_names_are_an_attribute_error() -> None:
    """A misspelt name says where to look."""
    with pytest.raises(AttributeError, match=r"rasant\.__all__"):
        _ = rasant.Inspectr
