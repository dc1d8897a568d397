# SPDX-License-Identifier: Apache-2.0
"""Mutated bundles: whatever happens to the bytes, the reader answers with a bundle or a BundleError, and quickly."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from hostile_bundle import bundle_bytes, good_model
from rasant.bundle.graph_check import describe_graph
from rasant.bundle.reader import read_bundle_bytes
from rasant.errors import BundleError, ModelError

STORED, DEFLATED = bundle_bytes(), bundle_bytes(method=zipfile.ZIP_DEFLATED)
TELLING = st.sampled_from([0, 1, 2, 8, 0x40, 0x7F, 0x80, 0xFE, 0xFF]) | st.integers(0, 255)
Mutation = Callable[[bytes], bytes]


def _at(share: float, data: bytes) -> int:
    return min(int(share * len(data)), len(data))


def _set(share: float, value: int) -> Mutation:
    return lambda data: data[: _at(share, data)] + bytes([value]) + data[_at(share, data) + 1 :]


def _cut(share: float, count: int) -> Mutation:
    return lambda data: data[: _at(share, data)] + data[_at(share, data) + count :]


def _insert(share: float, more: bytes) -> Mutation:
    return lambda data: data[: _at(share, data)] + more + data[_at(share, data) :]


def _repeat(share: float, source: float, count: int) -> Mutation:
    return lambda data: _insert(share, data[_at(source, data) : _at(source, data) + count])(data)


PLACE = st.floats(0.0, 1.0)
MUTATIONS = st.lists(
    st.builds(_set, PLACE, TELLING)
    | st.builds(_cut, PLACE, st.integers(1, 50))
    | st.builds(_insert, PLACE, st.binary(min_size=1, max_size=20))
    | st.builds(_repeat, PLACE, PLACE, st.integers(1, 100)),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=250)
@given(st.sampled_from([STORED, DEFLATED]), MUTATIONS)
def test_a_mutated_archive_is_read_or_refused(data: bytes, mutations: list[Mutation]) -> None:
    """Bytes set, cut, inserted and repeated anywhere in the archive raise BundleError and nothing else.

    What is accepted all the same (a changed time stamp, say) holds the very graph that was packed.
    """
    for mutate in mutations:
        data = mutate(data)
    with contextlib.suppress(BundleError):
        assert read_bundle_bytes(data).graph() == good_model()


@settings(max_examples=250)
@given(MUTATIONS)
def test_a_mutated_graph_is_described_or_refused(mutations: list[Mutation]) -> None:
    """A graph whose hash fits (an attacker makes his own) raises ModelError and nothing else."""
    data = good_model()
    for mutate in mutations:
        data = mutate(data)
    with contextlib.suppress(ModelError):
        describe_graph(data, "g.onnx")


@settings(max_examples=100)
@given(MUTATIONS)
def test_a_mutated_manifest_is_read_or_refused(mutations: list[Mutation]) -> None:
    """The same for a manifest whose archive is intact."""
    import io

    with zipfile.ZipFile(io.BytesIO(STORED)) as archive:
        manifest = archive.read("manifest.json")
    for mutate in mutations:
        manifest = mutate(manifest)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr("detector.onnx", good_model())
    with contextlib.suppress(BundleError):
        read_bundle_bytes(buffer.getvalue())


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Random bytes are never a bundle."""
    with contextlib.suppress(BundleError):
        read_bundle_bytes(data)
        raise AssertionError("random bytes were accepted")
