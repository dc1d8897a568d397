# SPDX-License-Identifier: Apache-2.0
"""Read a bundle and refuse everything that is not exactly what its manifest says, before any runtime sees a byte.

Order: size of the file, archive (`archive`), manifest (`manifest`), list of files, sizes and hashes, kinds of files,
graphs (`graph_check`), golden tensors (`tensors_check`), ignore mask, minimum versions. All of it happens in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bundle.archive import DEFAULT_LIMITS, Limits, check_name, read_archive
from rasant.bundle.graph_check import GraphCost, check_graph
from rasant.bundle.manifest import MANIFEST_NAME, Manifest, parse_manifest
from rasant.bundle.tensors import read_tensors
from rasant.bundle.tensors_check import check_tensors
from rasant.bundle.wire import DEFAULT_GRAPH_LIMITS, GraphLimits
from rasant.errors import BundleError, CheckpointError, IntegrityError

__all__ = ["Bundle", "read_bundle", "read_bundle_bytes"]

_KINDS = (".onnx", ".safetensors", ".png", ".json", ".toml", ".md", ".txt")
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle.

    files: every file but the manifest, by name. sha256: of `manifest.json`, which holds the hashes of all other files,
    so it names the bundle. costs: what each graph costs. name: file name, for messages.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    sha256: str
    name: str = ""
    costs: Mapping[str, GraphCost] = field(default_factory=dict)

    def graph(self, name: str = "detector") -> bytes:
        """The ONNX bytes of a graph, ready for an engine."""
        return self.files[self.manifest.graphs[name].file]

    def ignore_mask(self) -> npt.NDArray[np.bool_] | None:
        """(h, w) bool at network size, True = never scored; None if the bundle has none."""
        file = self.manifest.postprocess.ignore_mask
        return None if file is None else _decode_mask(file, self.files[file], self.manifest.preprocess.size)

    def golden(self) -> dict[str, npt.NDArray[Any]]:
        """Golden arrays by name: the inputs and outputs of the network with a leading frame axis; empty without any."""
        file = self.manifest.parity.golden
        return {} if file is None else read_tensors(self.files[file])


def read_bundle(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Read and check a `.rasant` file.

    Raises BundleError if it cannot be read, and its subclasses UnsafeBundle, IntegrityError, ManifestError and
    ModelError if it is refused.
    """
    return read_bundle_bytes(_read_file(path, limits), name=Path(path).name, limits=limits)


def read_bundle_bytes(
    data: bytes,
    *,
    name: str = "",
    limits: Limits = DEFAULT_LIMITS,
    graph_limits: GraphLimits = DEFAULT_GRAPH_LIMITS,
) -> Bundle:
    """`read_bundle` for bytes that are already in memory."""
    contents = read_archive(data, limits)
    if MANIFEST_NAME not in contents:
        raise BundleError(f"not a bundle: the archive has no {MANIFEST_NAME}, only {sorted(contents)[:10]}")
    raw = contents.pop(MANIFEST_NAME)
    manifest = parse_manifest(raw)
    _check_files(manifest, contents)
    costs = {}
    for graph_name, spec in manifest.graphs.items():
        costs[graph_name] = check_graph(contents[spec.file], spec, graph_limits)
    _check_golden(manifest, contents)
    if manifest.postprocess.ignore_mask is not None:
        mask = manifest.postprocess.ignore_mask
        _decode_mask(mask, contents[mask], manifest.preprocess.size)
    _check_versions(manifest)
    sha256 = hashlib.sha256(raw).hexdigest()
    return Bundle(manifest, MappingProxyType(contents), sha256, name, MappingProxyType(costs))


def _read_file(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """All bytes of a regular file; devices, pipes and folders are refused without waiting for them."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{os.fspath(path)!r} must be a bundle file, got a folder, pipe or device")
            if status.st_size > limits.archive_bytes:
                raise BundleError(f"a bundle must be at most {limits.archive_bytes} bytes, got {status.st_size}")
            return stream.read(limits.archive_bytes + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"cannot read the bundle {os.fspath(path)!r}: {error}") from error


def _check_files(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """The archive holds exactly the listed files, of allowed kinds, with the listed sizes and hashes."""
    for name in manifest.files:
        check_name(name)
    missing, extra = sorted(manifest.files.keys() - contents), sorted(contents.keys() - manifest.files)
    if missing or extra:
        raise IntegrityError(f"the bundle's files differ from its manifest: missing {missing}, not listed {extra}")
    graphs = {spec.file for spec in manifest.graphs.values()}
    for name, entry in manifest.files.items():
        if not name.endswith(_KINDS):
            raise IntegrityError(f"{name}: files of a bundle are of kind {', '.join(_KINDS)}; others are refused")
        if name.endswith(".onnx") != (name in graphs):
            raise IntegrityError(f"{name}: graphs must end in .onnx, and each .onnx file must be listed in graphs")
        if len(contents[name]) != entry.size:
            raise IntegrityError(f"{name}: the manifest says {entry.size} bytes, the file has {len(contents[name])}")
        if hashlib.sha256(contents[name]).hexdigest() != entry.sha256:
            raise IntegrityError(f"{name}: its SHA-256 differs from the manifest; the file was damaged or exchanged")


def _check_golden(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    for name in manifest.files:
        if name.endswith(".safetensors"):
            try:
                check_tensors(contents[name])
            except CheckpointError as error:
                raise IntegrityError(f"{name}: {error}") from error
    if manifest.parity.golden is None:
        if manifest.parity.frames is not None:
            raise IntegrityError("parity.frames describes raw frames, and the bundle has no golden file")
        return
    name = manifest.parity.golden
    if not name.endswith(".safetensors"):
        raise IntegrityError(f"parity.golden must be a .safetensors file, got {name!r}")
    found = {key: (entry.dtype, entry.shape) for key, entry in check_tensors(contents[name]).tensors.items()}
    depth, _ = found.get("frame.depth", ("U16", ()))
    wanted = _golden_arrays(manifest, "F32" if depth == "F32" else "U16", "float.logits" in found)
    counts = {shape[0] for _, shape in found.values() if shape}
    if {key: (dtype, shape[1:]) for key, (dtype, shape) in found.items()} != wanted or len(counts) != 1 or 0 in counts:
        raise IntegrityError(f"{name}: expected arrays (frames, ...) of {wanted}, got {found}")


def _golden_arrays(manifest: Manifest, depth: str, with_float: bool) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of one frame of each array: the detector's tensors, the raw frames, the float network's logits.

    A detector of tiles has them for one tile. Raw depth is of counts or of metres (`depth`: "U16" or "F32").
    """
    specs = (*manifest.detector.inputs, *manifest.detector.outputs)
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {spec.name: ("F32", spec.shape[1:]) for spec in specs}
    if with_float:
        wanted["float.logits"] = wanted["logits"]
    if manifest.parity.frames is not None:
        size = manifest.parity.frames.height, manifest.parity.frames.width
        raw = {"color": ("U8", (*size, 3)), "depth": (depth, size)}
        wanted |= {f"frame.{name}": raw[name] for name in manifest.preprocess.input_channels}
    return wanted


def _decode_mask(file: str, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The ignore mask. Its header is checked before it is decoded."""
    header = (int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"), *data[24:26])
    if not data.startswith(_PNG) or header != (*size, 8, 0):
        raise IntegrityError(
            f"{file}: the ignore mask must be an 8-bit grey PNG of (rows, cols) {size} with header {(*size, 8, 0)}, "
            f"got {header}"
        )
    import cv2

    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.shape != tuple(size):
        raise IntegrityError(f"{file}: the ignore mask is damaged; export the bundle again")
    return np.asarray(mask > 0, dtype=np.bool_)


def _check_versions(manifest: Manifest) -> None:
    """Refuse a bundle that needs a newer package than the installed one.

    A package that is not installed is not asked.
    """
    if not manifest.minimum_versions:
        return
    from importlib.metadata import PackageNotFoundError, version

    for package, needed in manifest.minimum_versions.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            continue
        if _release(installed) < _release(needed):
            raise BundleError(f"the bundle needs {package} {needed} or newer, got {installed}; upgrade {package}")


def _release(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, 1.2 as 1.2.0; marks such as rc1 or +cu12 do not count."""
    found = re.match(r"[\d.]*", version)
    numbers = [int(part) for part in (found[0] if found else "").split(".") if part]
    return tuple((*numbers, 0, 0, 0)[:3])
