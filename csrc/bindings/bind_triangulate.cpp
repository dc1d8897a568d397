// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/lens_numbers.hpp"
#include "ops/triangulate.hpp"

namespace rasant {
namespace {

using Optional = std::optional<Array>;

// An image of the size of `out`, apart from it; no data for None.
ImageView<const float> measured(const Optional& a, const char* name, const Array& out) {
  if (!a) return {};
  require<float>(*a, name, 2);
  require_shape(*a, name, {out.shape(0), out.shape(1)});
  require_apart(*a, name, out, "out");
  return view<float>(*a);
}

TriangulateParams params_of(const LensNumbers& lens, const Pose& pose, float max_residual_px,
                            std::pair<float, float> depth_range_m) {
  TriangulateParams params;
  params.projector = narrow(lens_of(lens));
  for (std::size_t i = 0; i < 12; ++i) params.pose[i] = static_cast<float>(pose[i]);
  params.max_residual = max_residual_px;
  params.near = depth_range_m.first, params.far = depth_range_m.second;
  check_triangulate(params);
  return params;
}

// column and row (H, W) float32 or None, not both; rays (2, H, W) float32; out (H, W) float32, out_residual the same or
// None.
void triangulate(const Optional& column, const Optional& row, const Array& rays, const LensNumbers& lens,
                 const Pose& pose, float max_residual_px, std::pair<float, float> depth_range_m, const Array& out,
                 const Optional& out_residual, int threads, StreamArgument stream) {
  check(column || row, "column and row are both None; pass the one that lies across the baseline, or both");
  require<float>(out, "out", 2, true);
  require<float>(rays, "rays", 3);
  require_shape(rays, "rays", {2, out.shape(0), out.shape(1)});
  require_apart(rays, "rays", out, "out");
  const auto u = measured(column, "column", out), v = measured(row, "row", out);
  const auto depth = mutable_view<float>(out);
  ImageView<float> residual;
  if (out_residual) {
    require<float>(*out_residual, "out_residual", 2, true);
    require_shape(*out_residual, "out_residual", {out.shape(0), out.shape(1)});
    for (const Array* other : {&out, &rays, column ? &*column : &out, row ? &*row : &out})
      require_apart(*other, "another argument", *out_residual, "out_residual");
    residual = mutable_view<float>(*out_residual);
  }
  const ImageView<const float> table{static_cast<const float*>(rays.data()), 2 * depth.height, depth.width, 1,
                                     depth.width};
  const TriangulateParams params = params_of(lens, pose, max_residual_px, depth_range_m);
  const bool device =
      on_device(stream.stream, column ? *column : out, row ? *row : out, rays, out, out_residual ? *out_residual : out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(triangulate_cuda(u, v, table, params, depth, residual, stream.stream));
    return;
  }
  triangulate_cpu(u, v, table, params, depth, residual, threads);
}

}  // namespace
}  // namespace rasant

void bind_triangulate(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("triangulate", &rasant::triangulate, py::arg("column"), py::arg("row"), py::arg("rays"), py::arg("lens"),
        py::arg("pose"), py::arg("max_residual_px"), py::arg("depth_range_m"), py::arg("out"), py::arg("out_residual"),
        py::arg("threads"), py::arg("stream") = py::none());
}
