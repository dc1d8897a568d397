# SPDX-License-Identifier: Apache-2.0
"""`rasant evaluate BUNDLE SOURCE`: metrics of a bundle on a labelled source, as text, JSON and an HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rasant.errors import ConfigError

__all__ = ["evaluate", "read_levels", "train_mean_baseline"]

_BASELINES = ("train-mean",)
OFFLINE: dict[str, Any] = {"max_age_ms": None, "deadline_ms": None}  # a file is not late


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant); it needs no threshold.")],
    source: Annotated[str, typer.Argument(help="Labelled: dataset:PATH/CATEGORY, mvtec3d:PATH, replay:FILE.mcap.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    mvtec_compat: Annotated[
        bool, typer.Option("--mvtec-compat", help="AUPRO from the official 100-threshold curve, not the exact one.")
    ] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write a self-contained HTML page here.")] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Measure a trivial detector in the same run: train-mean.")
    ] = None,
    levels: Annotated[
        str, typer.Option("--levels", help="Difficulty of the parts: a meta.json; 'auto': beside a category.")
    ] = "auto",
    engine: Annotated[str, typer.Option("--engine", help="The inference engine; see rasant doctor.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:N, ...; by default the engine's own.")] = "",
    threads: Annotated[int, typer.Option("--threads", min=0, max=256, help="0: as the engine's runtime likes.")] = 0,
) -> None:
    """Measure how well a bundle finds the defects of a labelled source.

    I-AUROC, P-AUROC and AUPRO at 30, 10, 5 and 1 % per category, defect type and level, exact and tie-aware; undefined
    values are null with a reason. Parts without a verdict are counted, listed and left out of the ranking.

    Example: rasant evaluate bracket.rasant dataset:parts/bracket --report bracket.html --baseline train-mean
    """
    from rasant.bundle import read_bundle
    from rasant.evaluate import evaluate_records, inspect_source, with_levels
    from rasant.opening import load
    from rasant.report.pictures import PictureBook
    from rasant.sensors import open_source

    if baseline is not None and baseline not in _BASELINES:
        raise ConfigError(f"--baseline must be one of {', '.join(_BASELINES)}, got {baseline!r}")
    book = PictureBook() if report is not None else None
    manifest = read_bundle(bundle).manifest
    pixel_map = manifest.postprocess.pixel_map
    with (
        load(bundle, engine, device=device or None, require_threshold=False, threads=threads, **OFFLINE) as inspector,
        open_source(source, skip_damaged=True) as frames,
    ):
        records = inspect_source(inspector, frames, pixel_map=pixel_map, observer=book)
        note, damaged = frames.note, frames.stats().damaged
    found = read_levels(levels, source, {r.sample.category for r in records})
    records = with_levels(records, found)
    result: dict[str, Any] = {"bundle": str(bundle), "source": source, "pixel_map": pixel_map, "n_damaged": damaged}
    result.update(evaluate_records(records, mvtec_compat=mvtec_compat))
    result["warnings"] = _warnings(records, manifest.category, damaged, note)
    if baseline is not None:
        peers = with_levels(train_mean_baseline(manifest, source), found)
        result["baseline"] = {"name": baseline, **evaluate_records(peers, mvtec_compat=mvtec_compat)}
    if report is not None and book is not None:
        _write_page(report, result, records, book, bundle, source)
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
    else:
        _print_tables(result, report)


def read_levels(levels: str, source: str, categories: set[str]) -> dict[str, dict[str, str]]:
    """{category: {split/label/name: level}} from a meta.json (a list of records with `id` and `level`).

    levels: a path, whose levels hold for every category, or "auto": PATH/CATEGORY/meta.json or PATH/meta.json of the
    source, where they exist. Raises ConfigError for a given file that cannot be read.
    """
    if levels != "auto":
        table = _level_table(Path(levels))
        return dict.fromkeys(categories, table)
    from rasant.sensors.uri import parse_uri

    root = Path(parse_uri(source).path).expanduser()
    found: dict[str, dict[str, str]] = {}
    for category in categories:
        beside = root / "meta.json" if root.name == category else root / category / "meta.json"
        if beside.is_file():
            found[category] = _level_table(beside)
    return found


def _level_table(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(e["id"]): str(e["level"]) for e in entries if e.get("level") is not None}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--levels: {path} must be a JSON list of objects with `id` (split/label/name) and `level`: {error}"
        ) from error


def train_mean_baseline(manifest: Any, source: str) -> list[Any]:
    """Records of the train-mean baseline over `source`, fitted per category on the good parts of its train split."""
    from rasant.baseline import TrainMean
    from rasant.evaluate import inspect_source
    from rasant.sensors import open_source
    from rasant.sensors.uri import parse_uri
    from rasant.types import Frame, Inspection

    parsed = parse_uri(source)
    if parsed.scheme not in ("dataset", "mvtec3d"):
        raise ConfigError(f"--baseline train-mean needs a train split (dataset: or mvtec3d:), got {source!r}")
    training: dict[str, list[Frame]] = {}
    with open_source(f"{parsed.scheme}:{parsed.path}?split=train", skip_damaged=True) as frames:
        for frame in frames:
            if frame.sample is not None and not frame.sample.defective:
                training.setdefault(frame.sample.category, []).append(frame)
    peers: dict[str, TrainMean] = {}
    for category, parts in training.items():
        peers[category] = TrainMean(manifest.preprocess.to_params(), kernel=manifest.postprocess.kernel)
        peers[category].fit(parts)

    def answer(frame: Frame) -> Inspection:
        category = frame.sample.category if frame.sample is not None else ""
        if category not in peers:
            raise ConfigError(f"--baseline train-mean: category {category!r} has no good training part in {source!r}")
        return peers[category](frame)

    with open_source(source, skip_damaged=True) as frames:
        return inspect_source(answer, frames, pixel_map=manifest.postprocess.pixel_map)


def _warnings(records: Sequence[Any], trained_on: str, damaged: int, note: str) -> list[str]:
    found = [note] if note else []
    others = sorted({r.sample.category for r in records} - {trained_on})
    if others:
        found.append(f"the bundle was trained on {trained_on!r}; foreign to it: {', '.join(others)}")
    seen = sorted({r.sample.split for r in records} & {"train"})
    if seen:
        found.append("some of these parts are from the train split: the figures flatter the detector")
    if damaged:
        found.append(f"{damaged} damaged frames were passed over")
    return found


def _write_page(
    path: Path, result: Mapping[str, Any], records: Sequence[Any], book: Any, bundle: Path, source: str
) -> None:
    from rasant import __version__
    from rasant.report import write_report

    first = records[0].inspection if records else None
    facts = {
        "bundle": f"{bundle.name} (manifest {first.bundle[:12] if first else '?'})",
        "engine": first.engine if first else "?",
        "source": source,
        "pixel metrics on": f"the {result['pixel_map']} map",
        "made by": f"rasant {__version__}",
    }
    notes = {f"warning {i}": text for i, text in enumerate(result["warnings"], 1)}
    subtitle = f"{bundle.name} on {len(records)} parts of {len(result['categories'])} categor" + (
        "y" if len(result["categories"]) == 1 else "ies"
    )
    write_report(
        path, result, records, book.thumbnails, title="Evaluation", subtitle=subtitle, facts={**facts, **notes}
    )


def _print_tables(result: Mapping[str, Any], report: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from rasant.evaluate import METRICS
    from rasant.report.page import METRIC_NAMES

    def shown(values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        return ["-" if values.get(name) is None else f"{values[name]:.3f}" for name in names]

    console = Console(width=max(140, Console().width))  # a cut table is worth nothing; a narrow terminal wraps it
    table = Table("category", *METRIC_NAMES.values(), "good", "defective", "unknown")
    for name, values in result["categories"].items():
        counts = [str(values[key]) for key in ("n_good", "n_defect", "n_unknown")]
        table.add_row(name, *shown(values, METRICS), *counts)
        peer = result.get("baseline", {}).get("categories", {}).get(name)
        if peer:
            table.add_row(f"  {result['baseline']['name']}", *shown(peer, METRICS), style="dim")
    if len(result["categories"]) > 1:
        table.add_row("mean", *shown(result["mean"], METRICS), style="bold")
    console.print(table)
    groups = Table("category", "group", "parts", "I-AUROC", "AUPRO@30%")
    for name, values in result["categories"].items():
        for key in ("by_defect", "by_level"):
            for group, entry in values[key].items():
                groups.add_row(name, group, str(entry["n"]), *shown(entry, ("i_auroc", "aupro_30")))
    console.print(groups)
    for name, values in result["categories"].items():
        for text in [*values["warnings"], *(f"{metric}: {why}" for metric, why in values["reasons"].items())]:
            console.print(f"{name}: {text}", style="yellow", markup=False)
    for text in result["warnings"]:
        console.print(text, style="yellow", markup=False)
    if report is not None:
        console.print(f"report: {report}", markup=False)
