// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>

#include "bindings/arrays.hpp"
#include "bindings/fetch.hpp"
#include "ops/background.hpp"

namespace rasant {
namespace {

using Camera = std::array<double, 4>;  // fx, fy, cx, cy in pixels

Pinhole pinhole(const Camera& c) { return {c[0], c[1], c[2], c[3]}; }

// (fault, normal, offset, rms, inliers, total); fault is "" where a plane was found.
py::tuple answer(const PlaneFit& fit) {
  const char* fault = fit.fault == PlaneFault::few_points ? "few_points"
                      : fit.fault == PlaneFault::no_plane ? "no_plane"
                                                          : "";
  const double* n = fit.plane.normal;
  return py::make_tuple(fault, py::make_tuple(n[0], n[1], n[2]), fit.plane.offset, fit.rms, fit.inliers, fit.total);
}

// depth (H, W) float32 metres.
py::tuple fit_plane_ransac(const Array& depth, const Camera& camera, int border_px, double inlier_m, int sample,
                           int hypotheses, std::uint64_t seed, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  const auto image = view<float>(depth);
  const RansacParams params{border_px, inlier_m, sample, hypotheses, seed};
  const bool device = on_device(stream.stream, depth);
  PlaneFit fit;
  {
    py::gil_scoped_release release;
    if (device) {
      RASANT_ON_GPU(fit = fetch(fit_plane_ransac_cuda(image, pinhole(camera), params, stream.stream), stream.stream));
    } else {
      fit = fit_plane_ransac_cpu(image, pinhole(camera), params);
    }
  }
  return answer(fit);
}

// Four (x, y, z, count), corners in the order top left, top right, bottom left, bottom right.
py::list corner_points(const Array& depth, const Camera& camera, int patch, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  const auto image = view<float>(depth);
  Corners corners;
  if (on_device(stream.stream, depth)) {
    py::gil_scoped_release release;
    RASANT_ON_GPU(corners = fetch(corner_points_cuda(image, pinhole(camera), patch, stream.stream), stream.stream));
  } else {
    corners = corner_points_cpu(image, pinhole(camera), patch);
  }
  py::list answers;
  for (const auto& c : corners.of) answers.append(py::make_tuple(c.x, c.y, c.z, c.count));
  return answers;
}

// Three points: on the host, whatever the device.
py::tuple plane_through(const std::array<std::array<double, 3>, 3>& points, const Camera& camera, int height,
                        int width) {
  check(height >= 1 && width >= 1 && height < (1 << 30) && width < (1 << 30),
        "height and width must be 1..2^30-1 pixels, got ", height, " and ", width,
        "; pass the size of the depth image");
  double p[3][3];
  for (int i = 0; i < 3; ++i)
    for (int k = 0; k < 3; ++k) p[i][k] = points[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)];
  return answer(plane_through_cpu(p, pinhole(camera), height, width));
}

struct HeightArrays {
  ImageView<const float> depth;
  ImageView<float> height;
  ImageView<std::uint8_t> foreground;
};

HeightArrays height_arrays(const Array& depth, const Array& height, const Array& foreground) {
  require<float>(depth, "depth", 2);
  require<float>(height, "out_height", 2, true);
  require<bool>(foreground, "out_foreground", 2, true);
  require_shape(height, "out_height", {depth.shape(0), depth.shape(1)});
  require_shape(foreground, "out_foreground", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", height, "out_height");
  return {view<float>(depth), mutable_view<float>(height), mutable_view<std::uint8_t>(foreground)};
}

void height_above_plane(const Array& depth, const std::array<double, 3>& normal, double offset, const Camera& camera,
                        float threshold_m, const Array& out_height, const Array& out_foreground, int threads,
                        StreamArgument stream) {
  const auto a = height_arrays(depth, out_height, out_foreground);
  const Plane plane{{normal[0], normal[1], normal[2]}, offset};
  const bool device = on_device(stream.stream, depth, out_height, out_foreground);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(
        height_above_plane_cuda(a.depth, plane, pinhole(camera), threshold_m, a.height, a.foreground, stream.stream));
    return;
  }
  height_above_plane_cpu(a.depth, plane, pinhole(camera), threshold_m, a.height, a.foreground, threads);
}

void height_above_corners(const Array& depth, const std::array<double, 4>& corners, float threshold_m,
                          const Array& out_height, const Array& out_foreground, int threads, StreamArgument stream) {
  const auto a = height_arrays(depth, out_height, out_foreground);
  const CornerDepths depths{corners[0], corners[1], corners[2], corners[3]};
  const bool device = on_device(stream.stream, depth, out_height, out_foreground);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(height_above_corners_cuda(a.depth, depths, threshold_m, a.height, a.foreground, stream.stream));
    return;
  }
  height_above_corners_cpu(a.depth, depths, threshold_m, a.height, a.foreground, threads);
}

// foreground and out (H, W) bool, depth (H, W) float32 metres.
void keep_largest(const Array& foreground, const Array& depth, float step_m, const Array& out, StreamArgument stream) {
  require<bool>(foreground, "foreground", 2);
  require<float>(depth, "depth", 2);
  require<bool>(out, "out", 2, true);
  require_shape(depth, "depth", {foreground.shape(0), foreground.shape(1)});
  require_shape(out, "out", {foreground.shape(0), foreground.shape(1)});
  const auto mask = view<std::uint8_t>(foreground);
  const auto image = view<float>(depth);
  const auto kept = mutable_view<std::uint8_t>(out);
  const bool device = on_device(stream.stream, foreground, depth, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(keep_largest_cuda(mask, image, step_m, kept, stream.stream));
    return;
  }
  keep_largest_cpu(mask, image, step_m, kept);
}

}  // namespace
}  // namespace rasant

void bind_background(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("fit_plane_ransac", &rasant::fit_plane_ransac, py::arg("depth"), py::arg("camera"), py::arg("border_px"),
        py::arg("inlier_m"), py::arg("sample"), py::arg("hypotheses"), py::arg("seed"), py::arg("stream") = py::none());
  m.def("corner_points", &rasant::corner_points, py::arg("depth"), py::arg("camera"), py::arg("patch"),
        py::arg("stream") = py::none());
  m.def("plane_through", &rasant::plane_through);
  m.def("height_above_plane", &rasant::height_above_plane, py::arg("depth"), py::arg("normal"), py::arg("offset"),
        py::arg("camera"), py::arg("threshold_m"), py::arg("out_height"), py::arg("out_foreground"), py::arg("threads"),
        py::arg("stream") = py::none());
  m.def("height_above_corners", &rasant::height_above_corners, py::arg("depth"), py::arg("corners"),
        py::arg("threshold_m"), py::arg("out_height"), py::arg("out_foreground"), py::arg("threads"),
        py::arg("stream") = py::none());
  m.def("keep_largest", &rasant::keep_largest, py::arg("foreground"), py::arg("depth"), py::arg("step_m"),
        py::arg("out"), py::arg("stream") = py::none());
}
