# SPDX-License-Identifier: Apache-2.0
"""Plans on disk. A plan fits one graph, one TensorRT, one driver and one GPU; whatever else is there is never loaded.

    KEY.plan   the bytes that TensorRT gave, and nothing else
    KEY.json   what they depend on, their SHA-256, how long they took, the end of the build's log
    KEY.lock   held while one process builds; the others wait and take its result

KEY is the SHA-256 of everything that the plan depends on (`PlanFields`). The record is written after the plan, each to
a temporary file that is renamed, so that whatever interrupts a build leaves a plan without its record, or one whose
hash differs: PlanError, and `rasant build` makes it anew. A plan is code: let only those who may install software write
to the folder.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rasant.bundle.writer import write_atomically
from rasant.errors import PlanError

__all__ = ["BUILDER_REVISION", "BuildOptions", "PlanCache", "PlanFields", "PlanRecord"]

BUILDER_REVISION = 1  # raise it when the same graph and options would give another plan
_RECORD_BYTES_MAX = 1 << 20
_RUN_BUILD = "run `rasant build` on this machine"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How hard the builder tries; a plan is found whatever these were.

    workspace_mib: memory that a layer may use beside its tensors, MiB; 0 leaves it to TensorRT. optimization_level: 0
    (fastest build) to 5 (fastest plan).
    """

    workspace_mib: int = 0
    optimization_level: int = 3


@dataclass(frozen=True, slots=True)
class PlanFields:
    """Everything that a plan depends on.

    package and version: of the Python bindings, e.g. "tensorrt" and "10.3.0". cuda: as the driver says it. shapes: name
    and shape of inputs and outputs. gpu_fallback: layers that the DLA core cannot run may run on the GPU.
    """

    model_sha256: str
    package: str
    version: str
    cuda: int
    gpu: str
    compute_capability: str
    integrated: bool
    dla_core: int | None
    gpu_fallback: bool
    precision: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    options: BuildOptions = field(default_factory=BuildOptions)
    revision: int = BUILDER_REVISION

    @property
    def key(self) -> str:
        """SHA-256 over all fields, hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def timing_key(self) -> str:
        """What a timing cache depends on: TensorRT and the GPU, not the graph."""
        told = json.dumps([self.package, self.version, self.cuda, self.gpu, self.compute_capability])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan's record. sha256 and size: of the plan. build_s: seconds. built: UTC, ISO 8601. log: the last lines."""

    fields: PlanFields
    sha256: str
    size: int
    build_s: float
    built: str
    log: tuple[str, ...] = ()


class PlanCache:
    """The plans in one folder; by default `rasant` in XDG_CACHE_HOME, or in `~/.cache`."""

    def __init__(self, folder: Path | None = None) -> None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = folder if folder is not None else home / "rasant"

    def plan_path(self, key: str) -> Path:
        """Where the plan of a key stands."""
        return self.folder / f"{key}.plan"

    def find(self, fields: PlanFields) -> tuple[bytes, PlanRecord]:
        """The newest intact plan that fits `fields`, whatever its options. Raises PlanError, which says what is wrong.

        The bytes have the hash that the record states, so they are what TensorRT wrote, whole.
        """
        records = [record for record in map(_parse, sorted(self.folder.glob("*.json"))) if record is not None]
        fitting = [record for record in records if replace(record.fields, options=fields.options) == fields]
        if not fitting:
            raise PlanError(f"{self._why_none(fields, records)}; {_RUN_BUILD}")
        record = max(fitting, key=lambda record: record.built)
        return self.read(record), record

    def exact(self, fields: PlanFields) -> PlanRecord | None:
        """The record of an intact plan of exactly these fields; None where there is none."""
        record = _parse(self.folder / f"{fields.key}.json")
        if record is None:
            return None
        try:
            self.read(record)
        except PlanError:
            return None
        return record

    def read(self, record: PlanRecord) -> bytes:
        """The bytes of a plan. Raises PlanError where they are gone, cut or changed."""
        path = self.plan_path(record.fields.key)
        try:
            plan = path.read_bytes()
        except OSError as error:
            raise PlanError(f"the plan {path} cannot be read: {error.strerror}; {_RUN_BUILD}") from error
        if len(plan) != record.size or hashlib.sha256(plan).hexdigest() != record.sha256:
            raise PlanError(
                f"the plan {path} is damaged: {len(plan)} bytes whose SHA-256 is not that of the {record.size} bytes "
                f"that were built; {_RUN_BUILD}"
            )
        return plan

    def write(self, fields: PlanFields, plan: bytes, build_s: float, log: Sequence[str]) -> PlanRecord:
        """Keep a plan. Raises PlanError where the folder cannot be written, the disk is full."""
        record = PlanRecord(
            fields, hashlib.sha256(plan).hexdigest(), len(plan), round(build_s, 3),
            datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds"), tuple(log),
        )  # fmt: skip
        with self._writing():
            write_atomically(self.plan_path(fields.key), plan)
            write_atomically(self.folder / f"{fields.key}.json", json.dumps(asdict(record), indent=1).encode())
        return record

    @contextlib.contextmanager
    def locked(self, key: str, waiting: Callable[[str], object]) -> Iterator[None]:
        """Hold the lock of a key; one process at a time builds a plan. The lock ends with the process that holds it.

        waiting: called with a text where another process holds it. Raises PlanError where the folder cannot be written.
        """
        path = self.folder / f"{key}.lock"
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(handle, 32).decode("ascii", "replace").strip()
                waiting(f"process {owner or 'another'} builds this plan; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            with self._writing():
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
                for left in self.folder.glob(f".{key}.*.tmp"):  # of a build that was killed
                    left.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)

    def timing(self, fields: PlanFields) -> bytes:
        """What earlier builds measured on this GPU with this TensorRT; empty where there is nothing, or it is damaged.

        It makes builds faster and decides nothing else.
        """
        try:
            content = self._timing_path(fields).read_bytes()
        except OSError:
            return b""
        digest, data = content[:32], content[32:]
        return data if hashlib.sha256(data).digest() == digest else b""

    def keep_timing(self, fields: PlanFields, data: bytes) -> None:
        """Keep measurements for the next build. Raises PlanError where the folder cannot be written."""
        with self._writing():
            write_atomically(self._timing_path(fields), hashlib.sha256(data).digest() + data)

    def _timing_path(self, fields: PlanFields) -> Path:
        return self.folder / f"timing-{fields.timing_key()}.cache"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlanError(
                f"the plan cannot be kept in {self.folder}: {error.strerror or error}; make it writable and give it "
                "space, or choose another folder (`rasant build --cache`, or XDG_CACHE_HOME)"
            ) from error

    def _why_none(self, fields: PlanFields, records: list[PlanRecord]) -> str:
        """What of the nearest plan of the same graph does not fit."""
        same = [record.fields for record in records if record.fields.model_sha256 == fields.model_sha256]
        if same:
            nearest = min((_differences(fields, other) for other in same), key=len)
            return f"the plan in {self.folder} was built for another {'; another '.join(nearest)}"
        path = self.plan_path(fields.key)
        cut = path.exists() or path.with_suffix(".json").exists()
        return f"the plan {path} is half written or damaged" if cut else f"{self.folder} has no plan of this graph"


def _differences(wanted: PlanFields, found: PlanFields) -> list[str]:
    ours, theirs = asdict(replace(wanted, options=found.options)), asdict(found)
    return [f"{name} ({theirs[name]}, here {ours[name]})" for name in ours if ours[name] != theirs[name]]


def _parse(path: Path) -> PlanRecord | None:
    """The record of a file; None where it is cut, changed, of another key, or not a record at all."""
    try:
        with path.open("rb") as stream:
            told: dict[str, Any] = json.loads(stream.read(_RECORD_BYTES_MAX))
        raw = dict(told.pop("fields"))
        shapes = tuple((str(name), tuple(int(side) for side in shape)) for name, shape in raw.pop("shapes"))
        fields = PlanFields(**{**raw, "shapes": shapes, "options": BuildOptions(**raw["options"])})
        record = PlanRecord(
            fields, str(told["sha256"]), int(told["size"]), float(told["build_s"]), str(told["built"]),
            tuple(map(str, told["log"])),
        )  # fmt: skip
        return record if fields.key == path.stem else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
