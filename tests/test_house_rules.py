# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that no linter knows: sizes, names, imports, documentation. Offenders are listed by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("sdk", "training", "calibration", "csrc", "tests", "examples", "docs")
PYTHON = (".py", ".pyi")
NATIVE = (".hpp", ".cpp", ".cu")
TEXT = (*PYTHON, *NATIVE, ".md", ".toml", ".txt", ".json", ".html", ".svg", "")
FUNCTION_LINES = 60
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
BODY = re.compile(r"[A-Za-z_].*\{$|[A-Za-z_][^;#{]*\($")  # the first line of a C++ function at column 0
# Assembled from parts, so that this file does not offend itself.
HOMES = r"(?<![\w.])/(?:work|root|home/(?!me/)\w+)/"
FORBIDDEN_TEXT = re.compile("|".join([HOMES, "py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npm"]))


def files(*suffixes: str) -> Iterator[Path]:
    """Source files of all rooms and of the top level with one of these suffixes."""
    top = (path for path in ROOT.iterdir() if path.is_file())
    rooms = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    for path in (*top, *rooms):
        if path.suffix in suffixes and "__pycache__" not in path.parts:
            yield path


def name(path: Path) -> str:
    """Path as a person writes it."""
    return path.relative_to(ROOT).as_posix()


def line_limit(path: Path) -> int:
    """How long a file may be."""
    if path.suffix in NATIVE:
        return 350
    room = path.relative_to(ROOT).parts[0]
    if room == "examples" and path.name[0].isdigit():
        return 60
    return 500 if room == "tests" else 400


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def native_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(first line, lines) of every function body of a C++ file, by clang-format's indentation."""
    start, head = 0, ""
    for number, line in enumerate(lines_of(path), 1):
        if BODY.match(line) and not re.match(r"(namespace|struct|enum|class)\b", line):
            start, head = number, line
        elif line == "}" and start:
            yield head, number - start + 1
            start = 0


def test_files_stay_small() -> None:
    """No source file is longer than the limit of its room."""
    too_long = {name(p): len(lines_of(p)) for p in files(*PYTHON, *NATIVE) if len(lines_of(p)) > line_limit(p)}
    assert too_long == {}, "split these by concept"


def test_functions_stay_small() -> None:
    """No function, Python or C++, is longer than 60 lines."""
    found = [(name(p), *f) for p in files(".py") for f in functions(p)]
    found += [(name(p), *f) for p in files(*NATIVE) for f in native_functions(p)]
    assert len(found) > 100, "the search itself must find functions"
    assert [f for f in found if f[2] > FUNCTION_LINES] == []


def test_no_file_has_a_vague_name() -> None:
    """A file is named for its concept; utils, helpers, common, misc and manager say nothing."""
    assert [name(p) for p in files(*PYTHON, *NATIVE) if VAGUE & set(re.split(r"[_.]", p.name))] == []


def test_every_source_file_states_its_licence() -> None:
    """The first line of each source file is its SPDX identifier."""
    spdx = re.compile(r"(#|//) SPDX-License-Identifier: Apache-2\.0")
    assert [name(p) for p in files(*PYTHON, *NATIVE) if not spdx.fullmatch((lines_of(p) or [""])[0])] == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    """No file depends on the place where it was written: no absolute path of a home, no package index."""
    found = {name(p): FORBIDDEN_TEXT.findall(p.read_text(encoding="utf-8")) for p in files(*TEXT)}
    assert {file: hits for file, hits in found.items() if hits} == {}


def test_every_test_states_its_guarantee() -> None:
    """Each test function has a docstring."""
    silent = []
    for path in files(".py"):
        if path.name.startswith("test_"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            tests = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))
            silent += [f"{name(path)}:{n.name}" for n in tests if not ast.get_docstring(n)]
    assert silent == []


def public_definitions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of those classes."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            for member in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield member


@pytest.mark.parametrize("room", ["sdk", "calibration"])
def test_public_names_are_documented(room: str) -> None:
    """Every module, public class, function and method has a docstring."""
    silent = []
    for path in (ROOT / room).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(name(path))
        silent += [f"{name(path)}:{n.name}" for n in public_definitions(path) if not ast.get_docstring(n)]
    assert silent == []


def run_python(program: str) -> str:
    """Output of a program in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("rasant", ["torch", "lightning_fabric", "rasant_training", "rasant_calibration", "scipy", "sklearn"]),
        ("rasant_calibration", ["torch", "lightning_fabric", "rasant_training", "scipy", "sklearn"]),
        ("rasant_training", ["rasant_calibration", "scipy", "sklearn"]),
    ],
)
def test_every_module_imports_without_what_its_room_may_not_know(package: str, absent: list[str]) -> None:
    """All modules of a room import on a machine where the forbidden packages do not exist."""
    program = (
        "import sys, pkgutil, importlib\n"
        f"for name in {absent}: sys.modules[name] = None\n"
        f"package = importlib.import_module({package!r})\n"
        f"found = [m.name for m in pkgutil.walk_packages(package.__path__, {package + '.'!r})]\n"
        "for module in found: importlib.import_module(module)\n"
        "print(len(found))"
    )
    assert int(run_python(program)) > 0


def imported_modules(path: Path) -> Iterator[str]:
    """Every module, with the names taken from it, that a Python file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_operations_touch_the_native_module() -> None:
    """rasant._native is imported by rasant.ops and by nothing else in the rooms."""
    users = [
        name(path)
        for room in ("sdk", "training", "calibration")
        for path in (ROOT / room).rglob("*.py")
        if any(module.startswith("rasant._native") for module in imported_modules(path))
    ]
    assert [u for u in users if not u.startswith("sdk/rasant/ops/")] == []


def test_the_other_rooms_use_public_names_of_the_runtime() -> None:
    """Training and calibration import nothing of rasant whose name starts with an underscore."""
    private = [
        f"{name(path)}: {module}"
        for room in ("training", "calibration", "examples")
        for path in (ROOT / room).rglob("*.py")
        for module in imported_modules(path)
        if module.split(".")[0] == "rasant" and any(part.startswith("_") for part in module.split(".")[1:])
    ]
    assert private == []


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("core", {"core"}),
        ("ops", {"core", "ops"}),
        ("bindings", {"core", "ops", "bindings"}),
        ("emu", {"core", "emu", "bindings"}),
    ],
)
def test_native_includes_point_inwards(folder: str, allowed: set[str]) -> None:
    """csrc/core knows core, csrc/ops knows core and ops, nobody but itself the emulator, and only bindings Python."""
    for path in files(*NATIVE):
        if path.parent.name != folder:
            continue
        for include in re.findall(r'#include [<"]([^>"]+)[>"]', path.read_text(encoding="utf-8")):
            head = include.split("/")[0]
            assert head in allowed or head not in {"core", "ops", "bindings", "emu"}, f"{name(path)} includes {include}"
            assert folder == "bindings" or head not in {"pybind11", "Python.h"}, f"{name(path)} includes {include}"


# Modules of distributions that a declared dependency cannot be without.
BROUGHT = {"google": "onnx", "markupsafe": "jinja2", "typing_extensions": "pydantic"}


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def distributions(requirements: list[str]) -> set[str]:
    """Names of requirements, without versions; markers of old Pythons are left out."""
    return {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements if "python_version" not in requirement}


def test_every_direct_dependency_is_pinned_for_development() -> None:
    """constraints.txt has an exact version of each dependency that pyproject.toml names."""
    asked = [*project()["dependencies"], *(r for extra in project()["optional-dependencies"].values() for r in extra)]
    pins = {line.split("==")[0] for line in lines_of(ROOT / "constraints.txt") if "==" in line and line[0] != "#"}
    assert sorted(distributions(asked) - pins) == []


@pytest.mark.parametrize(
    ("folder", "extras"), [("sdk", []), ("calibration", ["calibration"]), ("training", ["training"])]
)
def test_a_room_imports_what_it_declares(folder: str, extras: list[str]) -> None:
    """Each third-party module that a room imports is a declared dependency of that room, and not somebody else's."""
    declared = [*project()["dependencies"], *(r for extra in extras for r in project()["optional-dependencies"][extra])]
    named = {"opencv-python-headless": "cv2"}
    allowed = {named.get(d, d.replace("-", "_")) for d in distributions(declared)} | set(sys.stdlib_module_names)
    allowed |= {"rasant", "rasant_training", "rasant_calibration", "tomli", *BROUGHT}
    imported = {(m.split(".")[0], name(p)) for p in (ROOT / folder).rglob("*.py") for m in imported_modules(p)}
    assert sorted(entry for entry in imported if entry[0] not in allowed) == []


def test_every_dependency_of_the_runtime_is_used() -> None:
    """Nothing is installed on a station without a module that imports it."""
    imported = {m.split(".")[0] for p in (ROOT / "sdk").rglob("*.py") for m in imported_modules(p)}
    imported |= {"onnxruntime"}  # by importlib, so that a missing one is a probe's answer
    named = {"opencv-python-headless": "cv2"}
    wanted = {named.get(d, d.replace("-", "_")) for d in distributions(project()["dependencies"])}
    assert sorted(wanted - imported) == []
