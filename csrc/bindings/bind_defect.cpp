// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "ops/defect.hpp"

namespace rasant {
namespace {

using Optional = std::optional<Array>;
using Named = std::pair<const char*, const Array*>;

DefectSource source_of(const std::string& name) {
  if (name == "field") return DefectSource::field;
  if (name == "range") return DefectSource::range;
  if (name == "hills") return DefectSource::hills;
  if (name == "relief") return DefectSource::relief;
  check(name == "spread", "source must be field, range, hills, relief or spread, got ", name);
  return DefectSource::spread;
}

DefectRule rule_of(const std::string& name) {
  if (name == "positive") return DefectRule::positive;
  if (name == "absolute") return DefectRule::absolute;
  check(name == "everywhere", "rule must be positive, absolute or everywhere, got ", name);
  return DefectRule::everywhere;
}

// The image, or one without data where it is absent. `planes`: 1 for (H, W), 3 for (3, H, W).
template <class T, class Stored = T>
ImageView<T> image(const Optional& array, const char* name, const Array& mask, int planes, bool written = false) {
  if (!array) return {};
  require<Stored>(*array, name, planes == 1 ? 2 : 3, written);
  const py::ssize_t h = mask.shape(0), w = mask.shape(1);
  planes == 1 ? require_shape(*array, name, {h, w}) : require_shape(*array, name, {planes, h, w});
  return {static_cast<T*>(array->mutable_data()), static_cast<int>(planes * h), static_cast<int>(w), 1, w};
}

// An output may be the input of the same position, and shares memory with nothing else.
void require_all_apart(const std::vector<Named>& inputs, const std::vector<Named>& outputs) {
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (!outputs[o].second) continue;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].second && !(i == o && inputs[i].second->data() == outputs[o].second->data()))
        require_apart(*inputs[i].second, inputs[i].first, *outputs[o].second, outputs[o].first);
    for (std::size_t k = 0; k < o; ++k)
      if (outputs[k].second) require_apart(*outputs[k].second, outputs[k].first, *outputs[o].second, outputs[o].first);
  }
}

// Images (h, w) or, colour, (3, h, w), and the field also (1, h, w); None where absent. numbers: threshold, gain,
// offset, kept, kept_color, low, high, amplitude, visible, sigma, skew_y, skew_x.
void apply_defect(const Array& field, const Optional& support, const Optional& foreground, const Optional& depth,
                  const Optional& relief, const Optional& color, const Optional& texture, const Optional& out_depth,
                  const Optional& out_color, const Array& out_mask, const std::string& source, const std::string& rule,
                  bool add, const std::array<double, 12>& numbers, int threads, StreamArgument stream) {
  require<bool>(out_mask, "out_mask", 2, true);
  const py::ssize_t h = out_mask.shape(0), w = out_mask.shape(1);
  const bool stacked = field.ndim() == 3;
  require<float>(field, "field", stacked ? 3 : 2);
  stacked ? require_shape(field, "field", {1, h, w}) : require_shape(field, "field", {h, w});
  check(depth.has_value() == out_depth.has_value() && color.has_value() == out_color.has_value(),
        "depth and out_depth, color and out_color are given together, or not at all");
  const DefectImages images{{static_cast<const float*>(field.data()), static_cast<int>(h), static_cast<int>(w), 1, w},
                            image<const std::uint8_t, bool>(support, "support", out_mask, 1),
                            image<const std::uint8_t, bool>(foreground, "foreground", out_mask, 1),
                            image<const float, float>(depth, "depth", out_mask, 1),
                            image<const float, float>(relief, "relief", out_mask, 1),
                            image<const float, float>(color, "color", out_mask, 3),
                            image<const float, float>(texture, "texture", out_mask, 3),
                            image<float>(out_depth, "out_depth", out_mask, 1, true),
                            image<float>(out_color, "out_color", out_mask, 3, true),
                            mutable_view<std::uint8_t>(out_mask)};
  const auto given = [](const Optional& array) { return array ? &*array : nullptr; };
  require_all_apart({{"depth", given(depth)},
                     {"color", given(color)},
                     {"field", &field},
                     {"support", given(support)},
                     {"foreground", given(foreground)},
                     {"relief", given(relief)},
                     {"texture", given(texture)}},
                    {{"out_depth", given(out_depth)}, {"out_color", given(out_color)}, {"out_mask", &out_mask}});
  const auto number = [&](std::size_t i) { return static_cast<float>(numbers[i]); };
  const DefectParams params{source_of(source), rule_of(rule), add,        number(0),   number(1),
                            number(2),         number(3),     number(4),  number(5),   number(6),
                            number(7),         number(8),     numbers[9], numbers[10], numbers[11]};
  const auto present = [&](const Optional& array) { return array ? &*array : &field; };
  const bool device =
      on_device(stream.stream, {&field, present(support), present(foreground), present(depth), present(relief),
                                present(color), present(texture), present(out_depth), present(out_color), &out_mask});
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(apply_defect_cuda(images, params, stream.stream));
    return;
  }
  apply_defect_cpu(images, params, threads);
}

// (k, k) int32, k = 2 ceil(3 sigma) + 1, in units of 2^-30.
py::array_t<std::int32_t> skew_kernel_image(double sigma, double skew_y, double skew_x) {
  const SkewKernel kernel = skew_kernel(sigma, skew_y, skew_x);
  const int r = kernel.radius;
  py::array_t<std::int32_t> out({2 * r + 1, 2 * r + 1});
  auto entries = out.mutable_unchecked<2>();
  for (int y = -r; y <= r; ++y)
    for (int x = -r; x <= r; ++x)
      entries(y + r, x + r) = skew_entry(kernel, y, x, kernel.weight[std::abs(y)] * kernel.weight[std::abs(x)]);
  return out;
}

}  // namespace
}  // namespace rasant

void bind_defect(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("apply_defect", &rasant::apply_defect, py::arg("field"), py::arg("support"), py::arg("foreground"),
        py::arg("depth"), py::arg("relief"), py::arg("color"), py::arg("texture"), py::arg("out_depth"),
        py::arg("out_color"), py::arg("out_mask"), py::arg("source"), py::arg("rule"), py::arg("add"),
        py::arg("numbers"), py::arg("threads"), py::arg("stream") = py::none());
  m.def("skew_kernel", &rasant::skew_kernel_image);
}
