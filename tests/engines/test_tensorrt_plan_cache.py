# SPDX-License-Identifier: Apache-2.0
"""The plan cache: what the key covers, that two processes build once, and what a full or read-only disk does."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.fake_tensorrt import fake_tensorrt
from rasant.engines.tensorrt import BuildOptions, PlanCache, TensorRTEngine, build_plan
from rasant.engines.tensorrt.plan_cache import PlanFields
from rasant.errors import PlanError
from tiny_bundle import tiny_model

MODEL = tiny_model()
WORD = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=12)
FIELDS = st.builds(
    PlanFields,
    model_sha256=st.text("0123456789abcdef", min_size=64, max_size=64), package=WORD, version=WORD,
    cuda=st.integers(0, 20000), gpu=WORD, compute_capability=WORD, integrated=st.booleans(),
    dla_core=st.none() | st.integers(0, 3), gpu_fallback=st.booleans(),
    precision=st.sampled_from(["fp32", "fp16", "int8"]),
    shapes=st.lists(st.tuples(WORD, st.tuples(st.integers(1, 9), st.integers(1, 9))), max_size=3).map(tuple),
    options=st.builds(BuildOptions, st.integers(0, 4096), st.integers(0, 5)), revision=st.integers(0, 99),
)  # fmt: skip


def build(folder: Path, **options: Any) -> Any:
    trt = options.pop("trt", None) or fake_tensorrt()
    return build_plan(MODEL, device="emu", cache=folder, module=trt, **options)


@given(FIELDS, FIELDS, st.data())
def test_every_field_changes_the_key(one: PlanFields, other: PlanFields, data: st.DataObject) -> None:
    """Two plans have one key exactly if they agree in everything they depend on."""
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(PlanFields)]))
    changed = dataclasses.replace(one, **{name: getattr(other, name)})
    assert (changed.key == one.key) == (getattr(one, name) == getattr(other, name))
    assert re.fullmatch("[0-9a-f]{64}", one.key)


@settings(max_examples=20)  # each writes and syncs two files
@given(FIELDS)
def test_a_record_is_read_as_it_was_written(fields: PlanFields) -> None:
    """Fields survive the file, so a plan that was kept is found; one changed field in the file and it is not."""
    with tempfile.TemporaryDirectory() as folder:
        plans = PlanCache(Path(folder))
        record = plans.write(fields, b"plan", 1.5, ["INFO: done"])
        assert plans.find(fields) == (b"plan", record)
        assert plans.exact(fields) == record
        path = plans.folder / f"{fields.key}.json"
        path.write_text(path.read_text().replace('"revision": ', '"revision": 1'))
        with pytest.raises(PlanError, match="rasant build"):
            plans.find(fields)


def test_a_plan_is_built_once(tmp_path: Path) -> None:
    """The second build finds the plan of the first; other options and --rebuild make another."""
    trt = fake_tensorrt()
    first = build(tmp_path, trt=trt)
    assert build(tmp_path, trt=trt) == first
    assert len(trt.builds) == 1
    assert build(tmp_path, trt=trt, options=BuildOptions(optimization_level=5)).fields.key != first.fields.key
    again = build(tmp_path, trt=trt, rebuild=True)
    assert (again.fields, len(trt.builds)) == (first.fields, 3)
    assert again.built > first.built


def test_the_newest_fitting_plan_is_opened(tmp_path: Path) -> None:
    """Options say how hard the builder tried, not what is asked for: the plan that was built last is taken."""
    trt = fake_tensorrt()
    build(tmp_path, trt=trt)
    newest = build(tmp_path, trt=trt, options=BuildOptions(optimization_level=5))
    with TensorRTEngine(MODEL, device="emu", cache=tmp_path, module=trt) as engine:
        assert f"plan {newest.fields.key[:12]}" in engine.info.notes[-1]


BUILDER = """
import sys
import tempfile
from pathlib import Path
from engines.fake_tensorrt import fake_tensorrt
from rasant.engines.tensorrt import build_plan
print("ready", flush=True)
model = sys.stdin.buffer.read()
trt = fake_tensorrt(build_s=1.0)
steps = []
record = build_plan(model, device="emu", cache=Path(sys.argv[1]), module=trt, progress=steps.append)
print(len(trt.builds), record.sha256, *(step.phase for step in steps if "waiting" in step.phase), sep="|")
"""


def start(program: str, *arguments: Any) -> subprocess.Popen[bytes]:
    """A Python program that knows the tests, with pipes."""
    tests = str(Path(__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": tests},
    )  # fmt: skip


def test_two_processes_build_once(tmp_path: Path) -> None:
    """Started together, one builds; the other is told which process it waits for, and takes the same plan."""
    processes = [start(BUILDER, tmp_path) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(MODEL)
        process.stdin.close()
        process.stdin = None
    told = sorted(process.communicate(timeout=120)[0].decode().strip().split("|") for process in processes)
    assert [line[0] for line in told] == ["0", "1"]
    assert told[0][1] == told[1][1]
    assert re.fullmatch(r"process (\d+|another) builds this plan; waiting for it", told[0][2])


def test_a_killed_build_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """The lock ends with its process, and what it left half written is swept away by the next build."""
    program = (
        "import os, sys, fcntl; handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(handle, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()"
    )
    key = build(tmp_path).fields.key
    for left in (f"{key}.plan", f"{key}.json"):
        (tmp_path / left).unlink()
    half = tmp_path / f".{key}.plan.x1y2.tmp"
    half.write_bytes(b"half")
    with start(program, tmp_path / f"{key}.lock") as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert build(tmp_path).fields.key == key
    assert not half.exists()


def test_measurements_are_kept_for_the_next_build(tmp_path: Path) -> None:
    """The timing cache of one build is given to the next of another graph; a damaged one counts as none."""
    trt = fake_tensorrt()
    fields = build(tmp_path, trt=trt).fields
    build_plan(tiny_model(bias=-3.0), device="emu", cache=tmp_path, module=trt)
    assert [config.timing.data for config in trt.configs] == [b"", b"measured;"]
    assert PlanCache(tmp_path).timing(fields) == b"measured;measured;"
    path = next(tmp_path.glob("timing-*.cache"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert PlanCache(tmp_path).timing(fields) == b""
    other = dataclasses.replace(fields, compute_capability="8.7")
    assert other.timing_key() != fields.timing_key()


def test_a_folder_that_cannot_be_made_is_told_before_the_build(tmp_path: Path) -> None:
    """No one waits ten minutes for a plan that has no place."""
    (tmp_path / "file").write_text("in the way")
    trt = fake_tensorrt()
    with pytest.raises(PlanError, match=r"cannot be kept in .*XDG_CACHE_HOME"):
        build(tmp_path / "file" / "cache", trt=trt)
    assert trt.builds == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_told_before_the_build(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only root file system, or another user's folder."""

    def refuse(path: Any, *rest: Any) -> int:
        raise OSError(code, os.strerror(code), str(path))

    trt = fake_tensorrt()
    monkeypatch.setattr("rasant.engines.tensorrt.plan_cache.os.open", refuse)
    with pytest.raises(PlanError, match=os.strerror(code)):
        build(tmp_path, trt=trt)
    assert trt.builds == []


FILLER = """
import resource, signal, sys
from pathlib import Path
from rasant.engines.tensorrt.plan_cache import PlanCache, PlanFields
from rasant.errors import PlanError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
fields = PlanFields("0" * 64, "tensorrt", "10.3.0", 12060, "Orin", "8.7", True, None, False, "fp16", ())
try:
    PlanCache(Path(sys.argv[1])).write(fields, bytes(1 << 20), 1.0, [])
except PlanError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_leaves_no_plan(tmp_path: Path) -> None:
    """The kernel itself refuses to let a file grow: PlanError, no plan, and no temporary file that fills the rest."""
    with start(FILLER, tmp_path) as writer:
        told = writer.communicate(timeout=120)[0].decode()
    assert "cannot be kept" in told
    assert os.strerror(errno.EFBIG) in told
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME where it is set, else ~/.cache; never the working directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert PlanCache().folder == tmp_path / "rasant"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert PlanCache().folder == tmp_path / "me" / ".cache" / "rasant"
