# SPDX-License-Identifier: Apache-2.0
"""What the code uses of TensorRT is in the genuine Python bindings of the versions that JetPack ships, and of 11.

The bindings are small wheels; the libraries below them need a vendor's index, so a C compiler makes stand-ins that
return null. That is enough to import, to derive classes, and to see how a failing library reaches Python. The wheels
are fetched once, into `build/tensorrt-bindings`.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engines.fake_tensorrt import VERSIONS, fake_tensorrt
from rasant.engines import tensorrt
from rasant.engines.tensorrt.api import ALL, SOME

WHEELS = Path(__file__).parents[2] / "build" / "tensorrt-bindings"
DISTRIBUTIONS = {
    "8.6.1": "tensorrt-bindings", "10.3.0": "tensorrt-cu12-bindings", "10.16.1.11": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}  # fmt: skip
# Which version has what of SOME; the table of docs/guide/tensorrt.md.
HAS = {
    "BuilderFlag.FP16": "8.6.1 10.3.0 10.16.1.11",
    "BuilderFlag.INT8": "8.6.1 10.3.0 10.16.1.11",
    "BuilderFlag.STRICT_NANS": "10.16.1.11 11.4.0.106",
    "IBuilderConfig.progress_monitor": "10.3.0 10.16.1.11 11.4.0.106",
    "IProgressMonitor.phase_finish": "10.3.0 10.16.1.11 11.4.0.106",
    "IProgressMonitor.phase_start": "10.3.0 10.16.1.11 11.4.0.106",
    "IProgressMonitor.step_complete": "10.3.0 10.16.1.11 11.4.0.106",
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": "8.6.1 10.3.0 10.16.1.11",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": "10.3.0 10.16.1.11 11.4.0.106",
    "ParserError.node_name": "10.3.0 10.16.1.11 11.4.0.106",
    "ParserError.node_operator": "10.3.0 10.16.1.11 11.4.0.106",
}
STUBS = r"""
void* createInferBuilder_INTERNAL(void* a, int b) { return 0; }
void* createInferRuntime_INTERNAL(void* a, int b) { return 0; }
void* createInferRefitter_INTERNAL(void* a, void* b, int c) { return 0; }
void* createNvOnnxParser_INTERNAL(void* a, void* b, int c) { return 0; }
void* createNvOnnxParserRefitter_INTERNAL(void* a, void* b, int c) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
void* getBuilderPluginRegistry(int a) { return 0; }
void* getPluginRegistry(void) { return 0; }
int getInferLibVersion(void) { return 0; }
_Bool initLibNvInferPlugins(void* a, const char* b) { return 0; }
void* _ZN11nvuffparser15createUffParserEv(void) { return 0; }
void _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi(void* a) {}
void* _ZN14nvcaffeparser117createCaffeParserEv(void) { return 0; }
void _ZN14nvcaffeparser123shutdownProtobufLibraryEv(void) {}
"""
PROBE = r"""
import ctypes, json, sys
bindings, *libraries = sys.argv[1:]
for library in libraries:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
sys.path.insert(0, bindings)
import tensorrt_bindings as trt
from rasant.engines.tensorrt import api, build, run
from rasant.errors import EngineError
api.import_tensorrt(trt)
journal = api.Journal()
logger = journal.logger(trt)
logger.log(trt.ILogger.Severity.ERROR, "of the library")
monitor, timer = build._monitor(trt, build._Report(None)), run._timer(trt)
timer.report_layer_time("conv", 0.5)
said = []
for make in (trt.Builder, trt.Runtime):
    try:
        api.attempt("it failed", journal, lambda: make(logger))
    except EngineError as error:
        said.append(str(error))
print(json.dumps({
    "version": trt.__version__, "errors": list(journal.errors) + list(journal.tail), "said": said,
    "monitor": monitor is not None, "goes_on": monitor is None or monitor.step_complete("phase", 0),
    "spent": timer.spent, "flags": api.network_flags(trt), "strong": api.strongly_typed(trt),
    "api": {name: dir(getattr(trt, name)) for name in dir(trt) if isinstance(getattr(trt, name), type)},
}))
"""


def fetch(version: str) -> Path:
    """The folder of the unpacked bindings of a version; skips where they cannot be had for this Python."""
    name = DISTRIBUTIONS[version]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    pattern = f"{name.replace('-', '_')}-{version}-{python}-*.whl"
    if not list(WHEELS.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", WHEELS]
        done = subprocess.run([*command, f"{name}=={version}"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the bindings of {version} cannot be had for {python}: {done.stderr.strip()[-200:]}")
    wheel = next(iter(WHEELS.glob(pattern)))
    folder = WHEELS / wheel.stem
    if not folder.is_dir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Stand-ins of TensorRT's libraries for a major version."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make stand-ins of TensorRT's libraries")
    folder = tmp_path_factory.mktemp("stubs")
    (folder / "stubs.c").write_text(STUBS)

    def make(major: str) -> list[Path]:
        found = []
        for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers"):
            library = folder / f"lib{name}.so.{major}"
            if not library.exists():
                soname = f"-Wl,-soname,{library.name}"
                subprocess.run(
                    [compiler, "-shared", "-fPIC", "-w", "-o", library, soname, folder / "stubs.c"], check=True
                )
            found.append(library)
        return found

    return make


@pytest.fixture(scope="module", params=VERSIONS)
def genuine(request: pytest.FixtureRequest, libraries: Any) -> dict[str, Any]:
    """What one version's bindings are like, told by a process of their own."""
    version = request.param
    command = [sys.executable, "-c", PROBE, fetch(version), *libraries(version.split(".")[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {"asked": version, **json.loads(done.stdout)}


def test_the_bindings_have_what_is_used(genuine: dict[str, Any]) -> None:
    """Everything of ALL is there, and of SOME exactly what the table says; the import check of the code agrees."""
    version, api = genuine["asked"], genuine["api"]
    assert genuine["version"] in (version, version.rpartition(".")[0])
    missing = [f"{kind}.{name}" for kind, names in ALL.items() for name in names if name not in api.get(kind, ())]
    assert missing == []
    there = {f"{kind}.{name}" for kind, names in SOME.items() for name in names if name in api.get(kind, ())}
    assert there == {name for name, versions in HAS.items() if version in versions.split()}
    assert set(HAS) == {f"{kind}.{name}" for kind, names in SOME.items() for name in names}


def test_classes_can_be_derived_from_the_bindings(genuine: dict[str, Any]) -> None:
    """Logger, progress monitor and layer timer are made of the genuine base classes and work."""
    assert genuine["errors"] == ["ERROR: of the library"]
    assert genuine["spent"] == {"conv": 0.5}
    assert genuine["goes_on"] is True
    old = genuine["asked"] == "8.6.1"
    assert (genuine["monitor"], genuine["strong"]) == (not old, not old)
    assert genuine["flags"] == 1 if old else genuine["flags"] in (0b01, 0b10)


def test_a_null_pointer_of_the_library_is_an_engine_error(genuine: dict[str, Any]) -> None:
    """The bindings raise TypeError where a library gives no builder or runtime; the caller sees EngineError."""
    assert len(genuine["said"]) == 2
    assert all("returned nullptr" in text for text in genuine["said"])


def test_the_stand_in_offers_nothing_that_the_version_lacks(genuine: dict[str, Any]) -> None:
    """So a test that passes with the stand-in of a version uses nothing that the version has not."""
    fake, api = fake_tensorrt(genuine["asked"]), genuine["api"]
    kinds = {name: kind for name, kind in vars(fake).items() if isinstance(kind, type)}
    assert set(kinds) <= set(api)
    own = {"trt", "build_s"}  # what the stand-in keeps for itself
    for name, kind in kinds.items():
        public = {attribute for attribute in dir(kind) if not attribute.startswith("_")} - own
        assert set(getattr(kind, "__members__", public)) <= set(api[name]), name
    assert set(kinds) >= set(ALL)


# How a variable is called that holds an object of a class.
HOLDERS = {
    "builder": "Builder", "config": "IBuilderConfig", "parser": "OnnxParser", "refusal": "ParserError",
    "measured": "ITimingCache", "kept": "ITimingCache", "runtime": "Runtime", "_runtime": "Runtime",
    "plan": "ICudaEngine", "_plan": "ICudaEngine", "context": "IExecutionContext", "flags": "BuilderFlag",
    "known": "NetworkDefinitionCreationFlag",
}  # fmt: skip


def sources() -> list[ast.Module]:
    folder = Path(tensorrt.__file__).parent
    return [ast.parse((folder / f"{name}.py").read_text()) for name in ("api", "build", "run")]


def test_the_tables_are_what_the_source_uses() -> None:
    """No attribute of TensorRT is used that the tables lack, and the tables name nothing that is not used."""
    allowed = {(kind, name) for table in (ALL, SOME) for kind, names in table.items() for name in names}
    kinds = {kind for kind, _ in allowed} | set(ALL)
    used: set[tuple[str, str]] = set()
    words: set[str] = set()
    for node in (node for tree in sources() for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute):
            words.add(node.attr)
            holder = getattr(node.value, "attr", getattr(node.value, "id", ""))
            if holder == "trt" and not node.attr.startswith("__"):
                used.add(("trt", node.attr))
            elif holder in HOLDERS or holder in kinds:
                used.add((HOLDERS.get(holder, holder), node.attr))
        elif isinstance(node, ast.FunctionDef):
            words.add(node.name)
    assert {name for kind, name in used if kind == "trt"} <= kinds
    assert {pair for pair in used if pair[0] != "trt" and pair[1] != "__init__"} <= allowed
    assert {name for _, name in allowed} <= words
    assert len(used) > 30, "the search itself must find uses"
