# SPDX-License-Identifier: Apache-2.0
"""No array crashes a native entry: whatever comes, it computes or raises a typed error. Also run under sanitizers.

Each entry starts from a valid call (`examples()` of its numpy twin), and one argument after the other is spoilt.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import put
from rasant.errors import RasantError
from rasant.ops.device import native_for

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = re.search(r"set\(RASANT_OPS ([\w\s]+?)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
EXAMPLES: dict[str, Callable[[], tuple[Any, ...]]] = {
    function: (lambda module=module, function=function: module.examples()[function])
    for module in (importlib.import_module(f"reference.{op}") for op in OPERATIONS)
    for function in module.examples()
}
REFUSALS = (RasantError, TypeError, ValueError, OverflowError)  # pybind11 refuses scalars of a wrong type by TypeError
NUMBERS = [0, 1, -1, 2, 3, 127, 1 << 20, -(1 << 31), (1 << 31) - 1, 1 << 63, 0.5, 1e-30, -1e30, 1e300, float("nan"),
           float("inf"), float("-inf")]  # fmt: skip


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def other_float(array: np.ndarray) -> np.ndarray:
    """The array as float64, or float32 where it is that; buffers of examples hold anything, signalling NaN too."""
    with np.errstate(all="ignore"):
        return array.astype(np.float64 if array.dtype != np.float64 else np.float32)


def spoilt(array: np.ndarray) -> Iterator[Any]:
    """The array in every way in which it can be wrong."""
    wide = np.concatenate([array, array], axis=-1)
    yield wide[..., ::2]  # the right shape, not contiguous
    yield array[..., :0]  # zero-sized
    yield array[:0]
    yield frozen(array)
    yield array.reshape((1,) * (5 - min(array.ndim, 4)) + array.shape)  # 5-D
    yield other_float(array)
    yield array.astype(array.dtype.newbyteorder())
    yield np.concatenate([array, array])  # too many rows
    yield array[:1].copy()
    yield np.asfortranarray(array)
    yield np.empty((1 << 16, 1), array.dtype)
    yield np.array(3, array.dtype)  # no axis
    yield array.astype(object)
    yield [array, array]
    yield array.tolist()
    yield None


def worst_values(array: np.ndarray) -> Iterator[np.ndarray]:
    """Valid arrays with the worst content."""
    if array.dtype.kind == "f":
        huge = np.finfo(array.dtype).max
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, huge, -huge, np.finfo(array.dtype).tiny):
            yield np.full_like(array, value)
        mixed = np.resize(np.array([np.nan, np.inf, -np.inf, 0.0, huge, -huge, 1.0], array.dtype), array.shape)
        yield np.ascontiguousarray(mixed)
    elif array.dtype.kind in "iu":
        for value in (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max):
            yield np.full_like(array, value)
    elif array.dtype.kind == "b":
        yield np.zeros_like(array)
        yield np.ones_like(array)


def variants(argument: Any) -> Iterator[Any]:
    """What is tried in place of an argument."""
    if isinstance(argument, np.ndarray):
        yield from spoilt(argument)
        yield from worst_values(argument)
    elif isinstance(argument, (tuple, list)):
        yield from ((), argument[:-1], [*argument, *argument], None)
        for i in range(len(argument)):
            for value in variants(argument[i]):
                yield type(argument)([*argument[:i], value, *argument[i + 1 :]])
    elif isinstance(argument, str):
        yield from ("", "no such", "\0", None)
    else:
        yield from (*NUMBERS, None, "1")


def call(module: Any, function: str, arguments: tuple[Any, ...]) -> bool:
    """True when it computed, False when it refused; anything else is a failure."""
    try:
        getattr(module, function)(*arguments)
    except REFUSALS:
        return False
    return True


def test_every_entry_has_a_valid_call() -> None:
    """All functions that bindings register are tried, and their examples are accepted."""
    bound = {
        name
        for op in OPERATIONS
        for name in re.findall(r'm\.def\(\s*"(\w+)"', (ROOT / f"csrc/bindings/bind_{op}.cpp").read_text())
    }
    assert set(EXAMPLES) == bound
    for function, example in EXAMPLES.items():
        assert call(native_for("cpu"), function, example()), function


@pytest.mark.parametrize("function", EXAMPLES)
def test_one_hostile_argument(function: str) -> None:
    """Each argument in each wrong form, all others valid."""
    count = len(EXAMPLES[function]())
    refused = 0
    for i in range(count):
        for value in variants(EXAMPLES[function]()[i]):
            arguments = list(EXAMPLES[function]())
            arguments[i] = value
            refused += not call(native_for("cpu"), function, tuple(arguments))
    assert refused > 0


@given(st.data())
def test_several_hostile_arguments(data: st.DataObject) -> None:
    """Any entry with any of its arguments spoilt together."""
    function = data.draw(st.sampled_from(sorted(EXAMPLES)))
    arguments = list(EXAMPLES[function]())
    for i in sorted(data.draw(st.sets(st.integers(0, len(arguments) - 1), min_size=min(2, len(arguments))))):
        options = list(variants(arguments[i]))
        arguments[i] = options[data.draw(st.integers(0, len(options) - 1))]
    call(native_for("cpu"), function, tuple(arguments))


def to_emulator(argument: Any) -> Any:
    """The argument in emulated device memory, where it can be there."""
    if isinstance(argument, np.ndarray) and argument.size and argument.ndim and argument.dtype.kind in "biuf":
        return put(argument) if argument.dtype.isnative else argument
    return argument


@pytest.mark.parametrize("function", EXAMPLES)
def test_hostile_arguments_on_the_emulator(function: str) -> None:
    """Device arrays of every wrong shape, dtype and content, and host arrays among them, reach no kernel unchecked."""
    emulator = native_for("emu")
    count = len(EXAMPLES[function]())
    for i in range(count):
        for value in variants(EXAMPLES[function]()[i]):
            arguments = [to_emulator(argument) for argument in EXAMPLES[function]()]
            arguments[i] = to_emulator(value)
            call(emulator, function, tuple(arguments))
            if isinstance(value, np.ndarray):
                arguments[i] = value  # one of them in host memory
                call(emulator, function, tuple(arguments))
