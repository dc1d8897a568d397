# SPDX-License-Identifier: Apache-2.0
"""The Triton model repository, read with Triton's own published schema."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

import rasant
from rasant.bundle import Bundle, read_bundle
from rasant.bundle.triton import model_config, write_triton_repository
from rasant.errors import ConfigError


@pytest.fixture(scope="module")
def schema() -> Any:
    """`model_config_pb2` of tritonclient, without the network packages that the client itself needs."""
    try:
        files = importlib.metadata.files("tritonclient") or ()
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tritonclient, which carries the schema, is not installed; it is part of rasant[dev]")
    path = next(file for file in files if file.match("tritonclient/grpc/model_config_pb2.py")).locate()
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


def parse(schema: Any, text: str) -> Any:
    return text_format.Parse(text, schema.ModelConfig())


def test_the_repository_satisfies_the_published_schema(schema: Any, bundle: Bundle, tmp_path: Path) -> None:
    """Every field is one of model_config.proto, and tensors are those that ONNX Runtime finds in the graph."""
    (model,) = write_triton_repository(bundle, tmp_path / "models")
    config = parse(schema, (model / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.name, config.backend, config.max_batch_size) == (model.name, "onnxruntime", 0)
    session = onnxruntime.InferenceSession(model / "1" / config.default_model_filename)
    for tensors, arguments in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [(t.name, list(t.dims)) for t in tensors] == [(a.name, a.shape) for a in arguments]
        assert {t.data_type for t in tensors} == {schema.TYPE_FP32}
    (warmup,) = config.model_warmup
    assert warmup.batch_size == 1
    assert {name: list(value.dims) for name, value in warmup.inputs.items()} == {
        argument.name: argument.shape for argument in session.get_inputs()
    }
    assert config.parameters["rasant.bundle_sha256"].string_value == bundle.sha256
    assert float(config.parameters["rasant.threshold"].string_value) == bundle.manifest.decision.threshold
    assert (model / "1" / "model.onnx").read_bytes() == bundle.graph()


def test_only_what_a_server_expects_is_written(bundle: Bundle, tmp_path: Path) -> None:
    """No temporary folder is left, a server of another user may read all of it, and nothing is overwritten."""
    write_triton_repository(bundle, tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert found == {"plate", "plate/config.pbtxt", "plate/1", "plate/1/model.onnx"}
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="is there already"):
        write_triton_repository(bundle, tmp_path)


def test_a_write_that_fails_leaves_no_model(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the server sees nothing of a half-written model."""

    def fail(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write_triton_repository(bundle, tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_name_survives_the_text_format(schema: Any, bundle: Bundle, name: str) -> None:
    """Quotes, line ends, control characters and letters of any script in a bundle's name are read back as they were."""
    config = parse(schema, model_config(dataclasses.replace(bundle, name=name), "detector", "plate"))
    assert config.parameters["rasant.bundle"].string_value == name


def test_the_example_can_be_served(schema: Any, tmp_path: Path) -> None:
    """The bundle in examples/ becomes a repository of one model."""
    example = Path(__file__).parents[2] / "examples" / "casting.rasant"
    (model,) = write_triton_repository(rasant.read_bundle(example), tmp_path)
    assert [list(tensor.dims) for tensor in parse(schema, (model / "config.pbtxt").read_text()).input] == [
        [1, 3, 256, 256], [1, 1, 256, 256],
    ]  # fmt: skip
