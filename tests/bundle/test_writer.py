# SPDX-License-Identifier: Apache-2.0
"""Writing and reading a bundle: inverse, deterministic, atomic, and refused on writing if it would be on reading."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant.bundle import read_bundle, write_bundle
from rasant.bundle import writer as writer_module
from rasant.bundle.manifest import Decision, Parity, Postprocess
from rasant.bundle.tensors import write_tensors
from rasant.bundle.writer import list_files, write_atomically
from rasant.errors import BundleError, IntegrityError, ManifestError, ModelError, UnsafeBundle
from tiny_bundle import tiny_manifest, tiny_model, write_tiny_bundle


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Manifest and files come back as they were given; the hash is that of the manifest."""
    model = tiny_model()
    manifest = tiny_manifest(model)
    path = write_bundle(tmp_path / "a.rasant", manifest, {"detector.onnx": model, "README.md": b"# hello\n"})
    bundle = read_bundle(path)
    assert bundle.graph() == model
    assert bundle.files["README.md"] == b"# hello\n"
    assert bundle.manifest.files == list_files(bundle.files)
    assert bundle.manifest.model_copy(update={"files": manifest.files}) == manifest
    with zipfile.ZipFile(path) as archive:
        assert hashlib.sha256(archive.read("manifest.json")).hexdigest() == bundle.sha256
    assert bundle.name == "a.rasant"
    assert bundle.costs["detector"].multiply_adds > 0


def test_a_read_bundle_cannot_be_changed(tiny_bundle: Path) -> None:
    """Files and manifest are read-only after the checks."""
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(TypeError):
        bundle.files["detector.onnx"] = b""  # type: ignore[index]
    with pytest.raises(AttributeError):
        bundle.sha256 = ""  # type: ignore[misc]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither time, order of files, umask nor process change a byte."""
    model = tiny_model()
    first = write_bundle(tmp_path / "a", tiny_manifest(model), {"detector.onnx": model, "a.txt": b"1", "b.txt": b"2"})
    second = write_bundle(tmp_path / "b", tiny_manifest(model), {"b.txt": b"2", "a.txt": b"1", "detector.onnx": model})
    assert first.read_bytes() == second.read_bytes()
    code = "import pathlib, sys, tiny_bundle; tiny_bundle.write_tiny_bundle(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c")], check=True, env=environment, timeout=120)
    assert (tmp_path / "c").read_bytes() == write_tiny_bundle(tmp_path / "d").read_bytes()


def test_a_read_bundle_can_be_written_again(tiny_bundle: Path, tmp_path: Path) -> None:
    """A new decision changes the manifest, and the files stay: what `rasant calibrate threshold` does."""
    bundle = read_bundle(tiny_bundle)
    changed = bundle.manifest.model_copy(update={"decision": Decision(threshold=0.25, rule="test", n_good=5)})
    again = read_bundle(write_bundle(tmp_path / "again.rasant", changed, bundle.files))
    assert again.manifest.decision.threshold == 0.25
    assert dict(again.files) == dict(bundle.files)
    assert again.sha256 != bundle.sha256


def test_what_the_reader_would_refuse_is_not_written(tmp_path: Path) -> None:
    """A refused bundle leaves no file, and an old one untouched."""
    model = tiny_model()
    target = tmp_path / "a.rasant"
    target.write_bytes(b"old")
    good = tiny_manifest(model)
    with pytest.raises(ModelError):
        write_bundle(target, good, {"detector.onnx": model[:-10]})
    with pytest.raises(UnsafeBundle):
        write_bundle(target, good, {"detector.onnx": model, "../x.txt": b""})
    with pytest.raises(IntegrityError):
        write_bundle(target, good, {"detector.onnx": model, "x.py": b""})
    with pytest.raises(ManifestError):
        write_bundle(target, good.model_copy(update={"decision": Decision(threshold=2.0)}), {"detector.onnx": model})
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.rasant"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failed_write_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a lost one: the old bundle is still there, whole, and no temporary file stays."""
    target = tmp_path / "a.rasant"
    target.write_bytes(b"old")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module.os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.rasant"]


def test_a_bundle_that_was_packed_again_by_hand_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    """Unpacked and packed by a common zip program (deflated, other order, own time stamps) it is still a bundle."""
    target = tmp_path / "again.rasant"
    with zipfile.ZipFile(tiny_bundle) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            new.writestr(name, old.read(name))
    assert read_bundle(target).sha256 == read_bundle(tiny_bundle).sha256


def test_an_ignore_mask_is_read_at_network_size(tmp_path: Path) -> None:
    """Non-zero pixels of the PNG are the ignored ones."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:10] = 255
    mask[20, 20] = 1
    png = bytes(cv2.imencode(".png", mask)[1])
    options = {"postprocess": Postprocess(kernel=5, ignore_mask="ignore.png"), "files": {"ignore.png": png}}
    bundle = read_bundle(write_tiny_bundle(tmp_path / "a", **options))
    np.testing.assert_array_equal(bundle.ignore_mask(), mask > 0)
    assert read_bundle(write_tiny_bundle(tmp_path / "b")).ignore_mask() is None


@pytest.mark.parametrize("case", ["other size", "colour", "16 bit", "not a PNG", "cut short", "huge header"])
def test_a_mask_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    """Size and kind are read from the PNG's header before it is decoded."""
    images = {
        "other size": np.zeros((32, 64), np.uint8), "colour": np.zeros((64, 64, 3), np.uint8),
        "16 bit": np.zeros((64, 64), np.uint16),
    }  # fmt: skip
    png = bytes(cv2.imencode(".png", images.get(case, np.zeros((64, 64), np.uint8)))[1])
    if case == "not a PNG":
        png = bytes(cv2.imencode(".bmp", np.zeros((64, 64), np.uint8))[1])
    elif case == "cut short":
        png = png[:45]
    elif case == "huge header":
        png = png[:16] + (60_000).to_bytes(4, "big") * 2 + png[24:]
    options = {"postprocess": Postprocess(kernel=5, ignore_mask="ignore.png"), "files": {"ignore.png": png}}
    with pytest.raises(IntegrityError, match=r"ignore\.png: .*mask"):
        write_tiny_bundle(tmp_path / "a", **options)


def test_golden_arrays_are_read_back(tmp_path: Path) -> None:
    """Inputs and outputs of the network with a leading frame axis."""
    random = np.random.default_rng(0)
    shapes = {"color": (3, 64, 64), "depth": (1, 64, 64), "logits": (2, 64, 64), "residual": (2, 64, 64)}
    arrays = {name: random.random((2, *shape), np.float32) for name, shape in shapes.items()}
    options = {"parity": Parity(golden="golden.safetensors"), "files": {"golden.safetensors": write_tensors(arrays)}}
    golden = read_bundle(write_tiny_bundle(tmp_path / "a", **options)).golden()
    assert set(golden) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(golden[name], array)
    assert read_bundle(write_tiny_bundle(tmp_path / "b")).golden() == {}
    del arrays["logits"]
    options["files"] = {"golden.safetensors": write_tensors(arrays)}
    with pytest.raises(IntegrityError, match="expected arrays"):
        write_tiny_bundle(tmp_path / "c", **options)


def test_minimum_versions_are_asked_of_installed_packages(tmp_path: Path) -> None:
    """A newer package than the installed one is named; a package that is not installed does not matter."""
    write_tiny_bundle(tmp_path / "a", minimum_versions={"onnx": "1.0", "no-such-package": "9"})
    with pytest.raises(BundleError, match=r"needs onnx 999\.0 or newer"):
        write_tiny_bundle(tmp_path / "b", minimum_versions={"onnx": "999.0"})


@pytest.mark.parametrize("modalities", ["rgbd", "rgb", "depth"])
def test_bundles_of_every_modality_are_read(modalities: str, tmp_path: Path) -> None:
    """Colour only, depth only and both."""
    bundle = read_bundle(write_tiny_bundle(tmp_path / "a", modalities=modalities, size=(40, 56), threshold=None))
    assert bundle.manifest.decision.threshold is None
    assert [spec.name for spec in bundle.manifest.detector.inputs] == list(bundle.manifest.preprocess.input_channels)
