# SPDX-License-Identifier: Apache-2.0
"""The error tree: complete in its drawing, each error also the builtin one would catch."""

from __future__ import annotations

import builtins
import re

import pytest

from rasant import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_the_drawing_is_the_tree() -> None:
    """Every class stands in the module's drawing with its code, and the drawing names no other."""
    lines = re.findall(r"(?:── |^    )(\w+)(?:\s+\((\w+)\))?(?:\s+(E_\w+))?", errors.__doc__, re.MULTILINE)
    drawn = {name: (builtin, code) for name, builtin, code in lines}
    assert set(drawn) == set(errors.__all__)
    for name, (builtin, code) in drawn.items():
        kind = getattr(errors, name)
        assert not builtin or issubclass(kind, getattr(builtins, builtin)), name
        assert not code or kind.code == code, name


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_a_rasant_error_with_a_code(kind: type[errors.RasantError]) -> None:
    """One except clause catches all, and each has a code and a docstring."""
    assert issubclass(kind, errors.RasantError)
    assert re.fullmatch(r"E_[A-Z_]+", kind.code) and kind.__doc__


def test_a_refused_frame_says_why() -> None:
    """The reason travels with the message."""
    error = errors.FrameRefused("no depth", "E_DEPTH_MISSING")
    assert (str(error), error.reason, error.index) == ("no depth", "E_DEPTH_MISSING", -1)
