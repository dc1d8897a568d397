// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>

#include "bindings/arrays.hpp"
#include "ops/normals.hpp"

namespace rasant {
namespace {

// depth (H, W) float32, camera (fx, fy, cx, cy), out (H, W, 3) float32, apart from each other.
void surface_normals(const Array& depth, const std::array<double, 4>& camera, int size, float step_m, const Array& out,
                     int threads, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  require<float>(out, "out", 3, true);
  require_shape(out, "out", {depth.shape(0), depth.shape(1), 3});
  require_apart(depth, "depth", out, "out");
  const NormalsParams params{{camera[0], camera[1], camera[2], camera[3]}, size, step_m};
  check_normals(params);
  const auto from = view<float>(depth);
  const auto to = mutable_view<float>(out);
  const bool device = on_device(stream.stream, depth, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(surface_normals_cuda(from, params, to, stream.stream));
    return;
  }
  surface_normals_cpu(from, params, to, threads);
}

}  // namespace
}  // namespace rasant

void bind_normals(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("surface_normals", &rasant::surface_normals, py::arg("depth"), py::arg("camera"), py::arg("size"),
        py::arg("step_m"), py::arg("out"), py::arg("threads"), py::arg("stream") = py::none());
}
