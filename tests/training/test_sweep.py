# SPDX-License-Identifier: Apache-2.0
"""Sweeps: lists become runs, all are checked before the first, a failed one stops no other, with Ray and without."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rasant.cli import app
from rasant.errors import ConfigError
from rasant_training import sweep as module
from rasant_training.sweep import Outcome, plan, sweep, table
from training.boxes import picture, write_split

HEAD = '[[run]]\nmethod = "training.tiny_method"\npreset = "test"\n'
STEPS = [("test", {"loop": {"steps": 2}, "preprocess": {"inlier_m": 0.002}})]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two categories of good boxes."""
    for name, first in (("box", 0), ("lid", 9)):
        write_split(tmp_path / "parts" / name, (picture(n, height_m=0.012) for n in range(first, first + 3)))
    return tmp_path / "parts"


def written(tmp_path: Path, text: str) -> Path:
    """The file of a sweep."""
    (tmp_path / "recipes.toml").write_text(text)
    return tmp_path / "recipes.toml"


def test_lists_become_runs_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Every combination, the last list fastest; names say what varies; changes come last."""
    text = (
        '[[run]]\nmethod = ["das3d", "easynet"]\ndata = ["dataset:relief/casting", "dataset:relief/gasket?split=a"]\n'
        "[run.recipe.loop]\nminutes = 3.0\n"
        '[[run]]\nmethod = "draem"\ndata = "folder:x/lid/"\nmodalities = ["rgb", "depth"]\nseed = [1, 2]\n'
    )
    runs = plan(written(tmp_path, text), [("test", {"data": {"batch": 2}})])
    assert [one.name for one in runs] == [
        "casting-das3d-edge", "gasket-das3d-edge", "casting-easynet-edge", "gasket-easynet-edge",
        "lid-draem-edge-rgb-seed1", "lid-draem-edge-rgb-seed2", "lid-draem-edge-depth-seed1",
        "lid-draem-edge-depth-seed2",
    ]  # fmt: skip
    assert [one.recipe.loop.minutes for one in runs] == [3.0] * 4 + [0.0] * 4
    assert runs[-1].recipe.modalities == "depth"
    twice = '[[run]]\ndata = "x/lid"\n[[run]]\nname = "other"\ndata = "x/lid"\n[run.recipe.data]\nbatch = 4\n'
    assert [one.name for one in plan(written(tmp_path, twice))] == ["lid-das3d-edge", "lid-das3d-edge-other"]
    assert {one.recipe.data.batch for one in runs} == {2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run: Field required"),
        ("run = []", r"no \[\[run\]\]"),
        ('[[run]]\nmethod = "das3d"', r"run\.0\.data: Field required"),
        ('[[run]]\ndata = "x"\nspeed = 3', r"run\.0\.speed"),
        ('[[run]]\ndata = "x"\nmethod = ["das3d", "das4d"]', "unknown method 'das4d'"),
        ('[[run]]\ndata = "x"\n[run.recipe.loop]\nstep = 3', r"run\.0\.recipe: unknown key loop\.step; did you"),
        ('[[run]]\ndata = ["a/x", "b/x"]', "a second time"),
    ],
)
def test_what_could_not_run_is_refused_before_the_first_run(tmp_path: Path, text: str, message: str) -> None:
    """Wrong keys, unknown methods, wrong recipes and runs of one name, each with its place."""
    with pytest.raises(ConfigError, match=message):
        plan(written(tmp_path, text))


def test_a_failed_run_stops_no_other_and_is_told_by_the_exit_code(tmp_path: Path, data: Path) -> None:
    """One of three runs has no data: the others are trained, the list is kept, the exit code is that run's."""
    file = written(tmp_path, f'{HEAD}data = ["dataset:{data}/none", "dataset:{data}/box", "dataset:{data}/lid"]\n')
    out = tmp_path / "runs"
    words = ["train", "--sweep", str(file), "--out", str(out), "--steps", "2", "--set", "preprocess.inlier_m=0.002"]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 2, result.output
    runs = [line for line in map(json.loads, result.stdout.splitlines()) if line["event"] == "run"]
    assert [(one["state"], one["steps"]) for one in runs] == [("failed", 0), ("done", 2), ("done", 2)]
    assert "none" in runs[0]["error"]
    assert json.loads((out / "sweep.json").read_text()) == [{k: v for k, v in r.items() if k != "event"} for r in runs]
    assert (out / runs[1]["name"] / "checkpoint.safetensors").is_file()
    again = CliRunner().invoke(app, [*words, "--json"])
    assert [json.loads(line)["state"] for line in again.stdout.splitlines()] == ["failed"] * 3  # never overwritten
    resumed = CliRunner().invoke(app, [*words[:-4], "--steps", "3", *words[-2:], "--resume", "--json"])
    lines = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert [(one["state"], one["steps"]) for one in lines] == [("failed", 0), ("done", 3), ("done", 3)]
    assert "holds a run already" in again.stdout


def test_data_and_sweep_together_are_refused(tmp_path: Path) -> None:
    """The file names the data."""
    result = CliRunner().invoke(app, ["train", "--sweep", str(tmp_path / "x.toml"), "--data", "dataset:x"])
    assert result.exit_code == 2
    assert "leave --data out" in result.output


def test_an_interrupted_run_ends_the_sweep(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is meant for all runs to come, too."""
    runs = plan(written(tmp_path, f'{HEAD}data = ["dataset:{data}/box", "dataset:{data}/lid"]\n'), STEPS)
    stopped = Outcome(runs[0].name, "m", "p", runs[0].data, "interrupted", exit_code=130)
    monkeypatch.setattr(module, "_train", lambda *_: stopped)
    assert list(sweep(runs, tmp_path / "runs", ray=False)) == [stopped]


class FakeRay(types.SimpleNamespace):
    """As much of Ray as a sweep uses; tasks run when they are asked for, in the reverse order."""

    def __init__(self, kill: str, gpus: int = 0) -> None:
        error = type("RayError", (Exception,), {})
        super().__init__(asked=[], exceptions=types.SimpleNamespace(RayError=error), kill=kill, gpus=gpus)

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: object) -> None:
        self.asked.append("init")

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": float(self.gpus)}}, {"Alive": False}]

    def remote(self, function: Callable[..., Any]) -> Any:
        def options(**needs: Any) -> Any:
            self.asked.append(needs)
            return types.SimpleNamespace(remote=lambda *words: lambda: function(*words))

        return types.SimpleNamespace(options=options)

    def wait(self, tasks: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        assert num_returns == 1
        return tasks[-1:], tasks[:-1]

    def get(self, task: Callable[[], Outcome]) -> Outcome:
        outcome = task()
        if self.kill in outcome.name:
            raise self.exceptions.RayError("the worker died")
        return outcome


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """Ray whose worker of the run "lid" dies."""
    fake = FakeRay("lid")
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]
    return fake


def test_runs_go_through_ray_where_it_is_installed(tmp_path: Path, data: Path, fake_ray: FakeRay) -> None:
    """Each run asks for its threads; a dead worker is a failed run of exit code 3, and the others are reported."""
    runs = plan(written(tmp_path, f'{HEAD}data = ["dataset:{data}/box", "dataset:{data}/lid"]\n'), STEPS)
    found = {one.name: one for one in sweep(runs, tmp_path / "runs", ray=True)}
    lid, box = (found[f"{name}-training.tiny_method-test"] for name in ("lid", "box"))
    assert (lid.state, lid.exit_code, box.state) == ("failed", 3, "done")
    assert "the worker died" in lid.error
    assert fake_ray.asked == ["init", *2 * [{"max_retries": 0, "num_cpus": 1}]]
    assert len(json.loads((tmp_path / "runs" / "sweep.json").read_text())) == 2


@pytest.mark.parametrize(
    ("gpus", "loop", "needs"),
    [
        (0, {"threads": 2, "devices": 2}, {"num_cpus": 4}),
        (0, {"threads": 0}, {"num_cpus": 8}),  # torch takes all cores of a machine, so one run at a time
        (0, {"threads": 64}, {"num_cpus": 8}),
        (2, {"accelerator": "auto", "devices": 2}, {"num_gpus": 2, "num_cpus": 2}),
        (2, {"accelerator": "cpu", "threads": 3}, {"num_cpus": 3}),
    ],
)
def test_what_a_run_asks_of_a_cluster(tmp_path: Path, gpus: int, loop: dict[str, Any], needs: dict[str, int]) -> None:
    """GPUs where there are any and the recipe may use them, else cores."""
    text = f'{HEAD}data = "x"\n[run.recipe.data]\nbatch = 4\n'
    (one,) = plan(written(tmp_path, text), [("test", {"loop": {"devices": 1, **loop}})])
    assert module._needs(FakeRay("", gpus), one.recipe) == needs


def test_the_table_has_a_line_a_run_and_the_errors_below() -> None:
    """Columns are aligned; a failed run's error comes after the table."""
    done = Outcome("box", "m", "p", "x", "done", 120, 3.0, 0.5)
    text = table([done, Outcome("long-name", "m", "p", "y", "failed", exit_code=2, error="ConfigError: no data")])
    head, first, second, below = text.splitlines()
    assert head.split() == ["run", "state", "steps", "minutes", "loss"]
    assert first.index("done") == second.index("failed") == head.index("state")
    assert below == "long-name: ConfigError: no data"
