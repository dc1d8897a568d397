# SPDX-License-Identifier: Apache-2.0
"""Measures every operation on this machine and writes docs/benchmarks.md, curve.svg and the rows it was made from.

`python docs/benchmarks/make.py` measures (about ten minutes; leave the machine alone);
`--again` measures once more and keeps the best of each, for a machine that cannot be left alone;
`--only decode` measures the operations of that name and keeps the other rows; `--page` only writes the page and the
curve again from docs/benchmarks/rows.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from curve import Curve, curve_svg, curve_table, measure_curves  # noqa: E402
from elsewhere import elsewhere_rows  # noqa: E402
from limits import Limit, limits_table, measure_limits  # noqa: E402
from overhead import Overhead, overhead_table, overheads  # noqa: E402

from rasant.bench.ops import rows  # noqa: E402

ROWS = HERE / "rows.json"
HEAD = (
    "| operation | size | ms | peer | peer ms | peer / ours | target | memcpy of the bytes, ms | ours / memcpy |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(encoding="utf-8") if flags.exists() else ""
    wide = "AVX-512" if " avx512f" in text else "AVX2" if " avx2" in text else platform.machine()
    return {
        "processor": processor(), "cores": os.cpu_count(), "vectors": wide,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__,
        "date": date.today().isoformat(), "loads": [round(os.getloadavg()[0], 1)],
    }  # fmt: skip


def collect() -> dict[str, Any]:
    """Everything the page shows, measured now."""
    before = machine()
    measured = []
    for row in itertools.chain(rows(1, seconds=0.7), elsewhere_rows()):
        print(f"{row.op:<14} {row.size:<28} {row.ms:9.3f} ms {row.ratio:9.2f} x {row.peer}", flush=True)
        measured.append(asdict(row))
    return {
        "machine": before, "rows": measured, "curves": [curve._asdict() for curve in measure_curves()],
        "overheads": [overhead._asdict() for overhead in overheads()],
        "limits": [limit._asdict() for limit in measure_limits()],
    }  # fmt: skip


def best_of(one: Any, other: Any) -> Any:
    """Two measurements as one: the smaller of each time, and what follows from them."""
    if isinstance(one, dict):
        merged = {key: best_of(value, other[key]) for key, value in one.items()}
        if "peer_ms" in merged:
            merged["ratio"] = merged["peer_ms"] / merged["ms"]
            merged["bound_ratio"] = merged["ms"] / merged["bound_ms"]
            merged["reached"] = None if merged["target"] is None else merged["ratio"] >= merged["target"]
        return merged
    if isinstance(one, list):
        return [best_of(a, b) for a, b in zip(one, other, strict=True)]
    return min(one, other) if isinstance(one, float) else one


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def row_line(row: dict[str, Any]) -> str:
    """One row of the table."""
    target = "" if row["target"] is None else f"{row['target']:.3g} {'reached' if row['reached'] else 'missed'}"
    if row["target_ms"] is not None:
        target = "; ".join(filter(None, (target, f"<= {row['target_ms']:g} ms")))
    cells = (
        row["op"], row["size"], number(row["ms"]), row["peer"], number(row["peer_ms"]), number(row["ratio"]), target,
        number(row["bound_ms"]), number(row["bound_ratio"]),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def page(found: dict[str, Any]) -> str:
    """Markdown of benchmarks.md: the text of template.txt with tables and machine set in."""
    m = found["machine"]
    where = (
        f"{m['processor']}, {m['cores']} cores, {m['vectors']}, {m['system']}, Python {m['python']}, numpy "
        f"{m['numpy']}, OpenCV {m['opencv']}; {m['date']}, load when begun {', '.join(map(str, m['loads']))}"
    )
    curves = [Curve(**curve) for curve in found["curves"]]
    fields = {
        "MACHINE": where, "TABLE": "\n".join([HEAD, *map(row_line, found["rows"])]),
        "CURVES": "\n".join(curve_table(curves)),
        "LIMITS": "\n".join(limits_table([Limit(**limit) for limit in found["limits"]])),
        "OVERHEAD": "\n".join(overhead_table([Overhead(**overhead) for overhead in found["overheads"]])),
    }  # fmt: skip
    text = (HERE / "template.txt").read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    return text


def replaced(found: dict[str, Any], only: str) -> dict[str, Any]:
    """`found` with the operations whose name holds `only` measured now; new ones come last."""
    load = machine()["loads"]
    measured = [asdict(row) for row in rows(1, seconds=0.7, only=only)]
    names = {row["op"] for row in measured}
    kept = [row for row in found["rows"] if row["op"] not in names]
    where = found["machine"] | {"loads": found["machine"]["loads"] + load}
    return found | {"machine": where, "rows": kept + measured}


def main() -> None:
    """Measure unless `--page`, and write."""
    parser = argparse.ArgumentParser(description="All operations against their peers.")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    parser.add_argument("--again", action="store_true", help="keep the better of this measurement and the stored one")
    parser.add_argument("--only", default="", help="measure the operations whose name holds this, keep the others")
    options = parser.parse_args()
    if options.only:
        measured = json.loads(json.dumps(replaced(json.loads(ROWS.read_text(encoding="utf-8")), options.only)))
        ROWS.write_text(json.dumps(measured, indent=0) + "\n", encoding="utf-8")
    elif not options.page:
        measured = json.loads(json.dumps(collect()))
        if options.again:
            before = json.loads(ROWS.read_text(encoding="utf-8"))
            loads = before["machine"]["loads"] + measured["machine"]["loads"]
            measured = best_of(measured, before | {"machine": measured["machine"]})
            measured["machine"]["loads"] = loads
        ROWS.write_text(json.dumps(measured, indent=0) + "\n", encoding="utf-8")
    found = json.loads(ROWS.read_text(encoding="utf-8"))
    (HERE.parent / "benchmarks.md").write_text(page(found), encoding="utf-8")
    svg = curve_svg([Curve(**curve) for curve in found["curves"]])
    (HERE / "curve.svg").write_text(svg, encoding="utf-8")
    print(f"docs/benchmarks.md: {len(found['rows'])} rows; docs/benchmarks/curve.svg: {len(svg) // 1024} KiB")


if __name__ == "__main__":
    main()
