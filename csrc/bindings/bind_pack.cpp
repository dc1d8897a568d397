// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>
#include <string>

#include "bindings/arrays.hpp"
#include "ops/pack.hpp"

namespace rasant {
namespace {

// (1, channels, h, w) as channels * h rows of w.
ImageView<float> planes(const HostArray& out, const char* name, int channels) {
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

}  // namespace
}  // namespace rasant

void bind_pack(pybind11::module_& m) {
  using namespace rasant;
  m.def(
      "pack_color",
      [](const HostArray& color, const std::array<int, 3>& channel, const std::array<float, 3>& gain,
         const std::array<float, 3>& offset, const std::string& interpolation, const HostArray& out_color,
         int threads) {
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
        py::gil_scoped_release release;
        pack_color_cpu(source, rule, how, out, threads);
      },
      py::arg("color"), py::arg("channel"), py::arg("gain"), py::arg("offset"), py::arg("interpolation"),
      py::arg("out_color"), py::arg("threads"));
  m.def(
      "pack_depth",
      [](const HostArray& depth, const std::string& interpolation, const HostArray& out_depth, int threads) {
        require<float>(depth, "depth", 2);
        const auto how = interpolation_of(interpolation);
        const auto source = view<float>(depth);
        const auto out = planes(out_depth, "out_depth", 1);
        py::gil_scoped_release release;
        pack_depth_cpu(source, how, out, threads);
      },
      py::arg("depth"), py::arg("interpolation"), py::arg("out_depth"), py::arg("threads"));
}
