// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "ops/normalize.hpp"

namespace rasant {
namespace {

using Mask = std::optional<HostArray>;

// An empty view where there is no mask.
ImageView<const std::uint8_t> mask_view(const Mask& mask, const HostArray& value) {
  if (!mask) return {};
  require<bool>(*mask, "foreground", 2);
  require_shape(*mask, "foreground", {value.shape(0), value.shape(1)});
  return {static_cast<const std::uint8_t*>(mask->data()), static_cast<int>(mask->shape(0)),
          static_cast<int>(mask->shape(1)), 1, static_cast<std::ptrdiff_t>(mask->shape(1))};
}

// (count, low, high, mean) of the used pixels.
py::tuple measure(const HostArray& value, const Mask& foreground, int threads) {
  require<float>(value, "value", 2);
  const auto mask = mask_view(foreground, value);
  const auto image = view<float>(value);
  ValueRange range;
  {
    py::gil_scoped_release release;
    range = measure_cpu(image, mask, threads);
  }
  return py::make_tuple(range.count, range.low, range.high, range.mean);
}

// (low, high), or None without a used pixel.
py::object percentiles(const HostArray& value, const Mask& foreground, double low_percent, double high_percent) {
  require<float>(value, "value", 2);
  const auto mask = mask_view(foreground, value);
  const auto image = view<float>(value);
  float low = 0.0f, high = 0.0f;
  bool found = false;
  {
    py::gil_scoped_release release;
    found = percentiles_cpu(image, mask, low_percent, high_percent, low, high);
  }
  if (!found) return py::none();
  return py::make_tuple(low, high);
}

// (near, far) means of all valid depths.
py::tuple two_means(const HostArray& depth, int threads) {
  require<float>(depth, "depth", 2);
  const auto image = view<float>(depth);
  TwoMeans means;
  {
    py::gil_scoped_release release;
    means = two_means_cpu(image, threads);
  }
  return py::make_tuple(means.near, means.far);
}

void normalize(const HostArray& value, const Mask& foreground, float low, float unit, float gain, float base,
               float fill, float floor, float ceiling, int levels, const HostArray& out, int threads) {
  require<float>(value, "value", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {value.shape(0), value.shape(1)});
  require_apart(value, "value", out, "out");
  const auto mask = mask_view(foreground, value);
  const auto from = view<float>(value);
  const auto to = mutable_view<float>(out);
  py::gil_scoped_release release;
  normalize_cpu(from, mask, to, {low, unit, gain, base, fill, floor, ceiling, levels}, threads);
}

}  // namespace
}  // namespace rasant

void bind_normalize(pybind11::module_& m) {
  m.def("measure", &rasant::measure);
  m.def("percentiles", &rasant::percentiles);
  m.def("two_means", &rasant::two_means);
  m.def("normalize", &rasant::normalize);
}
