# SPDX-License-Identifier: Apache-2.0
"""Device arrays: memory, copies, and other libraries' arrays without a copy; on the emulator, honest without a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import get, put
from rasant import _native
from rasant.errors import ConfigError, DeviceFailed, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.device import device_status, empty, from_dlpack, native_for, output, to_device, to_host
from rasant.ops.perlin import perlin_field, perlin_mask

emulator = native_for("emu")
HAS_GPU = bool(device_status()["devices"])


class Foreign:
    """Device memory of another library: the interface, and nothing else of ours."""

    def __init__(self, array: Any, **changes: Any) -> None:
        self.kept, self.shape, self.dtype = array, array.shape, array.dtype
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changes}


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.sampled_from(["bool", "int8", "uint8", "uint16", "int32", "int64", "float16", "float32", "float64"]),
    st.sampled_from(["device", "pinned", "mapped"]),
)
def test_a_copy_there_and_back_changes_nothing(shape: list[int], dtype: str, memory: Any) -> None:
    """Any shape and dtype, in each kind of memory."""
    values = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)
    there = empty(shape, dtype, device="emu", memory=memory)
    assert to_device(values, device="emu", out=there) is there
    assert there.shape == tuple(shape) and there.dtype == values.dtype and there.nbytes == values.nbytes
    assert there.memory == memory
    assert np.array_equal(to_host(there), values)
    if memory == "device":
        with pytest.raises(ConfigError, match="to_host"):
            there.host()
    else:
        there.host()[...] = 1
        assert (to_host(there) == 1).all()


def test_a_host_view_keeps_the_memory() -> None:
    """A numpy view of mapped memory outlives the name of its array."""
    array = empty((1000,), np.float32, device="emu", memory="mapped")
    view = array.host()
    view[:] = 3.0
    del array
    assert (view == 3.0).all()


def test_arrays_of_other_libraries_are_used_in_place() -> None:
    """An object with __cuda_array_interface__ feeds an operation without a copy, and may be its output."""
    field = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    mask = put(np.zeros((3, 4), np.int8))
    result = perlin_mask(Foreign(put(field)), 0.3, out=Foreign(mask), device="emu")  # type: ignore[arg-type]
    assert isinstance(result, Foreign)
    assert np.array_equal(get(mask), perlin_mask(field, 0.3))
    assert np.array_equal(emulator.DeviceArray.from_interface(Foreign(mask)).__cuda_array_interface__["shape"], (3, 4))


def test_a_strange_interface_is_refused() -> None:
    """Strides, a mask, read-only output: each a typed error before anything runs."""
    field = put(np.zeros((3, 4), np.float32))
    mask = put(np.zeros((3, 4), np.int8))
    with pytest.raises(ShapeError, match="C-contiguous"):
        perlin_mask(Foreign(field, strides=(32, 8)), 0.3, out=mask, device="emu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="masked"):
        perlin_mask(Foreign(field, mask=field), 0.3, out=mask, device="emu")  # type: ignore[arg-type]
    pointer, _ = mask.__cuda_array_interface__["data"]
    with pytest.raises(ConfigError, match="read-only"):
        perlin_mask(field, 0.3, out=Foreign(mask, data=(pointer, True)), device="emu")  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="float32"):
        perlin_mask(mask, 0.3, device="emu")
    with pytest.raises(DtypeError, match="numpy or device array"):
        emulator.perlin_mask([[1.0]], np.zeros(1, np.float32), "positive", mask, 1)


def test_dlpack_goes_both_ways() -> None:
    """numpy reads our memory by DLPack and we read numpy's, both in place (the emulator's memory is the CPU's)."""
    ours = put(np.arange(6, dtype=np.int32).reshape(2, 3))
    seen = np.from_dlpack(ours)
    assert np.array_equal(seen, get(ours))
    ours.copy_from(np.full((2, 3), 9, np.int32))
    assert (seen == 9).all()
    theirs = np.arange(8, dtype=np.float32).reshape(2, 4)
    array = from_dlpack(theirs, device="emu")
    theirs[0, 0] = 77.0
    assert get(array)[0, 0] == 77.0
    del theirs
    assert get(array)[1, 3] == 7.0


def test_dlpack_refuses_what_it_cannot_hold() -> None:
    """Strided memory, no DLPack at all, and a capsule that nobody takes."""
    with pytest.raises(ShapeError, match="C-contiguous"):
        from_dlpack(np.zeros((4, 4), np.float32)[:, ::2], device="emu")
    with pytest.raises(DtypeError, match="__dlpack__"):
        from_dlpack(object(), device="emu")
    put(np.zeros(3, np.float32)).__dlpack__()  # dropped unused: its deleter runs


def test_streams_and_events_order_and_time() -> None:
    """Work on a stream, its event, and the milliseconds between two of them."""
    stream, other = emulator.Stream(), emulator.Stream()
    begin, end = emulator.Event(), emulator.Event()
    begin.record(stream)
    field = perlin_field((40, 40), (4, 4), seed=1, device="emu", stream=stream)
    end.record(stream)
    other.follow(end)
    end.wait()
    assert end.done and end.ms_since(begin) > 0.0
    assert np.array_equal(to_host(field, stream=other), perlin_field((40, 40), (4, 4), seed=1))
    for handle in (stream.handle, None, type("Torch", (), {"cuda_stream": stream.handle})()):
        perlin_field((8, 8), (2, 2), seed=1, device="emu", stream=handle)
    with pytest.raises(ConfigError, match="stream must be"):
        perlin_field((8, 8), (2, 2), seed=1, device="emu", stream="fast")


def test_a_stream_that_cannot_be_captured_works_on() -> None:
    """The emulator keeps no work for later, says so before it is given any, and the stream is as before."""
    stream = emulator.Stream()
    with pytest.raises(DeviceFailed, match="keeping the work of a stream failed: operation not supported"):
        stream.capture(lambda: pytest.fail("nothing may be given to a stream that is not captured"))
    assert np.array_equal(get(put(np.ones(3, np.float32))), np.ones(3))
    stream.wait()


def test_workspaces_grow_with_the_work() -> None:
    """Small, large and small again on one stream: the scratch memory fits each time."""
    stream = emulator.Stream()
    for lattice in ((1, 1), (60, 60), (2, 3)):
        field = perlin_field((60, 61), lattice, seed=3, device="emu", stream=stream)
        assert np.array_equal(to_host(field), perlin_field((60, 61), lattice, seed=3))


def test_wrong_copies_are_refused() -> None:
    """Shape, dtype, order, writability and memory kind."""
    array = empty((2, 3), np.float32, device="emu")
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        array.copy_from(np.zeros((3, 2), np.float32))
    with pytest.raises(DtypeError, match="float32"):
        array.copy_from(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="contiguous"):
        array.copy_to(np.zeros((3, 2), np.float32).T)
    frozen = np.zeros((2, 3), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ConfigError, match="read-only"):
        array.copy_to(frozen)
    with pytest.raises(ConfigError, match="memory must be"):
        empty((2,), np.float32, device="emu", memory="swap")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="axis"):
        empty((0, 3), np.float32, device="emu")
    with pytest.raises(DtypeError, match="numbers"):
        empty((2,), "U4", device="emu")


def test_devices_are_named_or_refused() -> None:
    """A wrong name, and an output of another place, are typed errors; nothing falls back to the CPU."""
    with pytest.raises(DeviceUnavailable, match="cpu, cuda, emu"):
        native_for("gpu")
    with pytest.raises(ConfigError, match="numpy"):
        output(empty((2,), np.float32, device="emu"), (2,), np.float32, "cpu")
    with pytest.raises(ConfigError, match="copy those"):
        perlin_mask(np.zeros((3, 4), np.float32), 0.3, out=put(np.zeros((3, 4), np.int8)), device="emu")  # type: ignore[arg-type]


@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU: the operations' own tests use it")
def test_without_a_driver_cuda_says_why() -> None:
    """The module imports, and every way to CUDA ends in DeviceUnavailable with a reason."""
    status = device_status()
    assert status["devices"] == 0 and status["reason"]
    for call in (
        lambda: native_for("cuda"),
        lambda: to_device(np.zeros(3, np.float32)),
        lambda: _native.DeviceArray([3], np.float32),
        _native.Stream,
        _native.Event,
    ):
        with pytest.raises(DeviceUnavailable):
            call()
