# SPDX-License-Identifier: Apache-2.0
"""Power, temperatures, clocks and the power mode of a board, read from its files while a benchmark runs.

No service and no root is needed on a Jetson: the INA3221 monitors stand in /sys/class/hwmon (millivolts and
milliamperes with a label), temperatures in /sys/class/thermal, clocks in cpufreq and devfreq, the mode in
/var/lib/nvpmodel and /etc/nvpmodel.conf. `root` is the folder that holds sys, var, etc and proc, so that a recorded
tree can be read as well. Where the files give no rail or no mode, jtop is asked if its service runs.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rasant.bench.host import read_text

__all__ = ["Board", "Reading", "Sampler", "power_mode"]

SAMPLE_HZ = 10.0
TOTALS = ("VDD_IN", "POM_5V_IN")  # rails that feed the whole module; boards without one are summed
_GPU_NODES = {"gpu", "gv11b", "gp10b", "ga10b"}


@dataclass(frozen=True, slots=True)
class Reading:
    """All sensors at one time. power_mw, celsius and mhz are keyed by rail, zone and clock."""

    at: float  # time.perf_counter()
    power_mw: Mapping[str, float] = field(default_factory=dict)
    celsius: Mapping[str, float] = field(default_factory=dict)
    mhz: Mapping[str, float] = field(default_factory=dict)
    throttled: int = 0  # over-current events since boot

    @property
    def total_mw(self) -> float | None:
        """The module's input where a rail measures it, else the sum of the rails; None without any."""
        for name in TOTALS:
            if name in self.power_mw:
                return self.power_mw[name]
        return sum(self.power_mw.values()) if self.power_mw else None


class Board:
    """The sensors of this machine, found once. Any of them may be missing; reading never raises."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self._rails = dict(_rails(root / "sys/class/hwmon"))
        self._zones = dict(_zones(root / "sys/class/thermal"))
        self._clocks = dict(_clocks(root / "sys"))
        self._events = sorted((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt"))
        self.mode = power_mode(root)
        self.source = "sysfs" if self._rails else "none"
        self._jtop = _open_jtop() if root == Path("/") and (not self._rails or self.mode is None) else None
        if self._jtop is not None:
            self.mode = self.mode or _quietly(partial(_jtop_mode, self._jtop), None)
            self.source = "sysfs" if self._rails else "jtop"

    @property
    def empty(self) -> bool:
        """True where there is nothing to sample."""
        return not (self._rails or self._zones or self._clocks or self._jtop)

    def read(self) -> Reading:
        """All sensors now. A sensor that cannot be read is left out: zones of engines that are off cannot."""
        rails = {name: (_number(volt), _number(current)) for name, (volt, current) in self._rails.items()}
        power = {name: v * i / 1e3 for name, (v, i) in rails.items() if v is not None and i is not None}
        if not self._rails and self._jtop is not None:
            power = _quietly(partial(_jtop_power, self._jtop), {})
        return Reading(
            time.perf_counter(), power,
            {name: value / 1e3 for name, path in self._zones.items() if (value := _number(path)) is not None},
            {name: value / scale for name, (path, scale) in self._clocks.items() if (value := _number(path))},
            int(sum(_number(path) or 0 for path in self._events)),
        )  # fmt: skip

    def close(self) -> None:
        """Leave jtop's service."""
        if self._jtop is not None:
            _quietly(self._jtop.close, None)
            self._jtop = None


class Sampler:
    """Reads a board in a thread for as long as the `with` lasts."""

    def __init__(self, board: Board, hz: float = SAMPLE_HZ) -> None:
        self.board = board
        self.readings: list[Reading] = []
        self._period = 1.0 / hz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rasant-bench-power", daemon=True)

    def _run(self) -> None:
        while True:
            self.readings.append(self.board.read())
            if self._stop.wait(self._period):
                return

    def __enter__(self) -> Sampler:
        if not self.board.empty:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def summary(self, spans: Sequence[tuple[float, float]], frames: int) -> dict[str, Any]:
        """`power`, `thermal` and `clocks_mhz` of the record, from the readings inside `spans` (begin, end; seconds).

        energy_mj_per_frame: mean power over the spans times their length, for each of `frames`.
        """
        inside = [r for r in self.readings if any(begin <= r.at <= end for begin, end in spans)]
        powers = _summary(r.power_mw for r in inside)
        totals = [total for r in inside if (total := r.total_mw) is not None]
        mean_mw = sum(totals) / len(totals) if totals else None
        seconds = sum(end - begin for begin, end in spans)
        return {
            "power": {
                "source": self.board.source,
                "mode": self.board.mode,
                "rails_mw": powers,
                "total": next((name for name in TOTALS if name in powers), "sum of rails") if powers else None,
                "mean_mw": mean_mw,
                "max_mw": max(totals, default=None),
                "energy_mj_per_frame": mean_mw * seconds / frames if mean_mw is not None and frames else None,
                "readings": len(inside),
            },
            "thermal": {
                "celsius": _summary(r.celsius for r in inside),
                "over_current_events": inside[-1].throttled - inside[0].throttled if inside else 0,
            },
            "clocks_mhz": _summary(r.mhz for r in inside),
        }


def power_mode(root: Path = Path("/")) -> str | None:
    """The power mode that limits this machine: nvpmodel's of a Jetson, else the CPU's governor; None where unknown."""
    if root == Path("/"):
        told = _quietly(lambda: _run(["nvpmodel", "-q"]), "")
        match = re.search(r"NV Power Mode: *(\S+)\s+(\d+)", told)
        if match:
            return f"nvpmodel {match[2]} {match[1]}"
    status = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    if status:
        number = int(status[1])
        config = read_text(root / "etc/nvpmodel.conf") or ""
        name = re.search(rf"POWER_MODEL\s+ID={number}\s+NAME=(\S+)", config)
        return f"nvpmodel {number}" + (f" {name[1]}" if name else "")
    governor = read_text(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
    return f"CPU governor {governor}" if governor else None


def _rails(folder: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Label -> files of voltage (mV) and current (mA) of each INA3221; channels that nothing hangs on are left out."""
    for chip in sorted(folder.glob("hwmon*")):
        if not (read_text(chip / "name") or "").startswith("ina3221"):
            continue
        for label in sorted(chip.glob("in*_label")):
            name, number = read_text(label) or "", label.name[2:-6]
            current = chip / f"curr{number}_input"
            if name and name != "NC" and not name.startswith("sum of") and current.exists():
                yield name, (chip / f"in{number}_input", current)


def _zones(folder: Path) -> Iterator[tuple[str, Path]]:
    """Type -> file of millidegrees; a type that comes again is numbered."""
    seen: dict[str, int] = {}
    for zone in sorted(folder.glob("thermal_zone*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0)):
        name = (read_text(zone / "type") or zone.name).removesuffix("-thermal")
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} {seen[name]}", zone / "temp"


def _clocks(sys: Path) -> Iterator[tuple[str, tuple[Path, float]]]:
    """Name -> file and its units per MHz: CPU clusters, GPU, and the memory's clock where it may be read."""
    for policy in sorted((sys / "devices/system/cpu/cpufreq").glob("policy*")):
        yield f"cpu {policy.name.removeprefix('policy')}", (policy / "scaling_cur_freq", 1e3)
    for device in sorted((sys / "class/devfreq").glob("*")):
        node = read_text(device / "device/of_node/name") or device.name.partition(".")[2] or device.name
        if node in _GPU_NODES:
            yield "gpu", (device / "cur_freq", 1e6)
        elif node == "bwmgr":
            yield "emc", (device / "cur_freq", 1e6)
    for rate in ("kernel/debug/bpmp/debug/clk/emc/rate", "kernel/debug/clk/emc/clk_rate"):
        if _number(sys / rate):
            yield "emc", (sys / rate, 1e6)
            return


def _summary(readings: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """For each name: first, mean, min and max."""
    values: dict[str, list[float]] = {}
    for reading in readings:
        for name, value in reading.items():
            values.setdefault(name, []).append(value)
    return {n: {"first": v[0], "mean": sum(v) / len(v), "min": min(v), "max": max(v)} for n, v in values.items()}


def _number(path: Path) -> float | None:
    match = re.match(r"-?\d+(\.\d+)?", read_text(path) or "")
    return float(match[0]) if match else None


def _open_jtop() -> Any:
    """jtop connected to its service, or None: not installed, not running, or of another version."""

    def connect() -> Any:
        connected = importlib.import_module("jtop").jtop()
        connected.start()
        return connected

    return _quietly(connect, None)


def _jtop_mode(jtop: Any) -> str:
    return f"nvpmodel {jtop.nvpmodel.id} {jtop.nvpmodel.name}"


def _jtop_power(jtop: Any) -> dict[str, float]:
    """Milliwatts of each rail, and of the whole module under its own name where a rail measures it."""
    rails = {str(name): float(rail["power"]) for name, rail in jtop.power["rail"].items()}
    total = jtop.power["tot"]
    return {**rails, **({str(total["name"]): float(total["power"])} if "name" in total else {})}


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout


def _quietly(call: Callable[[], Any], otherwise: Any) -> Any:
    """What a foreign program or library gives, whatever it raises: a benchmark does not fail for a missing sensor."""
    try:
        return call()
    except Exception:
        return otherwise
