# SPDX-License-Identifier: Apache-2.0
"""Every operation of the list in CMakeLists.txt is complete, and its stub says what the built module has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from rasant import _native

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "sdk" / "rasant" / "_native.pyi"
WRAPPERS = ROOT / "sdk" / "rasant" / "ops"


def read(path: str) -> str:
    """Text of a file of this repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def operations() -> list[str]:
    """The names in RASANT_OPS."""
    found = re.search(r"set\(RASANT_OPS ([\w\s]+?)\)", read("CMakeLists.txt"))
    assert found is not None, "CMakeLists.txt has no list RASANT_OPS"
    return found.group(1).split()


def stub_functions() -> dict[str, list[str]]:
    """Function name -> parameter names, from the stub."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {n.name: [a.arg for a in n.args.args] for n in tree.body if isinstance(n, ast.FunctionDef)}


def bound_functions(op: str) -> list[str]:
    """What bind_OP.cpp registers; nothing where it is missing, which another test says."""
    path = ROOT / f"csrc/bindings/bind_{op}.cpp"
    return re.findall(r'm\.def\(\s*"(\w+)"', path.read_text(encoding="utf-8")) if path.is_file() else []


def split_parameters(text: str) -> list[str]:
    """Cuts a parameter list at its outer commas."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([<{") - (character in ")]>}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def native_parameters(op: str, function: str) -> list[str]:
    """Parameter names of the C++ function or lambda that `function` is bound to."""
    source = re.sub(r"//[^\n]*", "", read(f"csrc/bindings/bind_{op}.cpp"))
    bound = re.search(rf'm\.def\(\s*"{function}",\s*(?:&(?:rasant::)?(\w+)|\[\])', source)
    assert bound is not None
    if bound[1]:
        bound = re.search(rf"^[\w:<>, ]+\b{bound[1]}(?=\()", source, re.MULTILINE)
        assert bound is not None
    inside, _, _ = source[bound.end() + 1 :].partition(") {")
    return [re.findall(r"\w+", re.sub(r"=.*", "", part))[-1] for part in split_parameters(inside)]


def wrapper_of(function: str) -> tuple[Path, ast.FunctionDef]:
    """The Python function that calls `_native.function`."""
    for path in sorted(WRAPPERS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and re.search(rf"\b_?native\.{function}\(", ast.unparse(node)):
                return path, node
    raise AssertionError(f"no file of rasant.ops calls native.{function}")


@pytest.mark.parametrize("op", operations())
def test_an_operation_has_all_its_parts(op: str) -> None:
    """Header, CPU source, binding, wrapper, numpy twin and tests exist under the operation's name."""
    parts = [
        f"csrc/ops/{op}.hpp", f"csrc/ops/{op}_cpu.cpp", f"csrc/bindings/bind_{op}.cpp", f"sdk/rasant/ops/{op}.py",
        f"tests/reference/{op}.py", f"tests/ops/test_{op}.py",
    ]  # fmt: skip
    assert [part for part in parts if not (ROOT / part).is_file()] == []


@pytest.mark.parametrize("op", operations())
def test_an_operation_is_tested_against_its_twin(op: str) -> None:
    """The tests use the numpy twin and property-based inputs."""
    text = read(f"tests/ops/test_{op}.py")
    assert re.search(rf"\breference\b.*\b{op}\b", text), "import the twin: from reference.x import ..."
    assert "hypothesis" in text


@pytest.mark.parametrize("op", operations())
def test_an_operation_writes_into_the_callers_buffer(op: str) -> None:
    """Where the native function fills an `out` buffer, its wrapper takes one too, and lets the device be chosen."""
    for function in bound_functions(op):
        if any(parameter.startswith("out") for parameter in stub_functions()[function]):
            path, wrapper = wrapper_of(function)
            names = [a.arg for a in (*wrapper.args.args, *wrapper.args.kwonlyargs)]
            assert any(n.startswith("out") for n in names), f"{path.name}:{wrapper.name} has no out="
            assert "device" in names, f"{path.name}:{wrapper.name} has no device="


@pytest.mark.parametrize("op", operations())
def test_an_operation_stands_in_the_benchmark(op: str) -> None:
    """rasant.bench has a case that names the operation's wrapper module."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sdk/rasant/bench").glob("*.py"))
    assert re.search(rf"rasant\.ops\.{op}\b|from rasant\.ops import [^\n]*\b{op}\b", text)


@pytest.mark.parametrize("op", operations())
def test_a_binding_releases_the_interpreter(op: str) -> None:
    """Each binding file lets other Python threads run while the operation works."""
    assert "gil_scoped_release" in read(f"csrc/bindings/bind_{op}.cpp")


def test_the_stub_lists_what_the_module_has() -> None:
    """_native.pyi and the built module have the same functions."""
    built = {n for n in dir(_native) if not n.startswith("_") and callable(getattr(_native, n))}
    assert set(stub_functions()) | {"DeviceArray", "DeviceGraph", "Event", "Stream"} == built


@pytest.mark.parametrize(("op", "function"), [(op, f) for op in operations() for f in bound_functions(op)])
def test_the_stub_names_the_parameters_of_the_source(op: str, function: str) -> None:
    """Parameters have one name in the stub, in C++ and, where pybind11 knows it, in the built module."""
    stub = stub_functions()[function]
    assert stub == native_parameters(op, function)
    signature = (getattr(_native, function).__doc__ or "").splitlines()[0]
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    built = [part.split(":")[0] for part in split_parameters(inside)]
    assert len(built) == len(stub)
    assert all(got in (want, f"arg{i}") for i, (got, want) in enumerate(zip(built, stub, strict=True)))
