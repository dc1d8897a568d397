// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <cstring>

#include "bindings/arrays.hpp"
#include "ops/overlay.hpp"

namespace rasant {
namespace {

using Two = std::array<double, 2>;  // down, across

// picture and out (H, W, 3) uint8, apart or the same array; values (h, w) float32; colors (256, 4) uint8.
void blend_map(const Array& picture, const Array& values, const Two& step, const Two& shift, float gain,
               const HostArray& colors, const Array& out, int threads, StreamArgument stream) {
  require<std::uint8_t>(picture, "picture", 3);
  check<BadShape>(picture.shape(2) == 3, "picture must be (H, W, 3), got ", describe(picture),
                  "; drop alpha or repeat grey three times");
  require<float>(values, "values", 2);
  require<std::uint8_t>(colors, "colors", 2);
  require_shape(colors, "colors", {overlay_levels, 4});
  require<std::uint8_t>(out, "out", 3, true);
  require_shape(out, "out", {picture.shape(0), picture.shape(1), 3});
  if (out.data() != picture.data()) require_apart(picture, "picture", out, "out");
  require_apart(values, "values", out, "out");
  check(std::isfinite(gain) && gain > 0.0f, "gain must be a finite number above 0, got ", gain,
        "; pass 255 over the value that glows brightest");
  const auto from = view<std::uint8_t>(picture);
  const auto map = view<float>(values);
  const auto to = mutable_view<std::uint8_t>(out);
  OverlayParams params{overlay_axis(step[0], shift[0], map.height, to.height),
                       overlay_axis(step[1], shift[1], map.width, to.width),
                       gain,
                       {}};
  std::memcpy(params.colors.of, colors.data(), sizeof params.colors.of);
  const bool device = on_device(stream.stream, picture, values, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(overlay_cuda(from, map, params, to, stream.stream));
    return;
  }
  overlay_cpu(from, map, params, to, threads);
}

}  // namespace
}  // namespace rasant

void bind_overlay(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("blend_map", &rasant::blend_map, py::arg("picture"), py::arg("values"), py::arg("step"), py::arg("shift"),
        py::arg("gain"), py::arg("colors"), py::arg("out"), py::arg("threads"), py::arg("stream") = py::none());
}
