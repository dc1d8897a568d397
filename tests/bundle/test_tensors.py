# SPDX-License-Identifier: Apache-2.0
"""Our safetensors bytes are those of the format: arrays come back, and the reference package agrees both ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from rasant.bundle.tensors import read_tensors, write_tensors
from rasant.bundle.tensors_check import check_tensors
from rasant.errors import CheckpointError

DTYPES = ["bool", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.dictionaries(
    st.text("abcxyz._0123", min_size=1, max_size=8),
    st_numpy.arrays(st.sampled_from(DTYPES).map(np.dtype), SHAPES),
    max_size=5,
)


def same(first: dict[str, npt.NDArray[np.generic]], second: dict[str, npt.NDArray[np.generic]]) -> None:
    assert set(first) == set(second)
    for name, array in first.items():
        assert second[name].dtype == array.dtype and second[name].shape == array.shape
        assert second[name].tobytes() == array.tobytes()


@given(ARRAYS)
def test_arrays_come_back_bit_for_bit(arrays: dict[str, npt.NDArray[np.generic]]) -> None:
    """Any names, dtypes and shapes, NaN payloads and empty arrays among them."""
    same(arrays, read_tensors(write_tensors(arrays)))


@given(ARRAYS)
def test_the_reference_package_reads_what_we_write_and_we_read_what_it_writes(
    arrays: dict[str, npt.NDArray[np.generic]],
) -> None:
    """The format is the public one in both directions."""
    same(arrays, safetensors.numpy.load(write_tensors(arrays)))
    same(arrays, read_tensors(safetensors.numpy.save(arrays)))


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda text: (len(text)).to_bytes(8, "little") + text))
def test_any_bytes_are_checked_without_a_crash(data: bytes) -> None:
    """Random data is refused, or is a valid file that the reference package reads as well."""
    try:
        check_tensors(data)
    except CheckpointError:
        return
    safetensors.numpy.load(data)


@given(ARRAYS, st.data())
def test_a_damaged_header_is_never_accepted_where_the_reference_package_refuses(
    arrays: dict[str, npt.NDArray[np.generic]], data: st.DataObject
) -> None:
    """Our check is at least as strict as the reference package's own."""
    raw = bytearray(write_tensors(arrays))
    size = 8 + int.from_bytes(raw[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    try:
        check_tensors(bytes(raw))
    except CheckpointError:
        return
    safetensors.numpy.load(bytes(raw))


def test_the_same_arrays_give_the_same_bytes() -> None:
    """Neither order nor memory layout of the arrays matters."""
    a, b = np.arange(6, dtype="f4").reshape(2, 3), np.ones(2, ">i4")
    first = write_tensors({"a": a, "b": b}, {"k": "v", "j": "w"})
    assert first == write_tensors({"b": b.astype("<i4"), "a": np.asfortranarray(a)}, {"j": "w", "k": "v"})
    assert dict(check_tensors(first).metadata) == {"k": "v", "j": "w"}


def test_arrays_are_read_without_a_copy_and_cannot_be_changed() -> None:
    """Views of the file's own bytes, read-only."""
    data = write_tensors({"a": np.zeros(4, "f4")})
    array = read_tensors(data)["a"]
    assert not array.flags.writeable and not array.flags.owndata


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1 + 2j])])
def test_other_arrays_are_refused(array: npt.NDArray[np.generic]) -> None:
    """Objects would need a pickle; text and complex numbers have no dtype in the format."""
    with pytest.raises(CheckpointError, match="numbers or bool"):
        write_tensors({"a": array})
