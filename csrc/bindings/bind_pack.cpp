// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>
#include <string>

#include "bindings/arrays.hpp"
#include "ops/pack.hpp"

namespace rasant {
namespace {

using Three = std::array<float, 3>;

// (1, channels, h, w) as channels * h rows of w.
ImageView<float> planes(const Array& out, const char* name, int channels) {
  require<float>(out, name, 4, true);
  check<BadShape>(out.shape(0) == 1 && out.shape(1) == channels, name, " must be (1, ", channels, ", h, w), got ",
                  describe(out), "; allocate it with that shape");
  const int height = static_cast<int>(out.shape(2)), width = static_cast<int>(out.shape(3));
  return {static_cast<float*>(out.mutable_data()), channels * height, width, 1, width};
}

Interpolation interpolation_of(const std::string& name) {
  if (name == "area") return Interpolation::kArea;
  if (name == "bilinear") return Interpolation::kBilinear;
  check(name == "nearest", "interpolation must be area, bilinear or nearest, got ", name, "; pass one of them");
  return Interpolation::kNearest;
}

// color (H, W, 3) uint8, out_color (1, 3, h, w) float32.
void pack_color(const Array& color, const std::array<int, 3>& channel, const Three& gain, const Three& offset,
                const std::string& interpolation, const Array& out_color, int threads, StreamArgument stream) {
  require<std::uint8_t>(color, "color", 3);
  check<BadShape>(color.shape(2) == 3, "color must be (H, W, 3), got ", describe(color),
                  "; drop alpha or repeat grey three times");
  ColorRule rule{};
  for (std::size_t c = 0; c < 3; ++c) {
    check(channel[c] >= 0 && channel[c] < 3, "channel must be 0, 1 or 2, got ", channel[c], "; use (0, 1, 2)");
    rule.channel[c] = channel[c], rule.gain[c] = gain[c], rule.offset[c] = offset[c];
  }
  const auto how = interpolation_of(interpolation);
  const auto source = view<std::uint8_t>(color);
  const auto out = planes(out_color, "out_color", 3);
  const bool device = on_device(stream.stream, color, out_color);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(pack_color_cuda(source, rule, how, out, stream.stream));
    return;
  }
  pack_color_cpu(source, rule, how, out, threads);
}

// depth (H, W) float32, out_depth (1, 1, h, w) float32.
void pack_depth(const Array& depth, const std::string& interpolation, const Array& out_depth, int threads,
                StreamArgument stream) {
  require<float>(depth, "depth", 2);
  const auto how = interpolation_of(interpolation);
  const auto source = view<float>(depth);
  const auto out = planes(out_depth, "out_depth", 1);
  const bool device = on_device(stream.stream, depth, out_depth);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(pack_depth_cuda(source, how, out, stream.stream));
    return;
  }
  pack_depth_cpu(source, how, out, threads);
}

}  // namespace
}  // namespace rasant

void bind_pack(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("pack_color", &rasant::pack_color, py::arg("color"), py::arg("channel"), py::arg("gain"), py::arg("offset"),
        py::arg("interpolation"), py::arg("out_color"), py::arg("threads"), py::arg("stream") = py::none());
  m.def("pack_depth", &rasant::pack_depth, py::arg("depth"), py::arg("interpolation"), py::arg("out_depth"),
        py::arg("threads"), py::arg("stream") = py::none());
}
