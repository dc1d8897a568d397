# SPDX-License-Identifier: Apache-2.0
"""A board's sensors are read from its files; what is missing is said, and nothing there can stop a benchmark."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from orin_tree import FILES, GPU, HWMON, write_orin_tree
from rasant.bench.host import host, memory_mib
from rasant.bench.power import Board, Reading, Sampler, power_mode


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """The root of a recorded Orin Nano."""
    return write_orin_tree(tmp_path)


def test_the_sensors_of_an_orin_are_found(orin: Path) -> None:
    """Rails in mW from mV and mA, zones in degrees, clocks in MHz; sums, other engines and dead zones are left out."""
    board = Board(orin)
    reading = board.read()
    assert reading.power_mw == pytest.approx({"VDD_IN": 6048.0, "VDD_CPU_GPU_CV": 2520.0, "VDD_SOC": 1529.728})
    assert reading.total_mw == pytest.approx(6048.0)
    assert reading.celsius == {"cpu": 47.312, "gpu": 45.25}
    assert reading.mhz == {"cpu 0": 1510.4, "gpu": 306.0, "emc": 2133.0}
    assert (reading.throttled, board.mode, board.source, board.empty) == (3, "nvpmodel 0 15W", "sysfs", False)


def test_a_board_without_an_input_rail_sums_its_rails() -> None:
    """AGX Orin measures no module input; without any rail there is no total, not zero."""
    rails = {"VDD_GPU_SOC": 5200.0, "VDD_CPU_CV": 2680.0, "VIN_SYS_5V0": 4730.0}
    assert Reading(0.0, rails).total_mw == pytest.approx(12610.0)
    assert Reading(0.0).total_mw is None


def test_the_mode_without_nvpmodels_names_or_files(orin: Path) -> None:
    """The number stands alone without its configuration, then the governor counts, and in the end it is unknown."""
    (orin / "etc/nvpmodel.conf").unlink()
    assert power_mode(orin) == "nvpmodel 0"
    (orin / "var/lib/nvpmodel/status").unlink()
    assert power_mode(orin) == "CPU governor schedutil"
    assert power_mode(orin / "nowhere") is None


def test_readings_are_kept_for_the_spans_of_one_engine(orin: Path) -> None:
    """Mean power over the spans times their length over the frames is the energy of a frame; the rest is left out."""
    sampler = Sampler(Board(orin))
    for at, milliwatts, events in ((0.0, 1000.0, 3), (1.0, 5000.0, 3), (1.5, 7000.0, 4), (3.0, 9000.0, 9)):
        sampler.readings.append(Reading(at, {"VDD_IN": milliwatts}, {"cpu": 50 + at}, {"gpu": 600.0}, events))
    found = sampler.summary([(0.5, 1.2), (1.4, 1.7)], frames=20)
    power = found["power"]
    assert power["mean_mw"] == 6000.0 and power["max_mw"] == 7000.0 and power["readings"] == 2
    assert power["energy_mj_per_frame"] == pytest.approx(6000.0 * 1.0 / 20) and power["total"] == "VDD_IN"
    assert power["rails_mw"]["VDD_IN"] == {"first": 5000.0, "mean": 6000.0, "min": 5000.0, "max": 7000.0}
    assert found["thermal"] == {
        "celsius": {"cpu": {"first": 51.0, "mean": 51.25, "min": 51.0, "max": 51.5}}, "over_current_events": 1,
    }  # fmt: skip
    assert found["clocks_mhz"]["gpu"]["max"] == 600.0


def test_the_sampler_reads_while_it_is_open(orin: Path) -> None:
    """Readings come with time, see what changes, and stop at the end."""
    board = Board(orin)
    with Sampler(board, hz=200.0) as sampler:
        deadline = time.monotonic() + 20
        while len(sampler.readings) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        (orin / GPU / "cur_freq").write_text("1020000000\n", encoding="utf-8")
        while sampler.readings[-1].mhz["gpu"] != 1020.0 and time.monotonic() < deadline:
            time.sleep(0.01)
    count = len(sampler.readings)
    assert count >= 3 and sampler.readings[-1].mhz["gpu"] == 1020.0
    time.sleep(0.05)
    assert len(sampler.readings) == count
    times = [reading.at for reading in sampler.readings]
    assert times == sorted(times)


def test_a_machine_without_sensors_has_none(tmp_path: Path) -> None:
    """No file, no reading, no thread: everything is null or empty, and nothing raises."""
    board = Board(tmp_path)
    with Sampler(board) as sampler:
        pass
    found = sampler.summary([(0.0, 1.0)], frames=5)
    assert board.empty and sampler.readings == [] and found["power"]["source"] == "none"
    assert found["power"]["energy_mj_per_frame"] is found["power"]["mean_mw"] is found["power"]["mode"] is None


@pytest.mark.parametrize("path", sorted(FILES))
@pytest.mark.parametrize("text", ["", "garbage", "\0\xff", None])
def test_a_damaged_file_is_passed_over(tmp_path: Path, path: str, text: str | None) -> None:
    """Whichever file is empty, nonsense or gone, the board can still be read."""
    root = write_orin_tree(tmp_path)
    if text is None:
        (root / path).unlink()
    else:
        (root / path).write_bytes(text.encode("latin-1"))
    board = Board(root)
    assert len(board.read().mhz) >= 2 and isinstance(host(root), dict)


def test_a_rail_that_vanishes_is_left_out_of_later_readings(orin: Path) -> None:
    """The total is then that of the rails that are left."""
    board = Board(orin)
    (orin / HWMON / "curr1_input").unlink()
    assert "VDD_IN" not in board.read().power_mw and board.read().total_mw == pytest.approx(4049.728)


class Jtop:
    """jetson-stats with its service running."""

    def __init__(self) -> None:
        self.nvpmodel = SimpleNamespace(id=2, name="MAXN_SUPER")
        self.power = {"rail": {"VDD_SOC": {"power": 1500}}, "tot": {"power": 6100, "name": "VDD_IN"}}
        self.closed = False

    def start(self) -> None:
        """Connected."""

    def close(self) -> None:
        self.closed = True


def without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have neither sensors nor a power mode of its own."""
    monkeypatch.setattr("rasant.bench.power._rails", lambda folder: ())
    monkeypatch.setattr("rasant.bench.power._zones", lambda folder: ())
    monkeypatch.setattr("rasant.bench.power._clocks", lambda folder: ())
    monkeypatch.setattr("rasant.bench.power.power_mode", lambda root: None)


def test_jtop_is_asked_where_the_files_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rails, total and mode come from jetson-stats, and its service is left at the end."""
    jtop = Jtop()
    without_files(monkeypatch)
    monkeypatch.setitem(sys.modules, "jtop", SimpleNamespace(jtop=lambda: jtop))
    board = Board()
    assert board.read().power_mw == {"VDD_SOC": 1500.0, "VDD_IN": 6100.0} and board.read().total_mw == 6100.0
    assert (board.mode, board.source, board.empty) == ("nvpmodel 2 MAXN_SUPER", "jtop", False)
    jtop.power = {}  # its service stopped
    assert board.read().power_mw == {}
    board.close()
    assert jtop.closed


def test_jtop_without_its_service_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """jetson-stats raises its own exceptions; the board then has no sensors."""

    def refuse() -> object:
        raise RuntimeError("The jtop.service is not active")

    without_files(monkeypatch)
    monkeypatch.setitem(sys.modules, "jtop", SimpleNamespace(jtop=refuse))
    assert Board().empty and Board().source == "none"


def test_the_host_of_an_orin(orin: Path) -> None:
    """Board, L4T, vectors and memory come from the tree."""
    found = host(orin)
    assert found["board"] == "NVIDIA Jetson Orin Nano Developer Kit" and found["l4t"] == "36.4.3"
    assert found["vectors"] == ["NEON"] and found["packages"]["numpy"]
    assert memory_mib(orin) == {"rss_mib": 100.0, "rss_peak_mib": 200.0}
