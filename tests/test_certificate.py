# SPDX-License-Identifier: Apache-2.0
"""A bundle proves itself where it is loaded: golden frames through preprocessing, network and score, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rasant
from golden_bundle import rewrite, write_golden_bundle
from rasant.bundle.conversion_schema import Tolerance
from rasant.certificate import check_certificate, measure_agreement
from rasant.engines import open_engine
from rasant.errors import BundleError, CertificateError, IntegrityError
from rasant_calibration.certify import certify_engine
from stub_engine import StubEngine
from tiny_bundle import plate_frame, tiny_model, write_tiny_bundle

REAL = ["onnxruntime", "openvino"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny bundle with two golden frames."""
    return write_golden_bundle(tmp_path / "golden.rasant")


@pytest.mark.parametrize("engine", REAL)
def test_a_bundle_that_is_what_it_was_is_loaded_and_says_so(bundle: Path, engine: str) -> None:
    """Preprocessing is bit-equal to the golden inputs, the map within rounding; the inspector then works."""
    with rasant.load(bundle, engine, threads=1) as inspector:
        assert inspector.info.proof.startswith("not certified, yet within 0.001 of the golden maps")
        assert inspector(plate_frame("dent")).verdict is rasant.Verdict.REJECT
        assert inspector.status.frames == 1
    packed = rasant.read_bundle(bundle)
    with open_engine(engine, packed.graph(), threads=1) as opened:
        found = measure_agreement(packed, opened)
        assert found is not None
        assert (found.frames, found.input_max, found.flips) == (2, 0.0, 0)
        assert found.map_max < 1e-4
        assert found.map_mean <= found.map_max
        assert found.float_map_max is None


@pytest.mark.parametrize("engine", REAL)
def test_weights_that_are_one_percent_off_are_refused_with_the_difference(
    bundle: Path, tmp_path: Path, engine: str
) -> None:
    """All hashes fit, and yet it is another network: the message names the measured difference and what is allowed."""
    wrong = rewrite(bundle, tmp_path / "wrong.rasant", weights=lambda w: w * 1.01)
    told = r"maps differ from the golden ones by 0\.\d+ .*at most 0\.001"
    with pytest.raises(CertificateError, match=told) as caught:
        rasant.load(wrong, engine, threads=1)
    assert caught.value.code == "E_CERTIFICATE"
    rasant.load(wrong, engine, threads=1, prove=False).close()


@pytest.mark.parametrize(
    "change",
    [{"color_scale": 1.01 / 255}, {"channel_order": "bgr"}, {"depth_rule": "das3d"}, {"interpolation": "nearest"}],
)
def test_changed_preprocessing_is_refused_with_the_difference(
    bundle: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    """A constant of the manifest that is not the one of the training shows in the network's inputs."""
    preprocess = rasant.read_bundle(bundle).manifest.preprocess.model_copy(update=change)
    wrong = rewrite(bundle, tmp_path / "wrong.rasant", preprocess=preprocess)
    with pytest.raises(CertificateError, match=r"inputs that differ from the golden ones by [\d.e-]+, at most 0\.0001"):
        rasant.load(wrong, "onnxruntime", threads=1)


def test_the_tolerance_is_that_of_the_certificate(bundle: Path, tmp_path: Path) -> None:
    """A certificate narrows what is allowed, on its own engine; another engine still has the general limit."""
    packed = rasant.read_bundle(bundle)
    with open_engine("onnxruntime", packed.graph(), threads=1) as engine:
        made = certify_engine(packed, engine)
    assert made.tolerance.map == 2e-4
    strict = made.model_copy(update={"tolerance": Tolerance(input=1e-4, map=1e-6)})
    shifted = rewrite(bundle, tmp_path / "a", weights=lambda w: w * (1 + 2e-5), certificates=(strict,))
    with pytest.raises(CertificateError, match="at most 1e-06"):
        rasant.load(shifted, "onnxruntime", threads=1)
    with rasant.load(shifted, "openvino", threads=1) as inspector:
        assert inspector.info.proof.startswith("not certified")
    exact = rewrite(bundle, tmp_path / "b", certificates=(strict,))
    with rasant.load(exact, "onnxruntime", threads=1) as inspector:
        assert inspector.info.proof.startswith("certified within 1e-06")


def test_auto_takes_the_certified_engine(bundle: Path, tmp_path: Path) -> None:
    """Without a certificate ONNX Runtime; with one for OpenVINO, OpenVINO; the choice is explained."""
    with rasant.load(bundle, threads=1) as inspector:
        assert inspector.info.name == "onnxruntime"
        assert "certifies no engine" in inspector.info.choice
    packed = rasant.read_bundle(bundle)
    with open_engine("openvino", packed.graph(), threads=1) as engine:
        made = certify_engine(packed, engine)
    certified = rewrite(bundle, tmp_path / "certified.rasant", certificates=(made,))
    with rasant.load(certified, threads=1) as inspector:
        assert inspector.info.name == "openvino"
        assert "fastest of the certified" in inspector.info.choice


def test_an_engine_that_gives_nan_is_refused(bundle: Path) -> None:
    """What is not finite is no agreement, whatever the comparison makes of it."""
    packed = rasant.read_bundle(bundle)
    engine = StubEngine()
    engine.outputs["logits"][0, 1, 3, 3] = np.nan
    with pytest.raises(CertificateError, match="differ from the golden ones by inf"):
        check_certificate(packed, engine)


def test_a_bundle_without_golden_frames_says_that_nothing_is_proven(tmp_path: Path) -> None:
    """It is loaded, and the inspector can be asked."""
    with rasant.load(write_tiny_bundle(tmp_path / "plain.rasant"), threads=1) as inspector:
        assert "no golden frames" in inspector.info.proof


def test_golden_inputs_without_raw_frames_prove_the_network_alone(bundle: Path, tmp_path: Path) -> None:
    """As bundles had them before raw frames were kept."""
    packed = rasant.read_bundle(bundle)
    arrays = {name: array for name, array in packed.golden().items() if not name.startswith("frame.")}
    from rasant.bundle.manifest import Parity
    from rasant.bundle.tensors import write_tensors

    files = {**packed.files, "golden.safetensors": write_tensors(arrays)}
    manifest = packed.manifest.model_copy(update={"parity": Parity(golden="golden.safetensors")})
    rasant.write_bundle(tmp_path / "old.rasant", manifest, files)
    with open_engine("onnxruntime", tiny_model(), threads=1) as engine:
        found = measure_agreement(rasant.read_bundle(tmp_path / "old.rasant"), engine)
        assert found is not None and found.input_max is None and found.map_max == 0.0
    files["golden.safetensors"] = write_tensors({**arrays, "frame.color": packed.golden()["frame.color"]})
    with pytest.raises(IntegrityError, match="expected arrays"):
        rasant.write_bundle(tmp_path / "damaged.rasant", manifest, files)


def test_raw_frames_need_a_golden_file(tmp_path: Path) -> None:
    """A camera without pictures is refused when the bundle is written."""
    from rasant.bundle.manifest import GoldenFrames, Parity

    camera = GoldenFrames(depth_scale=1e-4, width=8, height=8, fx=1.0, fy=1.0, cx=0.0, cy=0.0)
    with pytest.raises(BundleError, match="no golden file"):
        write_tiny_bundle(tmp_path / "a", parity=Parity(frames=camera))
