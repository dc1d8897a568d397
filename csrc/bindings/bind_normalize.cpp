// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/fetch.hpp"
#include "ops/normalize.hpp"

namespace rasant {
namespace {

using Mask = std::optional<Array>;

// An empty view where there is no mask.
ImageView<const std::uint8_t> mask_view(const Mask& mask, const Array& value) {
  if (!mask) return {};
  require<bool>(*mask, "foreground", 2);
  require_shape(*mask, "foreground", {value.shape(0), value.shape(1)});
  return view<std::uint8_t>(*mask);
}

bool on_device(StreamArgument stream, const Array& value, const Mask& mask) {
  return mask ? on_device(stream.stream, value, *mask) : on_device(stream.stream, value);
}

// (count, low, high, mean) of the used pixels.
py::tuple measure(const Array& value, const Mask& foreground, int threads, StreamArgument stream) {
  require<float>(value, "value", 2);
  const auto mask = mask_view(foreground, value);
  const auto image = view<float>(value);
  const bool device = on_device(stream, value, foreground);
  ValueRange range;
  {
    py::gil_scoped_release release;
    if (device) {
      RASANT_ON_GPU(range = fetch(measure_cuda(image, mask, stream.stream), stream.stream));
    } else {
      range = measure_cpu(image, mask, threads);
    }
  }
  return py::make_tuple(range.count, range.low, range.high, range.mean);
}

// (low, high), or None without a used pixel.
py::object percentiles(const Array& value, const Mask& foreground, double low_percent, double high_percent,
                       StreamArgument stream) {
  require<float>(value, "value", 2);
  const auto mask = mask_view(foreground, value);
  const auto image = view<float>(value);
  const bool device = on_device(stream, value, foreground);
  Percentiles ends;
  {
    py::gil_scoped_release release;
    if (device) {
      RASANT_ON_GPU(ends =
                        fetch(percentiles_cuda(image, mask, low_percent, high_percent, stream.stream), stream.stream));
    } else {
      ends = percentiles_cpu(image, mask, low_percent, high_percent);
    }
  }
  if (!ends.found) return py::none();
  return py::make_tuple(ends.low, ends.high);
}

// (near, far) means of all valid depths.
py::tuple two_means(const Array& depth, int threads, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  const auto image = view<float>(depth);
  const bool device = on_device(stream.stream, depth);
  TwoMeans means;
  {
    py::gil_scoped_release release;
    if (device) {
      RASANT_ON_GPU(means = fetch(two_means_cuda(image, stream.stream), stream.stream));
    } else {
      means = two_means_cpu(image, threads);
    }
  }
  return py::make_tuple(means.near, means.far);
}

void normalize(const Array& value, const Mask& foreground, float low, float unit, float gain, float base, float fill,
               float floor, float ceiling, int levels, const Array& out, int threads, StreamArgument stream) {
  require<float>(value, "value", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {value.shape(0), value.shape(1)});
  require_apart(value, "value", out, "out");
  const auto mask = mask_view(foreground, value);
  const auto from = view<float>(value);
  const auto to = mutable_view<float>(out);
  const NormalizeParams params{low, unit, gain, base, fill, floor, ceiling, levels};
  const bool device =
      foreground ? on_device(stream.stream, value, *foreground, out) : on_device(stream.stream, value, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(normalize_cuda(from, mask, to, params, stream.stream));
    return;
  }
  normalize_cpu(from, mask, to, params, threads);
}

}  // namespace
}  // namespace rasant

void bind_normalize(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("measure", &rasant::measure, py::arg("value"), py::arg("foreground"), py::arg("threads"),
        py::arg("stream") = py::none());
  m.def("percentiles", &rasant::percentiles, py::arg("value"), py::arg("foreground"), py::arg("low_percent"),
        py::arg("high_percent"), py::arg("stream") = py::none());
  m.def("two_means", &rasant::two_means, py::arg("depth"), py::arg("threads"), py::arg("stream") = py::none());
  m.def("normalize", &rasant::normalize, py::arg("value"), py::arg("foreground"), py::arg("low"), py::arg("unit"),
        py::arg("gain"), py::arg("base"), py::arg("fill"), py::arg("floor"), py::arg("ceiling"), py::arg("levels"),
        py::arg("out"), py::arg("threads"), py::arg("stream") = py::none());
}
