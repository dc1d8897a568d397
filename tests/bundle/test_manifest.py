# SPDX-License-Identifier: Apache-2.0
"""The manifest's schema: strict, finite, exact about what is wrong, and the same bytes for the same content."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile_bundle import manifest_json
from rasant.bundle.manifest import Manifest, Preprocess, StandIn, check_threshold, dump_manifest, parse_manifest
from rasant.errors import ManifestError, ThresholdError
from tiny_bundle import tiny_manifest, tiny_model


def parsed(edit: Callable[[dict[str, Any]], object] = lambda manifest: None) -> Manifest:
    manifest = manifest_json()
    edit(manifest)
    return parse_manifest(json.dumps(manifest).encode())


def stand_in(**changes: object) -> dict[str, object]:
    """What is lost, as JSON has it."""
    counts = {"n_good": 9, "n_defective": 8, "n_unknown": 0, "escapes": 4, "escapes_of": 0, "false_rejects": 1}
    areas = {"i_auroc": 0.9, "i_auroc_of": 1.0, "i_auroc_change": [-0.2, 0.0], "false_rejects_of": 0}
    return {"of": "a" * 64, "data_sha256": "b" * 64, **counts, **areas, **changes}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (lambda m: m.update(plugin="x"), "plugin: "),
    "unknown nested key": (lambda m: m["decision"].update(treshold=0.5), "decision.treshold: "),
    "missing key": (lambda m: m.pop("method"), "method: Field required"),
    "future schema": (lambda m: m.update(schema_version=2), "schema_version: "),
    "text for a number": (lambda m: m["postprocess"].update(kernel="21"), "postprocess.kernel: .*'21'"),
    "float for an integer": (lambda m: m["postprocess"].update(kernel=21.5), "postprocess.kernel: "),
    "number for a text": (lambda m: m.update(licence=1), "licence: "),
    "even kernel": (lambda m: m["postprocess"].update(kernel=20), "postprocess: kernel must be odd"),
    "score range that shrinks": (lambda m: m["postprocess"].update(score_range=[1.0, 0.0]), "score_range must grow"),
    "negative age": (lambda m: m["validity"].update(max_age_ms=-1.0), "validity.max_age_ms: "),
    "ratio above one": (lambda m: m["validity"].update(min_valid_depth=1.1), "validity.min_valid_depth: "),
    "depth range that shrinks": (lambda m: m["validity"].update(depth_range_m=[2.0, 1.0]), "depth_range_m must grow"),
    "no exposure fits": (lambda m: m["validity"]["exposure"].update(min_mean=255.0), "min_mean must be below"),
    "time without zone": (lambda m: m.update(created="2026-01-01T00:00:00"), "created: "),
    "short hash": (lambda m: m["files"]["detector.onnx"].update(sha256="abc"), "files.detector.onnx.sha256: "),
    "upper-case hash": (lambda m: m["files"]["detector.onnx"].update(sha256="A" * 64), "files.detector.onnx.sha256: "),
    "negative size": (lambda m: m["files"]["detector.onnx"].update(size=-1), "files.detector.onnx.size: "),
    "no detector": (lambda m: m.update(graphs={"other": m["graphs"]["detector"]}), 'graphs: expected .* "detector"'),
    "graph of another file": (lambda m: m["graphs"]["detector"].update(file="x.onnx"), "detector.file: 'x.onnx'"),
    "mask that is not there": (lambda m: m["postprocess"].update(ignore_mask="m.png"), "postprocess.ignore_mask: "),
    "golden that is not there": (lambda m: m["parity"].update(golden="g.safetensors"), "parity.golden: "),
    "inputs of another modality": (lambda m: m["preprocess"].update(modalities="rgb"), "graphs.detector.inputs: "),
    "inputs of another size": (lambda m: m["preprocess"].update(size=[32, 32]), "graphs.detector.inputs: "),
    "no logits": (lambda m: m["graphs"]["detector"]["outputs"][0].update(name="map"), "graphs.detector.outputs: "),
    "zero side": (lambda m: m["graphs"]["detector"]["inputs"][0].update(shape=[1, 3, 0, 64]), "inputs.0.shape.2: "),
    "unknown rule": (lambda m: m["preprocess"].update(depth_rule="magic"), "preprocess.depth_rule: "),
    "height without surface": (lambda m: m["preprocess"].update(depth_rule="height_range"), "measures from a"),
    "depth limits that shrink": (lambda m: m["preprocess"].update(depth_low=1.0), "depth_low must be below"),
    "list for an object": (lambda m: m.update(camera=[]), "camera: "),
    "metric that is text": (lambda m: m.update(metrics={"i_auroc": "high"}), "metrics.i_auroc: "),
    "stand-in of both modalities": (lambda m: m.update(stand_in=stand_in()), "stand_in: only a bundle of one modality"),
    "more escapes than defects": (lambda m: m.update(stand_in=stand_in(escapes=9)), "at most n_defective, 8"),
    "more rejects than good parts": (lambda m: m.update(stand_in=stand_in(false_rejects=10)), "at most n_good, 9"),
    "attribution without spread": (lambda m: m.update(attribution={"color": {"mean": 1, "std": 0}}), "color.std: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(case: str) -> None:
    """The error starts with the path of the key, so that a person finds it."""
    edit, match = WRONG[case]
    with pytest.raises(ManifestError, match=match):
        parsed(edit)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not valid JSON"), (b"[]", "refused"), (b"null", "refused"), (b"{", "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"), (b"[" * 200_000, "nested too deep"), (b'{"a":' * 50_000, "nested too deep"),
        (b'{"method": "a", "method": "b"}', "'method' is given twice"), (b'{"x": NaN}', "not a finite number"),
        (b'{"x": ' + b"9" * 10_000 + b"}", "not valid JSON|refused"), (b" " * (1 << 21), "at most"),
        (b'{"method": "\\ud800"}', "not valid JSON|refused"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_plain_json_object_is_refused(data: bytes, match: str) -> None:
    """Damaged, duplicated, huge and deeply nested JSON is refused without harm."""
    with pytest.raises(ManifestError, match=match):
        parse_manifest(data)


def test_many_errors_are_listed_and_counted() -> None:
    """A person who edits a manifest sees several mistakes at once, not a page of them."""
    with pytest.raises(ManifestError, match="; and 5 more"):
        parsed(lambda m: m.update({f"key{index}": 1 for index in range(10)}))


def test_a_manifest_survives_a_round_trip_and_has_one_spelling() -> None:
    """dump and parse are inverse, and the bytes do not depend on the order of dictionaries."""
    manifest = parsed(lambda m: m.update(metrics={"b": 1.0, "a": 1 / 3}, minimum_versions={"z": "1", "a": "2"}))
    assert parse_manifest(dump_manifest(manifest)) == manifest
    turned = parsed(lambda m: m.update(metrics={"a": 1 / 3, "b": 1.0}, minimum_versions={"a": "2", "z": "1"}))
    assert dump_manifest(turned) == dump_manifest(manifest)


def test_a_manifest_cannot_be_changed() -> None:
    """Models are frozen: what was checked stays what it was."""
    manifest = parsed()
    with pytest.raises(ValueError, match="frozen"):
        manifest.decision.threshold = 0.9  # type: ignore[misc]


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(SCALARS, _containers, max_leaves=8), st.sampled_from(sorted(manifest_json())))
def test_any_value_in_any_place_is_accepted_or_refused(value: Any, key: str) -> None:
    """No JSON value makes the parser raise anything but ManifestError."""
    manifest = {**manifest_json(), key: value}
    with contextlib.suppress(ManifestError):
        parse_manifest(json.dumps(manifest).encode())


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-10, 10), st.none() | st.floats(0.1, 10))
def test_a_threshold_is_accepted_exactly_inside_the_range(threshold: float, low: float, width: float | None) -> None:
    """Only a finite threshold above the least and below the largest score is accepted."""
    high = None if width is None else low + width
    if low < threshold < (float("inf") if high is None else high):
        check_threshold(threshold, (low, high))
    else:
        with pytest.raises(ThresholdError, match="everything"):
            check_threshold(threshold, (low, high))


def test_preprocess_mirrors_the_runtimes_parameters() -> None:
    """Field for field and default for default, so that training, manifest and runtime cannot drift apart."""
    from rasant import preprocess

    params = preprocess.PreprocessParams()
    assert [field.name for field in dataclasses.fields(params)] == list(Preprocess.model_fields)
    assert Preprocess() == Preprocess.from_params(params)
    assert Preprocess().to_params() == params


def test_the_manifest_names_every_rule_that_the_runtime_knows() -> None:
    """The schema's choices are the runtime's tables."""
    from rasant import preprocess

    fields = Preprocess.model_fields
    assert set(get_args(fields["depth_rule"].annotation)) == set(preprocess.normalize.RULES)
    assert set(get_args(fields["background"].annotation)) == set(preprocess.BACKGROUNDS)
    assert set(get_args(fields["modalities"].annotation)) == set(preprocess.MODALITIES)
    for modalities, names in preprocess.MODALITIES.items():
        assert tuple(Preprocess(modalities=modalities).input_channels) == names


def test_what_a_stand_in_loses_is_kept_and_may_be_absent() -> None:
    """A bundle of one modality declares it, byte for byte; a manifest from before there was the key still parses."""
    model = tiny_model(modalities="rgb")
    manifest = tiny_manifest(model, modalities="rgb", stand_in=StandIn.model_validate_json(json.dumps(stand_in())))
    assert parse_manifest(dump_manifest(manifest)) == manifest
    assert manifest.stand_in is not None and "it passes 4 instead of 0" in manifest.stand_in.loss
    old = json.loads(dump_manifest(manifest))
    del old["stand_in"]
    assert parse_manifest(json.dumps(old).encode()).stand_in is None
