# SPDX-License-Identifier: Apache-2.0
"""The command: lists without importing, maps every error to an exit code, speaks JSON where asked."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points

import pytest
import typer
from typer.testing import CliRunner

from rasant import cli, errors

RUN = CliRunner()

# One command for each way to end.
OUTCOMES: dict[str, tuple[BaseException | None, int, str]] = {
    "fine": (None, 0, ""),
    "config": (errors.ConfigError("roi: wrong"), 2, "E_CONFIG"),
    "bundle": (errors.UnsafeBundle("zip slip"), 2, "E_UNSAFE"),
    "threshold": (errors.ThresholdError("run rasant calibrate threshold"), 2, "E_THRESHOLD"),
    "source": (errors.SourceError("no folder"), 2, "E_SOURCE"),
    "end": (errors.EndOfStream("over"), 2, "E_END"),
    "file": (PermissionError(13, "Permission denied"), 2, "E_FILE"),
    "engine": (errors.EngineUnavailable("no onnxruntime"), 3, "E_ENGINE_UNAVAILABLE"),
    "device": (errors.DeviceUnavailable("no CUDA"), 3, "E_DEVICE"),
    "unplugged": (errors.SourceDisconnected("gone"), 3, "E_DISCONNECTED"),
    "torch": (ModuleNotFoundError("No module named 'torch'", name="torch"), 3, "pip install 'rasant[training]'"),
    "fault": (ZeroDivisionError("division by zero"), 3, "E_INTERNAL"),
    "interrupt": (KeyboardInterrupt(), 130, ""),
    "rejects": (typer.Exit(1), 1, ""),
}


def command_for(name: str) -> EntryPoint:
    """An entry point of a command that ends as `OUTCOMES` says."""
    return EntryPoint(name, f"cli_outcomes:{name.replace('-', '_')}", cli.GROUP)


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rasant` with the commands of OUTCOMES instead of its own."""
    points = {name: command_for(name) for name in OUTCOMES}

    def found(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == cli.GROUP
        return [point for key, point in points.items() if name in (None, key)]

    def load(point: EntryPoint) -> object:
        def run(as_json: bool = typer.Option(False, "--json")) -> None:
            error = OUTCOMES[point.name][0]
            if error is not None:
                raise error

        return run

    monkeypatch.setattr(cli, "entry_points", found)
    monkeypatch.setattr(EntryPoint, "load", load)


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_end_has_its_exit_code(outcomes: None, name: str) -> None:
    """0 ok, 1 rejects, 2 usage or configuration, 3 environment; the code and the remedy are on stderr."""
    error, code, words = OUTCOMES[name]
    result = RUN.invoke(cli.app, [name])
    assert result.exit_code == code
    assert words in result.stderr and (str(error) in result.stderr or name in ("fine", "torch", "interrupt", "rejects"))
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["config", "device", "torch", "file"])
def test_errors_are_json_where_json_was_asked_for(outcomes: None, name: str) -> None:
    """The last line of stderr is one object with code and message; stdout stays clean."""
    result = RUN.invoke(cli.app, [name, "--json"])
    answer = json.loads(result.stderr.splitlines()[-1])
    assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message"}
    assert result.exit_code == OUTCOMES[name][1] and result.stdout == ""


def test_a_fault_of_ours_shows_its_traceback(outcomes: None) -> None:
    """What we did not foresee is not hidden."""
    result = RUN.invoke(cli.app, ["fault"])
    assert "Traceback" in result.stderr and "ZeroDivisionError" in result.stderr


def test_unknown_commands_and_options_are_usage_errors() -> None:
    """Exit code 2, and the name that was not understood."""
    for arguments, words in ((["inspekt"], "inspekt"), (["doctor", "--jsn"], "--jsn"), (["inspect"], "bundle")):
        result = RUN.invoke(cli.app, arguments)
        assert result.exit_code == 2 and words in result.stderr.lower()


def test_the_list_names_every_command_and_imports_none() -> None:
    """`rasant --help` shows a summary of each installed command without importing a room or a runtime."""
    code = (
        "import sys\nfrom rasant.cli import app\n"
        "try: app(['--help'], prog_name='rasant')\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'onnxruntime', 'cv2', 'rasant_training', 'rasant_calibration', 'rasant.inspect_command'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    for point in entry_points(group=cli.GROUP):
        assert f" {point.name} " in ran.stdout
        assert point.name in cli.SUMMARIES, "give the new command its line in SUMMARIES"


@pytest.mark.parametrize("name", ["doctor", "inspect", "evaluate", "record", "synth", "bench", "train", "export"])
def test_every_help_shows_an_example(name: str) -> None:
    """`rasant NAME --help` ends well, shows an example and offers --json."""
    result = RUN.invoke(cli.app, [name, "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
    assert result.exit_code == 0, result.output
    assert f"Example: rasant {name}" in result.output and "--json" in result.output


def test_version() -> None:
    """`rasant --version` prints what is installed."""
    import rasant

    result = RUN.invoke(cli.app, ["--version"])
    assert result.exit_code == 0 and result.stdout == f"rasant {rasant.__version__}\n"


def test_no_command_prints_the_help() -> None:
    """Called alone, the command explains itself and fails as a usage error."""
    result = RUN.invoke(cli.app, [])
    assert result.exit_code == 2 and "inspect" in result.output
