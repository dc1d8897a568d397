// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <array>

#include "bindings/arrays.hpp"
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
py::tuple fit_plane_ransac(const HostArray& depth, const Camera& camera, int border_px, double inlier_m, int sample,
                           int hypotheses, std::uint64_t seed) {
  require<float>(depth, "depth", 2);
  const auto image = view<float>(depth);
  PlaneFit fit;
  {
    py::gil_scoped_release release;
    fit = fit_plane_ransac_cpu(image, pinhole(camera), {border_px, inlier_m, sample, hypotheses, seed});
  }
  return answer(fit);
}

// Four (x, y, z, count), corners in the order top left, top right, bottom left, bottom right.
py::list corner_points(const HostArray& depth, const Camera& camera, int patch) {
  require<float>(depth, "depth", 2);
  CornerPoint corners[4];
  corner_points_cpu(view<float>(depth), pinhole(camera), patch, corners);
  py::list answers;
  for (const auto& c : corners) answers.append(py::make_tuple(c.x, c.y, c.z, c.count));
  return answers;
}

py::tuple plane_through(const std::array<std::array<double, 3>, 3>& points, const Camera& camera, int height,
                        int width) {
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

ImageView<std::uint8_t> bytes(const HostArray& mask) {
  return {static_cast<std::uint8_t*>(mask.mutable_data()), static_cast<int>(mask.shape(0)),
          static_cast<int>(mask.shape(1)), 1, static_cast<std::ptrdiff_t>(mask.shape(1))};
}

HeightArrays height_arrays(const HostArray& depth, const HostArray& height, const HostArray& foreground) {
  require<float>(depth, "depth", 2);
  require<float>(height, "out_height", 2, true);
  require<bool>(foreground, "out_foreground", 2, true);
  require_shape(height, "out_height", {depth.shape(0), depth.shape(1)});
  require_shape(foreground, "out_foreground", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", height, "out_height");
  return {view<float>(depth), mutable_view<float>(height), bytes(foreground)};
}

void height_above_plane(const HostArray& depth, const std::array<double, 3>& normal, double offset,
                        const Camera& camera, float threshold_m, const HostArray& out_height,
                        const HostArray& out_foreground, int threads) {
  const auto a = height_arrays(depth, out_height, out_foreground);
  const Plane plane{{normal[0], normal[1], normal[2]}, offset};
  py::gil_scoped_release release;
  height_above_plane_cpu(a.depth, plane, pinhole(camera), threshold_m, a.height, a.foreground, threads);
}

void height_above_corners(const HostArray& depth, const std::array<double, 4>& corners, float threshold_m,
                          const HostArray& out_height, const HostArray& out_foreground, int threads) {
  const auto a = height_arrays(depth, out_height, out_foreground);
  py::gil_scoped_release release;
  height_above_corners_cpu(a.depth, {corners[0], corners[1], corners[2], corners[3]}, threshold_m, a.height,
                           a.foreground, threads);
}

// foreground and out (H, W) bool, depth (H, W) float32 metres. Returns the number of pixels kept.
std::int64_t keep_largest(const HostArray& foreground, const HostArray& depth, float step_m, const HostArray& out) {
  require<bool>(foreground, "foreground", 2);
  require<float>(depth, "depth", 2);
  require<bool>(out, "out", 2, true);
  require_shape(depth, "depth", {foreground.shape(0), foreground.shape(1)});
  require_shape(out, "out", {foreground.shape(0), foreground.shape(1)});
  const ImageView<const std::uint8_t> mask{static_cast<const std::uint8_t*>(foreground.data()),
                                           static_cast<int>(foreground.shape(0)), static_cast<int>(foreground.shape(1)),
                                           1, static_cast<std::ptrdiff_t>(foreground.shape(1))};
  const auto kept = bytes(out);
  py::gil_scoped_release release;
  return keep_largest_cpu(mask, view<float>(depth), step_m, kept);
}

}  // namespace
}  // namespace rasant

void bind_background(pybind11::module_& m) {
  m.def("fit_plane_ransac", &rasant::fit_plane_ransac);
  m.def("corner_points", &rasant::corner_points);
  m.def("plane_through", &rasant::plane_through);
  m.def("height_above_plane", &rasant::height_above_plane);
  m.def("height_above_corners", &rasant::height_above_corners);
  m.def("keep_largest", &rasant::keep_largest);
}
