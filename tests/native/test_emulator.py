# SPDX-License-Identifier: Apache-2.0
"""The emulator finds what a GPU would hide: missing barriers, writes out of bounds, divergent barriers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DeviceFailed, RasantError
from rasant.ops.device import empty, native_for

emulator = native_for("emu")
CSRC = Path(__file__).resolve().parents[2] / "csrc"
BLOCK = 64
SANITIZED = "RASANT_SANITIZED" in os.environ  # then AddressSanitizer ends the process at the faulty instruction


def rotated(values: np.ndarray) -> np.ndarray:
    """What `trial_rotate` computes: each value from its right neighbour, cyclic in blocks of 64."""
    return np.roll(values.reshape(-1, BLOCK), -1, axis=1).reshape(-1)


@pytest.mark.parametrize("seed", ORDERS)
def test_a_barrier_makes_the_order_irrelevant(seed: int) -> None:
    """Threads that meet at a barrier give one result, whatever order they and their blocks run in."""
    values = np.arange(3 * BLOCK, dtype=np.int32)
    out = put(np.zeros_like(values))
    with order(seed):
        emulator.trial_rotate(put(values), out, True)
    assert np.array_equal(get(out), rotated(values))


@pytest.mark.parametrize("seed", ORDERS)
def test_a_missing_barrier_is_caught(seed: int) -> None:
    """Without the barrier the result is wrong in every order: unset shared memory is poisoned, never 0 by luck."""
    values = np.zeros(3 * BLOCK, np.int32)
    out = put(values)
    with order(seed):
        emulator.trial_rotate(put(values), out, False)
    wrong = get(out)[get(out) != 0]
    assert wrong.size > 0 and set(wrong.tolist()) == {-0x32323233}, "0xCDCDCDCD is what a block starts with"


def test_orders_differ_between_seeds() -> None:
    """Two seeds are two permutations: the faulty kernel goes wrong in different places."""
    values = np.arange(3 * BLOCK, dtype=np.int32)
    found = set()
    for seed in (1, 2, 3):
        out = put(np.zeros_like(values))
        with order(seed):
            emulator.trial_rotate(put(values), out, False)
        found.add(get(out).tobytes())
    assert len(found) == 3


@pytest.mark.skipif(SANITIZED, reason="the sanitizer sees it first; see the next test but one")
@pytest.mark.parametrize("at", [BLOCK, BLOCK + 5, -1])
def test_a_write_outside_an_array_is_caught(at: int) -> None:
    """Behind and before an allocation: told with its size and the place of the write, and told once."""
    out = put(np.zeros(BLOCK, np.int32))
    with pytest.raises(RasantError, match=rf"outside device memory of 256 bytes, at byte {4 * at};"):
        emulator.trial_write(out, at)
    emulator.trial_write(out, 3)
    assert get(out)[3] == 1


@pytest.mark.skipif(SANITIZED, reason="the sanitizer sees it first; see the next test")
def test_a_write_outside_shared_memory_is_caught() -> None:
    """A shared array has guards of its own."""
    with pytest.raises(RasantError, match="outside a shared array of 256 bytes, at byte 256"):
        emulator.trial_write_shared(BLOCK)
    emulator.trial_write_shared(BLOCK - 1)


@pytest.mark.skipif(not SANITIZED, reason="needs a build with sanitizers: make sanitize")
@pytest.mark.parametrize("call", ["trial_write(out, 64)", "trial_write(out, -1)", "trial_write_shared(64)"])
def test_a_sanitizer_reports_the_write(call: str) -> None:
    """Under AddressSanitizer the guards are poisoned: the write itself is reported."""
    program = (
        "import numpy; from rasant.ops.device import native_for, to_device\n"
        "out = to_device(numpy.zeros(64, numpy.int32), device='emu')\n"
        f"native_for('emu').{call}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "AddressSanitizer: use-after-poison" in done.stderr and "WRITE of size 4" in done.stderr


@pytest.mark.parametrize("seed", ORDERS)
def test_a_divergent_barrier_is_caught(seed: int) -> None:
    """Half a block at the barrier and half in a shuffle can never go on: an error with the counts, not a hang."""
    with order(seed), pytest.raises(RasantError, match=r"divergent barrier: of 64 threads .* 32 wait at"):
        emulator.trial_diverge(put(np.zeros(BLOCK, np.int32)))


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("count", [32, 64, 96, 1024])
def test_warps_exchange_values(count: int, seed: int) -> None:
    """A butterfly of shuffles sums each warp, a ballot gathers its votes, an atomic finds the largest of the block."""
    values = np.random.default_rng(seed).integers(-50, 50, count).astype(np.int32)
    sums, votes = put(np.zeros(count, np.int32)), put(np.zeros(count, np.uint32))
    largest = put(np.array([-1000], np.int32))
    with order(seed):
        emulator.trial_warps(put(values), sums, votes, largest)
    warps = values.reshape(-1, 32)
    assert np.array_equal(get(sums), np.repeat(warps.sum(1), 32))
    assert np.array_equal(get(votes), np.repeat(((warps > 0) << np.arange(32)).sum(1), 32))
    assert get(largest)[0] == values.max()


def test_limits_of_a_gpu_are_kept() -> None:
    """A block of more than 1024 threads is refused as a GPU refuses it."""
    many = put(np.zeros(1056, np.int32))
    with pytest.raises(DeviceFailed, match=r"1\.\.1024"):
        emulator.trial_warps(many, many, put(np.zeros(1056, np.uint32)), put(np.zeros(1, np.int32)))


def test_host_memory_is_refused() -> None:
    """A numpy array is never taken for device memory."""
    with pytest.raises(ConfigError, match="to_device"):
        emulator.trial_write(np.zeros(BLOCK, np.int32), 0)
    with pytest.raises(ConfigError, match="copy those"):
        emulator.perlin_mask(np.zeros((4, 4), np.float32), np.zeros(1, np.float32), "positive",
                             empty((4, 4), np.int8, device="emu"), 1)  # fmt: skip


PROGRAM = """
#include "emu/fiber.hpp"
#include <cstdio>
using rasant::emu::Fiber;
static Fiber a, b;
static int trace = 0;
static double kept = 0.5;
static void first() {
  double x = kept;
  for (int k = 0; k < 3; ++k) {
    trace = trace * 10 + 1;
    x *= 2;
    a.suspend();
  }
  kept = x;
  a.suspend();
}
static void second() {
  for (;;) {
    trace = trace * 10 + 2;
    b.suspend();
  }
}
int main() {
  a.start(first);
  b.start(second);
  for (int k = 0; k < 3; ++k) {
    a.resume();
    b.resume();
  }
  a.resume();
  std::printf("%d %g", trace, kept);
}
"""


@pytest.mark.parametrize("flags", [[], ["-DRASANT_EMU_UCONTEXT"], ["-fsanitize=address,undefined"]])
def test_fibers_keep_their_place(tmp_path: Path, flags: list[str]) -> None:
    """Two fibers take turns and keep locals, by the hand-written switch, by ucontext, and under sanitizers."""
    source, program = tmp_path / "fibers.cpp", tmp_path / "fibers"
    source.write_text(PROGRAM, encoding="utf-8")
    files = [str(source), str(CSRC / "emu/fiber.cpp"), "-o", str(program)]
    subprocess.run(["g++", "-std=c++17", "-O1", *flags, f"-I{CSRC}", *files], check=True, timeout=120)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "121212 4"


def test_the_emulator_is_only_for_tests() -> None:
    """`import rasant` and an operation on the CPU never load it."""
    program = "import sys, rasant; from rasant.ops.fill import fill_holes; print('rasant._emu' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
