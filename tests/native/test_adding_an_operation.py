# SPDX-License-Identifier: Apache-2.0
"""A new operation is new files and one word in a list of CMakeLists.txt: built for CPU and emulator, and called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "ops/negate.hpp": """
        // negate: out = -in, pixel by pixel.
        #pragma once
        #include "core/hd.hpp"
        #include "core/image.hpp"
        #include "core/stream.hpp"
        namespace rasant {
        RASANT_HD float negated(float value) { return -value; }
        void negate_cpu(ImageView<const float> in, ImageView<float> out);
        void negate_cuda(ImageView<const float> in, ImageView<float> out, Stream stream);
        }  // namespace rasant
    """,
    "ops/negate_cpu.cpp": """
        #include "ops/negate.hpp"
        namespace rasant {
        void negate_cpu(ImageView<const float> in, ImageView<float> out) {
          for (int y = 0; y < in.height; ++y)
            for (int x = 0; x < in.width; ++x) out(y, x) = negated(in(y, x));
        }
        }  // namespace rasant
    """,
    "ops/negate_cuda.cu": """
        #include "core/launch.hpp"
        #include "ops/negate.hpp"
        namespace rasant {
        namespace {
        RASANT_KERNEL void negate(ImageView<const float> in, ImageView<float> out) {
          const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
          const int y = static_cast<int>(blockIdx.y);
          if (x < in.width) out.data[y * out.stride + x] = negated(in.data[y * in.stride + x]);
        }
        }  // namespace
        void negate_cuda(ImageView<const float> in, ImageView<float> out, Stream stream) {
          const dim3 grid(blocks_for(in.width, 32), static_cast<unsigned>(in.height));
          launch(negate, grid, dim3(32), 0, stream, in, out);
        }
        }  // namespace rasant
    """,
    "bindings/bind_negate.cpp": """
        #include "bindings/arrays.hpp"
        #include "ops/negate.hpp"
        namespace rasant {
        namespace {
        void negate(const Array& in, const Array& out, StreamArgument stream) {
          require<float>(in, "in", 2);
          require<float>(out, "out", 2, true);
          require_shape(out, "out", {in.shape(0), in.shape(1)});
          const bool device = on_device(stream.stream, in, out);
          py::gil_scoped_release release;
          if (device) {
            RASANT_ON_GPU(negate_cuda(view<float>(in), mutable_view<float>(out), stream.stream));
            return;
          }
          negate_cpu(view<float>(in), mutable_view<float>(out));
        }
        }  // namespace
        }  // namespace rasant
        void bind_negate(pybind11::module_& m) {
          namespace py = pybind11;
          m.def("negate", &rasant::negate, py::arg("in"), py::arg("out"), py::arg("stream") = py::none());
        }
    """,
}
PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import _native, _emu
values = np.arange(35, dtype=np.float32).reshape(5, 7)
out = np.empty_like(values)
_native.negate(values, out)
there, answer = _emu.DeviceArray([5, 7], "f4"), _emu.DeviceArray([5, 7], "f4")
there.copy_from(values)
_emu.negate(there, answer)
back = np.empty_like(values)
answer.copy_to(back)
print(np.array_equal(out, -values), np.array_equal(back, -values))
"""


@pytest.mark.timeout(900)  # it compiles; a busy machine takes its time
def test_an_operation_needs_no_edit_elsewhere(tmp_path: Path) -> None:
    """Four new files in a copy of csrc, and the list set to them: both modules build and run the operation."""
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    for name, text in FILES.items():
        (tmp_path / "csrc" / name).write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    configure = [
        "cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), "-G", "Ninja", "-DRASANT_ONLY_OPS=negate",
        "-DRASANT_EMU=ON", "-DRASANT_CUDA=OFF", "-DCMAKE_BUILD_TYPE=Debug", f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
    ]  # fmt: skip
    for command in (configure, ["cmake", "--build", str(tmp_path / "build"), "-j", "1"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=800)
        assert done.returncode == 0, done.stdout + done.stderr
    program = [sys.executable, "-c", PROGRAM, str(tmp_path / "build")]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", "True"]
