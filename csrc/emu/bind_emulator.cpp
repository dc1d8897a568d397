// SPDX-License-Identifier: Apache-2.0
// rasant._emu alone: the order of threads, and the kernels that try the emulator itself.
#include "bindings/arrays.hpp"
#include "emu/block.hpp"
#include "emu/trial.hpp"

namespace rasant {
namespace {

template <class T>
T* device_data(const Array& array, const char* name) {
  require<T>(array, name, 1);
  check(array.on_device(), name, " must be in emulated device memory; copy it with rasant.ops.device.to_device");
  return static_cast<T*>(array.mutable_data());
}

void rotate_blocks(const Array& source, const Array& out, bool with_barrier) {
  require_shape(out, "out", {source.shape(0)});
  check<BadShape>(source.shape(0) % 64 == 0, "a whole number of blocks of 64 is needed, got ", describe(source));
  emu::rotate_blocks(device_data<std::int32_t>(source, "source"), device_data<std::int32_t>(out, "out"),
                     static_cast<int>(source.shape(0) / 64), with_barrier, nullptr);
}

void call_warps(const Array& source, const Array& sums, const Array& votes, const Array& largest) {
  require_shape(sums, "sums", {source.shape(0)});
  require_shape(votes, "votes", {source.shape(0)});
  emu::call_warps(device_data<std::int32_t>(source, "source"), device_data<std::int32_t>(sums, "sums"),
                  device_data<std::uint32_t>(votes, "votes"), device_data<std::int32_t>(largest, "largest"),
                  static_cast<int>(source.shape(0)), nullptr);
}

}  // namespace
}  // namespace rasant

void bind_emulator(pybind11::module_& m) {
  using namespace rasant;
  m.def("set_order", &emu::set_order, py::arg("seed"));
  m.def("trial_rotate", &rotate_blocks, py::arg("source"), py::arg("out"), py::arg("with_barrier"));
  m.def(
      "trial_write",
      [](const Array& out, std::int64_t at) { emu::write_outside(device_data<std::int32_t>(out, "out"), at, nullptr); },
      py::arg("out"), py::arg("at"));
  m.def("trial_write_shared", [](int at) { emu::write_outside_shared(at, nullptr); }, py::arg("at"));
  m.def(
      "trial_diverge",
      [](const Array& out) {
        require_shape(out, "out", {64});
        emu::diverge_at_a_barrier(device_data<std::int32_t>(out, "out"), nullptr);
      },
      py::arg("out"));
  m.def("trial_warps", &call_warps, py::arg("source"), py::arg("sums"), py::arg("votes"), py::arg("largest"));
}
