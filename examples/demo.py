# SPDX-License-Identifier: Apache-2.0
"""Replay a recording of parts through a trained bundle, and explain what happened.

python examples/demo.py [BUNDLE [SOURCE [FOLDER]]]

Without arguments: examples/casting.rasant on examples/casting-test.mcap, results under build/demo.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import rasant
from rasant.evaluate import Record, evaluate_records, inspect_source, with_levels
from rasant.evaluate_command import read_levels
from rasant.overlay import write_png
from rasant.report import PictureBook, heat_top, overlay_strip, write_report

HERE = Path(__file__).resolve().parent
MEANING = {
    (True, "REJECT"): "caught", (True, "PASS"): "MISSED", (True, "UNKNOWN"): "stopped without a verdict",
    (False, "PASS"): "passed", (False, "REJECT"): "FALSE REJECT", (False, "UNKNOWN"): "stopped without a verdict",
}  # fmt: skip


def main(bundle: str, source: str, folder: str) -> None:
    """Inspect, write pictures and report, and end with the line of counts."""
    manifest = rasant.read_bundle(bundle).manifest
    introduce(manifest, bundle, source)
    book = PictureBook()
    with rasant.load(bundle, threads=0, max_age_ms=None) as inspector, rasant.open_source(source) as frames:
        records = inspect_source(inspector, frames, pixel_map=manifest.postprocess.pixel_map, observer=book)
    levels = HERE / "casting-test.meta.json"
    if levels.is_file():
        records = with_levels(records, read_levels(str(levels), source, {r.sample.category for r in records}))
    for record in records:
        print(describe(record))
    result = evaluate_records(records)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    write_png(out / "strip.png", overlay_strip(records, book.thumbnails, top=heat_top(records)))
    write_report(
        out / "report.html", result, records, book.thumbnails, title="Surface inspection of castings",
        subtitle=f"{len(records)} recorded parts through {Path(bundle).name}",
        facts={"bundle": Path(bundle).name, "engine": records[0].inspection.engine, "source": Path(source).name},
    )  # fmt: skip
    conclude(result, records, out)


def introduce(manifest: rasant.Manifest, bundle: str, source: str) -> None:
    """What is about to run."""
    made, decision = f"{manifest.method} ({manifest.preset})", manifest.decision
    print(f"Bundle    {Path(bundle).name}: {made}, trained on good parts of {manifest.category!r} alone")
    print(f"Decision  rejected from a score of {decision.threshold:.4f} on, chosen from {decision.n_good} good parts")
    print(f"Source    {Path(source).name}: colour with aligned depth; its labels only serve to explain the verdicts\n")


def describe(record: Record) -> str:
    """One line for a part."""
    inspection, sample = record.inspection, record.sample
    part = f"{sample.label} {sample.name}" + (f" ({record.level})" if record.level else "")
    line = f"{inspection.frame:4d}  {part:<24} score {record.score:.4f}  {inspection.verdict.value:<8}"
    line += MEANING[sample.defective, inspection.verdict.value]
    if inspection.verdict is rasant.Verdict.UNKNOWN:
        return f"{line}: {inspection.reason.value}, {inspection.detail}"
    if inspection.regions:
        region = inspection.regions[0]
        line += f", {region.width}x{region.height} px at ({region.x}, {region.y}), modality {region.modality}"
    return line


def conclude(result: dict, records: list[Record], out: Path) -> None:
    """What it means, where to look, and the counts."""
    for name, values in result["categories"].items():
        at = values["at_threshold"]
        rejected = f"{at['defect']['reject']} of {values['n_defect']} defective parts rejected"
        print(f"\n{name}: {rejected}, {at['good']['pass']} of {values['n_good']} good parts passed.")
        if values["i_auroc"] is not None and values["aupro_30"] is not None:
            ranking = f"ranking of parts I-AUROC {values['i_auroc']:.3f}"
            print(f"{name}: {ranking}, outlining of defects AUPRO@30% {values['aupro_30']:.3f}.")
    print("The parts are rendered, not photographed: the figures say nothing about other data sets.")
    print(f"Pictures  {out / 'strip.png'}\nReport    {out / 'report.html'}")
    counts = Counter(r.inspection.verdict.value for r in records)
    parts = f"{counts['REJECT']} rejected, {counts['PASS']} passed, {counts['UNKNOWN']} unknown"
    print(f"demo: {len(records)} frames, {parts}, {len(records) / sum(r.seconds for r in records):.1f} frames/s")


if __name__ == "__main__":
    defaults = [str(HERE / "casting.rasant"), f"replay:{HERE / 'casting-test.mcap'}", "build/demo"]
    main(*[*sys.argv[1:4], *defaults[len(sys.argv) - 1 :]])
