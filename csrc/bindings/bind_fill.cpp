// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"
#include "ops/fill.hpp"

namespace rasant {
namespace {

// depth and out (H, W) float32, apart from each other.
void fill_holes(const HostArray& depth, int passes, bool clamp, const HostArray& out, int threads) {
  require<float>(depth, "depth", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", out, "out");
  const auto from = view<float>(depth);
  const auto to = mutable_view<float>(out);
  py::gil_scoped_release release;
  fill_holes_cpu(from, to, {passes, clamp}, threads);
}

// depth (H, W) uint16 or float32, out (H, W) float32.
void to_metres(const HostArray& depth, float scale, const HostArray& out, int threads) {
  const bool counts = depth.is<std::uint16_t>();
  check<BadDtype>(counts || depth.is<float>(), "depth must be uint16 counts or float32, got ", describe(depth),
                  "; convert it once with depth.astype(...)");
  counts ? require<std::uint16_t>(depth, "depth", 2) : require<float>(depth, "depth", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", out, "out");
  const auto to = mutable_view<float>(out);
  if (counts) {
    const auto from = view<std::uint16_t>(depth);
    py::gil_scoped_release release;
    to_metres_cpu(from, to, scale, threads);
  } else {
    const auto from = view<float>(depth);
    py::gil_scoped_release release;
    to_metres_cpu(from, to, scale, threads);
  }
}

}  // namespace
}  // namespace rasant

void bind_fill(pybind11::module_& m) {
  m.def("fill_holes", &rasant::fill_holes);
  m.def("to_metres", &rasant::to_metres);
}
