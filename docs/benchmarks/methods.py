# SPDX-License-Identifier: Apache-2.0
"""Measures trained bundles of every method on labelled parts, and writes docs/methods.md from what it found.

    python docs/benchmarks/methods.py --data "dataset:relief/{}?split=test" dbrn-casting.rasant easynet-casting.rasant
    python docs/benchmarks/methods.py --time das3d.rasant dbrn.rasant easynet.rasant draem.rasant
    python docs/benchmarks/methods.py

The first adds rows to docs/benchmarks/methods.json: what `rasant evaluate` says of each bundle, {} being its category.
The second replaces the sizes and speeds there, the third only writes the page again, and the tables in the READMEs of
the methods. What the papers say of themselves stands in docs/benchmarks/published.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import networks
import tomllib

from rasant.bench.host import host
from rasant.bundle import Bundle, read_bundle

HERE = Path(__file__).resolve().parent
FOUND, PUBLISHED, PAGE = HERE / "methods.json", HERE / "published.json", HERE.parent / "methods.md"
READMES = HERE.parents[1] / "training/rasant_training/methods"
MARK = "<!-- made by docs/benchmarks/methods.py -->\n"
TOLD = {"rgbd": "", "rgb": ", colour", "depth": ", depth"}
NAMES = {"das3d": "DAS3D", "dbrn": "DBRN", "easynet": "EasyNet", "draem": "DRAEM"}
METRICS = ("i_auroc", "i_auroc_interval", "p_auroc", "aupro_30", "aupro_10", "aupro_05", "aupro_01")
GROUPS = ("by_defect", "by_level", "at_threshold", "n_good", "n_defect", "n_unknown")


def measure(path: Path, data: str, note: str) -> dict[str, Any]:
    """What a bundle is, how it was trained, and what `rasant evaluate` says of it and of the trivial baseline."""
    bundle = read_bundle(path)
    m = bundle.manifest
    command = ["evaluate", str(path), data.format(m.category), "--engine", "onnxruntime", "--json"]
    told = subprocess.run(
        [Path(sys.executable).parent / "rasant", *command, "--baseline", "train-mean"], check=True, capture_output=True
    )
    result = json.loads(told.stdout)
    found, trivial = (side["categories"][m.category] for side in (result, result["baseline"]))
    print(f"{path.name}: I-AUROC {found['i_auroc']:.3f}, AUPRO {found['aupro_30']:.3f}", flush=True)
    return {
        **identity(bundle), "category": m.category, "steps": m.training.steps, "seed": m.training.seed,
        "loop": tomllib.loads(m.training.recipe)["loop"], "note": note, "sha256": bundle.sha256,
        "bytes": path.stat().st_size, "threshold": m.decision.threshold,
        "certified": {one.engine: one.map_max for one in m.certificates},
        "found": {key: found[key] for key in (*METRICS, *GROUPS)},
        "trivial": {key: trivial[key] for key in (*METRICS, "by_defect", "by_level")},
    }  # fmt: skip


def identity(bundle: Bundle) -> dict[str, str]:
    """What tells rows apart, beside the category."""
    m = bundle.manifest
    return {
        "method": m.method, "preset": m.preset, "modalities": m.preprocess.modalities, "precision": m.detector.precision
    }  # fmt: skip


def size(bundle: Bundle) -> dict[str, Any]:
    """Parameters of the trained network, and GFLOP (2 a multiply-add) of one pass as it is exported."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from rasant_training.method import load_method, load_preset
    from rasant_training.recipe import from_dict

    m = bundle.manifest
    recipe = from_dict(tomllib.loads(m.training.recipe), load_preset(m.method, m.preset))
    method = load_method(m.method)
    model = method.build(recipe).eval()
    images = [torch.zeros(1, {"color": 3, "depth": 1}[name], *recipe.preprocess.size) for name in recipe.inputs]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        method.export_module(model)(*images)
    weights = sum(one.numel() for one in model.parameters())
    return {"parameters": weights, "gflop": counter.get_total_flops() / 1e9}


def measure_speed(paths: Sequence[Path], source: str, threads: int, frames: int) -> dict[str, Any]:
    """Sizes, and whole inspections of every bundle in every engine, in turns."""
    bundles, machine = [read_bundle(path) for path in paths], host()
    graphs = [
        networks.Graph(b.manifest.method, b.manifest.preset, b.manifest.detector.precision, b.graph(), path)
        for b, path in zip(bundles, paths, strict=True)
    ]
    timed = networks.measure_inspections(graphs, source, threads, frames)
    engines = len(timed) // len(paths)
    rows = []
    for k, (bundle, path) in enumerate(zip(bundles, paths, strict=True)):
        of = timed[k * engines : (k + 1) * engines]
        rows.append({
            **identity(bundle), **size(bundle), "bytes": path.stat().st_size,
            "engines": {one["engine"]: {"fps": one["fps"], "ms": one["latency_ms"]["infer"]["p50"]} for one in of},
        })  # fmt: skip
    return {"machine": machine, "threads": threads, "source": source, "date": date.today().isoformat(), "rows": rows}


def label(row: dict[str, Any]) -> str:
    """DBRN, or DBRN colour."""
    preset = "" if row["preset"] == "edge" else f" `{row['preset']}`"
    precision = "" if row["precision"] == "fp32" else f", {row['precision']}"
    return NAMES[row["method"]] + preset + TOLD[row["modalities"]] + precision


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def interval(found: dict[str, Any]) -> str:
    """I-AUROC with its 95 % interval."""
    low, high = found["i_auroc_interval"]
    return f"{found['i_auroc']:.3f} ({low:.3f} to {high:.3f})"


def result_cells(name: str, found: dict[str, Any], row: dict[str, Any] | None) -> list[str]:
    """One line of a category's first table; row: None for the baseline, which has no threshold and no training."""
    cells = [name, interval(found), *(f"{found[key]:.3f}" for key in ("p_auroc", "aupro_30", "aupro_05", "aupro_01"))]
    if row is None:
        return [*cells, "", "", ""]
    at = found["at_threshold"]
    if at is None:
        return [*cells, "", "", str(row["steps"])]
    rejected = [f"{at[kind]['reject']} of {sum(at[kind].values())}" for kind in ("defect", "good")]
    return [*cells, *rejected, str(row["steps"])]


def category_text(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """The two tables of a category, best row first, the trivial baselines of the same modalities last."""
    best = sorted(rows, key=lambda row: -row["found"]["i_auroc"])
    trivial = {row["modalities"]: row["trivial"] for row in best}
    lines = [(label(row), row["found"], row) for row in best] + [
        (f"difference to the train mean{told}", trivial[kind], None) for kind, told in TOLD.items() if kind in trivial
    ]
    head = (
        "", "I-AUROC (95 %)", "P-AUROC", "AUPRO@30%", "@5%", "@1%", "defective, rejected", "good, rejected", "steps"
    )  # fmt: skip
    groups = [(key, kind) for key in ("by_defect", "by_level") for kind in best[0]["found"][key]]
    by = [
        [told, *(f"{found[key][kind]['i_auroc']:.2f} / {found[key][kind]['aupro_30']:.2f}" for key, kind in groups)]
        for told, found, _ in lines
    ]
    notes = [f"- {label(row)}: {row['note']}." for row in best if row["note"]]
    return "\n".join([
        f"## `{name}`\n", table(head, [result_cells(*line) for line in lines]),
        "\nI-AUROC / AUPRO@30% by type of defect and by level:\n", table(["", *(kind for _, kind in groups)], by),
        *(["", *notes] if notes else []),
    ])  # fmt: skip


def speed_text(speed: dict[str, Any]) -> str:
    """Sizes and speeds."""
    engines = sorted(speed["rows"][0]["engines"])
    head = ["", "parameters", "GFLOP", "bundle", *(f"{name}: network ms, frames/s" for name in engines)]
    rows = [
        [
            label(row), f"{row['parameters'] / 1e6:.2f} M", f"{row['gflop']:.2f}", f"{row['bytes'] / 1e6:.1f} MB",
            *(f"{row['engines'][name]['ms']:.1f}, {row['engines'][name]['fps']:.1f}" for name in engines),
        ]
        for row in speed["rows"]
    ]  # fmt: skip
    return table(head, rows)


def published_text(rows: Sequence[dict[str, Any]]) -> str:
    """What the papers say."""
    head = ("", "data", "sees", "I-AUROC", "P-AUROC", "AUPRO@30%", "frames/s", "said by")
    keys = ("data", "sees", "i_auroc", "p_auroc", "aupro_30", "fps", "source")
    return table(head, [[NAMES[row["method"]], *(row.get(key, "") for key in keys)] for row in rows])


def means_text(rows: Sequence[dict[str, Any]]) -> str:
    """Mean I-AUROC and AUPRO of the categories that every label has."""
    kinds = list(dict.fromkeys(label(row) for row in rows))
    of = {kind: {row["category"]: row for row in rows if label(row) == kind} for kind in kinds}
    shared = set.intersection(*(set(members) for members in of.values() if len(members) > 1))
    full = [kind for kind in kinds if shared <= set(of[kind])]
    means = {kind: [sum(of[kind][c]["found"][key] for c in shared) / len(shared) for key in ("i_auroc", "aupro_30")]
             for kind in full}  # fmt: skip
    order = sorted(full, key=lambda kind: -means[kind][0])
    head = ("", *(f"`{c}`" for c in sorted(shared)), "mean I-AUROC", "mean AUPRO@30%")
    body = [
        [kind, *(f"{of[kind][c]['found']['i_auroc']:.3f}" for c in sorted(shared)), *(f"{v:.3f}" for v in means[kind])]
        for kind in order
    ]  # fmt: skip
    return table(head, body)


def page(found: dict[str, Any], published: Sequence[dict[str, Any]]) -> str:
    """Markdown of docs/methods.md: the text of methods.txt with the tables set in."""
    rows, speed = found["rows"], found["speed"]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    machine = speed["machine"]
    fields = {
        "MEANS": means_text(rows),
        "CATEGORIES": "\n\n".join(category_text(c, [row for row in rows if row["category"] == c]) for c in categories),
        "SPEED": speed_text(speed),
        "MACHINE": f"{machine['processor']}, {machine['cpus']} CPUs, {speed['threads']} threads, load when begun "
        f"{machine['load']}, {speed['date']}",
        "SOURCE": speed["source"],
        "PUBLISHED": published_text(published),
    }  # fmt: skip
    text = (HERE / "methods.txt").read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    return text


def readme(text: str, rows: Sequence[dict[str, Any]]) -> str:
    """The README of a method, with the table behind its mark made of the method's results."""
    head = ("", "set", "I-AUROC (95 %)", "AUPRO@30%", "train mean: I-AUROC", "AUPRO@30%")
    body = [
        [
            label(row), f"`{row['category']}`", interval(row["found"]), f"{row['found']['aupro_30']:.3f}",
            f"{row['trivial']['i_auroc']:.3f}", f"{row['trivial']['aupro_30']:.3f}",
        ]
        for row in sorted(rows, key=label)
    ]  # fmt: skip
    before, mark, rest = text.partition(MARK)
    if not mark:
        raise ValueError(f"a README without the line {MARK.strip()}")
    return before + mark + table(head, body) + rest[rest.index("\n\n") :]


def main() -> None:
    """Measure what is named, keep it, and write the page."""
    parser = argparse.ArgumentParser(description="Methods beside each other.")
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--data", help="URI of labelled test frames, with {} for the category")
    parser.add_argument("--note", default="", help="what is to be said of these bundles")
    parser.add_argument("--time", action="store_true", help="measure sizes and speeds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--source", default="synthetic:plate", help="frames that are timed")
    options = parser.parse_args()
    if options.bundles and not options.data and not options.time:
        parser.error("bundles need --data or --time")
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {"rows": [], "speed": None}
    if options.data:
        rows = [measure(path, options.data, options.note) for path in options.bundles]
        new = {(label(row), row["category"]) for row in rows}
        found["rows"] = [row for row in found["rows"] if (label(row), row["category"]) not in new] + rows
        found["rows"].sort(key=lambda row: (row["category"], label(row)))
    if options.time:
        found["speed"] = measure_speed(options.bundles, options.source, options.threads, options.frames)
    FOUND.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    if found["rows"] and found["speed"]:
        PAGE.write_text(page(found, json.loads(PUBLISHED.read_text(encoding="utf-8"))), encoding="utf-8")
        for name in NAMES:
            path, rows = READMES / name / "README.md", [row for row in found["rows"] if row["method"] == name]
            path.write_text(readme(path.read_text(encoding="utf-8"), rows), encoding="utf-8")
        print(f"docs/{PAGE.name} written, and the tables of {len(NAMES)} READMEs")


if __name__ == "__main__":
    main()
