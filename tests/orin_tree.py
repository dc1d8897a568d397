# SPDX-License-Identifier: Apache-2.0
"""The files of a Jetson Orin Nano that a benchmark reads, written below a folder: JetPack 6, mode 0, GPU at rest."""

from __future__ import annotations

from pathlib import Path

HWMON, POLICY = "sys/class/hwmon/hwmon1", "sys/devices/system/cpu/cpufreq/policy0"
GPU, VIC = "sys/class/devfreq/17000000.gpu", "sys/class/devfreq/15340000.vic"
FILES = {
    "sys/class/hwmon/hwmon0/name": "gpu_thermal",
    f"{HWMON}/name": "ina3221",
    f"{HWMON}/in1_label": "VDD_IN", f"{HWMON}/in1_input": "5040", f"{HWMON}/curr1_input": "1200",
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV", f"{HWMON}/in2_input": "5040", f"{HWMON}/curr2_input": "500",
    f"{HWMON}/in3_label": "VDD_SOC", f"{HWMON}/in3_input": "5032", f"{HWMON}/curr3_input": "304",
    f"{HWMON}/in7_label": "sum of shunt voltages", f"{HWMON}/in7_input": "0",
    "sys/class/hwmon/hwmon2/name": "soctherm_oc", "sys/class/hwmon/hwmon2/oc1_event_cnt": "0",
    "sys/class/hwmon/hwmon2/oc2_event_cnt": "3",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal", "sys/class/thermal/thermal_zone0/temp": "47312",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal", "sys/class/thermal/thermal_zone1/temp": "45250",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal",  # its engine is off: reading temp gives EAGAIN
    f"{POLICY}/scaling_cur_freq": "1510400", f"{POLICY}/scaling_governor": "schedutil",
    f"{GPU}/device/of_node/name": "gpu\0", f"{GPU}/cur_freq": "306000000",
    f"{VIC}/device/of_node/name": "vic\0", f"{VIC}/cur_freq": "115200000",
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000",
    "var/lib/nvpmodel/status": "pmode:0000",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=7W >\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes crc32\n",
    "proc/self/status": "VmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n",
}  # fmt: skip


def write_orin_tree(root: Path) -> Path:
    """The tree below `root`, which is returned."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root
