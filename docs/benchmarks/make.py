# SPDX-License-Identifier: Apache-2.0
"""Measures every operation on this machine and writes docs/benchmarks.md, curve.svg and the rows it was made from.

`python docs/benchmarks/make.py` measures (about ten minutes; leave the machine alone);
`--page` only writes the page and the curve again from docs/benchmarks/rows.json.
"""

from __future__ import annotations

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
        "date": date.today().isoformat(), "load": round(os.getloadavg()[0], 2),
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
    }  # fmt: skip


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
        f"{m['numpy']}, OpenCV {m['opencv']}; {m['date']}, load when begun {m['load']}"
    )
    curves = [Curve(**curve) for curve in found["curves"]]
    fields = {
        "MACHINE": where, "TABLE": "\n".join([HEAD, *map(row_line, found["rows"])]),
        "CURVES": "\n".join(curve_table(curves)),
        "OVERHEAD": "\n".join(overhead_table([Overhead(**overhead) for overhead in found["overheads"]])),
    }  # fmt: skip
    text = (HERE / "template.txt").read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    return text


def main() -> None:
    """Measure unless `--page`, and write."""
    if "--page" not in sys.argv[1:]:
        ROWS.write_text(json.dumps(collect(), indent=0) + "\n", encoding="utf-8")
    found = json.loads(ROWS.read_text(encoding="utf-8"))
    (HERE.parent / "benchmarks.md").write_text(page(found), encoding="utf-8")
    svg = curve_svg([Curve(**curve) for curve in found["curves"]])
    (HERE / "curve.svg").write_text(svg, encoding="utf-8")
    print(f"docs/benchmarks.md: {len(found['rows'])} rows; docs/benchmarks/curve.svg: {len(svg) // 1024} KiB")


if __name__ == "__main__":
    main()
