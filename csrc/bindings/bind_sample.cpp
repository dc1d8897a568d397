// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "ops/sample.hpp"

namespace rasant {
namespace {

using Mask = std::optional<Array>;

PointSet point_set(const Array& points, const char* name, const Mask& valid) {
  require<float>(points, name, 2);
  require_shape(points, name, {points.shape(0), 3});
  if (valid) {
    require<bool>(*valid, "valid", 1);
    require_shape(*valid, "valid", {points.shape(0)});
  }
  return {static_cast<const float*>(points.data()), valid ? static_cast<const std::uint8_t*>(valid->data()) : nullptr,
          static_cast<int>(points.shape(0))};
}

// points (N, 3) float32, valid (N,) bool or None, out (count,) int32.
void farthest_points(const Array& points, const Mask& valid, int start, const Array& out, StreamArgument stream) {
  const PointSet set = point_set(points, "points", valid);
  require<std::int32_t>(out, "out", 1, true);
  require_apart(points, "points", out, "out");
  if (valid) require_apart(*valid, "valid", out, "out");
  const bool device = on_device(stream.stream, points, out, valid ? *valid : points);
  const int count = static_cast<int>(out.shape(0));
  auto* const indices = static_cast<std::int32_t*>(out.mutable_data());
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(farthest_points_cuda(set, count, start, indices, stream.stream));
    return;
  }
  farthest_points_cpu(set, count, start, indices);
}

// queries (Q, 3) and points (N, 3) float32, valid (N,) bool or None; out_indices int32 and out_squared float32 (Q, k).
void nearest_neighbours(const Array& queries, const Array& points, const Mask& valid, const Array& out_indices,
                        const Array& out_squared, int threads, StreamArgument stream) {
  const PointSet from = point_set(queries, "queries", {}), set = point_set(points, "points", valid);
  require<std::int32_t>(out_indices, "out_indices", 2, true);
  require<float>(out_squared, "out_squared", 2, true);
  require_shape(out_indices, "out_indices", {queries.shape(0), out_indices.shape(1)});
  require_shape(out_squared, "out_squared", {queries.shape(0), out_indices.shape(1)});
  for (const Array* in : {&queries, &points, valid ? &*valid : &points}) {
    require_apart(*in, "an input", out_indices, "out_indices");
    require_apart(*in, "an input", out_squared, "out_squared");
  }
  require_apart(out_indices, "out_indices", out_squared, "out_squared");
  const bool device = on_device(stream.stream, queries, points, out_indices, out_squared, valid ? *valid : points);
  const int k = static_cast<int>(out_indices.shape(1));
  auto* const indices = static_cast<std::int32_t*>(out_indices.mutable_data());
  auto* const squared = static_cast<float*>(out_squared.mutable_data());
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(nearest_neighbours_cuda(from, set, k, indices, squared, stream.stream));
    return;
  }
  nearest_neighbours_cpu(from, set, k, indices, squared, threads);
}

}  // namespace
}  // namespace rasant

void bind_sample(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("farthest_points", &rasant::farthest_points, py::arg("points"), py::arg("valid"), py::arg("start"),
        py::arg("out"), py::arg("stream") = py::none());
  m.def("nearest_neighbours", &rasant::nearest_neighbours, py::arg("queries"), py::arg("points"), py::arg("valid"),
        py::arg("out_indices"), py::arg("out_squared"), py::arg("threads"), py::arg("stream") = py::none());
}
