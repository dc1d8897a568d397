# SPDX-License-Identifier: Apache-2.0
"""M10: a plan of another GPU, TensorRT or driver, with flipped bits, or half written. R3: a device that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.fake_tensorrt import fake_tensorrt
from rasant.engines.tensorrt import PlanCache, TensorRTEngine, build_plan, plan_cache
from rasant.engines.tensorrt.machine import Machine
from rasant.errors import EngineError, EngineLost, PlanError
from tiny_bundle import tiny_model

MODEL = tiny_model()
HERE = Machine("Orin", "8.7", True, 12060)
NAMES_THE_COMMAND = "run `rasant build` on this machine"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Sets the machine that this seems to be."""
    return lambda found: monkeypatch.setattr("rasant.engines.tensorrt.build.describe_machine", lambda *_: found)


@pytest.fixture
def trt(machine: Callable[[Machine], None], tmp_path: Path) -> Any:
    """TensorRT 10.3 on an Orin, with its plan in `tmp_path`."""
    machine(HERE)
    module = fake_tensorrt("10.3.0")
    build_plan(MODEL, device="emu", cache=tmp_path, module=module)
    return module


def open_(trt: Any, folder: Path, model: bytes = MODEL) -> TensorRTEngine:
    return TensorRTEngine(model, device="emu", cache=folder, module=trt)


def refuse(trt: Any, folder: Path, text: str) -> None:
    """Opening is refused, names the command, and no runtime has seen the plan."""
    trt.Runtime.deserialize_cuda_engine = lambda *_: pytest.fail("a plan that does not fit reached TensorRT")
    with pytest.raises(PlanError, match=text) as raised:
        open_(trt, folder)
    assert NAMES_THE_COMMAND in str(raised.value)
    assert raised.value.code == "E_PLAN"


@pytest.mark.parametrize(
    ("there", "text"),
    [
        (Machine("Thor", "11.0", True, 12060), r"another gpu \(Orin, here Thor\); another compute_capability"),
        (Machine("Orin", "8.7", True, 13020), r"another cuda \(12060, here 13020\)"),
        (Machine("Orin", "8.7", False, 12060), r"another integrated \(True, here False\)"),
    ],
)
def test_a_plan_of_another_machine_is_never_loaded(
    trt: Any, tmp_path: Path, machine: Callable[[Machine], None], there: Machine, text: str
) -> None:
    """A cache copied from another board, or from before a new driver: what differs is told."""
    machine(there)
    refuse(trt, tmp_path, text)


@pytest.mark.parametrize("version", ["8.6.1", "10.16.1.11", "11.4.0.106"])
def test_a_plan_of_another_tensorrt_is_never_loaded(trt: Any, tmp_path: Path, version: str) -> None:
    """An upgrade of TensorRT, however small, asks for a new plan."""
    refuse(fake_tensorrt(version), tmp_path, rf"another version \(10\.3\.0, here {version}\)")


def test_a_plan_of_another_graph_is_never_loaded(trt: Any, tmp_path: Path) -> None:
    """A bundle with new weights does not run on the old ones' plan."""
    with pytest.raises(PlanError, match=f"has no plan of this graph; {NAMES_THE_COMMAND}"):
        open_(trt, tmp_path, tiny_model(bias=-3.9))


def _flip(byte: int, bit: int) -> Callable[[Path], None]:
    def change(plan: Path) -> None:
        content = bytearray(plan.read_bytes())
        content[byte % len(content)] ^= 1 << bit
        plan.write_bytes(content)

    return change


def _record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def rewrite(plan: Path) -> None:
        path = plan.with_suffix(".json")
        told = json.loads(path.read_text())
        change(told)
        path.write_text(json.dumps(told))

    return rewrite


DAMAGES: dict[str, Callable[[Path], object]] = {
    **{f"bit {bit} of byte {byte}": _flip(byte, bit) for byte, bit in ((0, 0), (40, 7), (1000, 3), (-1, 5))},
    "cut": lambda plan: plan.write_bytes(plan.read_bytes()[:-1]),
    "half": lambda plan: plan.write_bytes(plan.read_bytes()[: plan.stat().st_size // 2]),
    "empty": lambda plan: plan.write_bytes(b""),
    "longer": lambda plan: plan.write_bytes(plan.read_bytes() + b"x"),
    "gone": lambda plan: plan.unlink(),
    "a folder": lambda plan: (plan.unlink(), plan.mkdir()),
    "no record": lambda plan: plan.with_suffix(".json").unlink(),
    "half a record": lambda plan: plan.with_suffix(".json").write_text(plan.with_suffix(".json").read_text()[:99]),
    "a record that is no record": lambda plan: plan.with_suffix(".json").write_text('["fields"]'),
    "a nested record": lambda plan: plan.with_suffix(".json").write_text("[" * 100_000),
    "binary record": lambda plan: plan.with_suffix(".json").write_bytes(bytes(range(256))),
    "a record of other fields": _record(lambda told: told["fields"].update(gpu="Thor")),
    "a record with a new field": _record(lambda told: told["fields"].update(more=1)),
    "a record of another hash": _record(lambda told: told.update(sha256="0" * 64)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_plan_is_never_loaded(trt: Any, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Whatever befalls plan or record: a typed error, and `rasant build` mends it without being told to."""
    damage(next(tmp_path.glob("*.plan")))
    refuse(trt, tmp_path, "damaged|half written|cannot be read|no plan of this graph")


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "a folder"])
def test_building_mends_what_is_damaged(trt: Any, tmp_path: Path, name: str) -> None:
    """One `rasant build` and the engine opens again."""
    DAMAGES[name](next(tmp_path.glob("*.plan")))
    build_plan(MODEL, device="emu", cache=tmp_path, module=trt)
    with open_(trt, tmp_path) as engine:
        engine.infer()
    assert len(trt.builds) == 2


def test_a_good_plan_is_found_among_damaged_ones(trt: Any, tmp_path: Path) -> None:
    """One broken file does not make the others unusable."""
    (tmp_path / f"{'0' * 64}.json").write_text("{")
    (tmp_path / "notes.json").write_text("{}")
    with open_(trt, tmp_path) as engine:
        engine.infer()


def test_whatever_interrupts_the_writing_leaves_no_plan_to_load(
    trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power fails between plan and record, over an older pair: the hash of the old record does not fit."""
    real = plan_cache.write_atomically

    def fail(path: Path, content: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        real(path, content + b"of another build")

    monkeypatch.setattr(plan_cache, "write_atomically", fail)
    with pytest.raises(KeyboardInterrupt):
        build_plan(MODEL, device="emu", cache=tmp_path, module=trt, rebuild=True)
    monkeypatch.undo()
    monkeypatch.setattr("rasant.engines.tensorrt.build.describe_machine", lambda *_: HERE)
    refuse(trt, tmp_path, "is damaged")


def test_a_lost_device_is_opened_again_in_time(trt: Any, tmp_path: Path) -> None:
    """R3: EngineLost, from then on too; once the device is back a new engine runs, from the plan, well within 10 s."""
    begin = time.monotonic()
    with open_(trt, tmp_path) as engine:
        engine.infer()
        trt.faults.add("lost:run")
        with pytest.raises(EngineLost, match="illegal memory access"):
            engine.infer()
        trt.faults.clear()
        with pytest.raises(EngineLost, match="open the engine again"):
            engine.infer()
    with open_(trt, tmp_path) as engine:
        engine.infer()
        assert np.isfinite(engine.outputs["logits"]).all()
    assert time.monotonic() - begin < 10.0
    assert len(trt.builds) == 1


def test_memory_that_runs_out_while_opening_is_told(trt: Any, tmp_path: Path) -> None:
    """R3: EngineLost with TensorRT's words; when there is memory again the same plan opens."""
    trt.faults.add("oom:context")
    with pytest.raises(EngineLost, match="OutOfMemory"):
        open_(trt, tmp_path)
    trt.faults.clear()
    with open_(trt, tmp_path) as engine:
        engine.infer()


def test_memory_that_runs_out_while_building_is_told(tmp_path: Path, machine: Callable[[Machine], None]) -> None:
    """R3 for `rasant build`: EngineLost with TensorRT's words, and nothing is kept."""
    machine(HERE)
    with pytest.raises(EngineLost, match="OutOfMemory"):
        build_plan(MODEL, device="emu", cache=tmp_path, module=fake_tensorrt(faults={"oom:build"}))
    assert list(PlanCache(tmp_path).folder.glob("*.plan")) == []


def test_a_refused_run_is_no_lost_device(trt: Any, tmp_path: Path) -> None:
    """TensorRT says False for another reason: EngineError, and the next frame may run."""
    with open_(trt, tmp_path) as engine:
        trt.faults.add("false:run")
        with pytest.raises(EngineError, match="API Usage Error") as raised:
            engine.infer()
        assert raised.type is EngineError
        trt.faults.clear()
        engine.infer()
