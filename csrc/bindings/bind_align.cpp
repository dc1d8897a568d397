// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/lens_numbers.hpp"
#include "core/lens_ray.hpp"
#include "ops/align.hpp"

namespace rasant {
namespace {

LensNumbers lens_numbers(const std::string& model, const Camera& camera, const std::vector<double>& distortion) {
  const Lens<double> lens = make_lens(model, camera, distortion);
  LensNumbers n{static_cast<double>(lens.model), lens.fx, lens.fy, lens.cx, lens.cy};
  for (std::size_t i = 0; i < 12; ++i) n[5 + i] = lens.k[i];
  for (std::size_t i = 0; i < 9; ++i) n[17 + i] = lens.tilt[i];
  n[26] = lens.limit;
  return n;
}

AlignParams params_of(const LensNumbers& lens, const Pose& pose) {
  AlignParams params;
  params.color = narrow(lens_of(lens));
  for (std::size_t i = 0; i < 12; ++i) params.pose[i] = static_cast<float>(pose[i]);
  return params;
}

// (2, H, W) as an image of 2 H rows.
ImageView<const float> stacked(const Array& a) {
  return {static_cast<const float*>(a.data()), static_cast<int>(2 * a.shape(1)), static_cast<int>(a.shape(2)), 1,
          a.shape(2)};
}

ImageView<float> mutable_stacked(const Array& a) {
  const auto v = stacked(a);
  return {static_cast<float*>(a.mutable_data()), v.height, v.width, 1, v.stride};
}

py::ssize_t blocks_of(py::ssize_t width) { return (width + footprint_block - 1) / footprint_block; }

void require_side(const Array& a, const char* name) {
  check<BadShape>(a.shape(1) <= align_max_size && a.shape(2) <= align_max_size, name, " must be at most ",
                  align_max_size, " pixels a side, got ", describe(a));
}

// rays (2, H, W) float32, written.
void lens_rays(const LensNumbers& lens, const HostArray& rays, int threads) {
  require<float>(rays, "rays", 3, true);
  check<BadShape>(rays.shape(0) == 2, "rays must be (2, H, W), got ", describe(rays));
  require_side(rays, "rays");
  const Lens<double> camera = lens_of(lens);
  const auto to = mutable_stacked(rays);
  py::gil_scoped_release release;
  lens_rays_cpu(camera, to, threads);
}

// rays (2, H, W) float32 of the depth camera, footprint (2, H, ceil(W / 16)) float32, written.
void align_footprint(const LensNumbers& lens, const Pose& pose, const HostArray& rays, const HostArray& footprint) {
  require<float>(rays, "rays", 3);
  require<float>(footprint, "footprint", 3, true);
  check<BadShape>(rays.shape(0) == 2, "rays must be (2, H, W), got ", describe(rays));
  require_side(rays, "rays");
  require_shape(footprint, "footprint", {2, rays.shape(1), blocks_of(rays.shape(2))});
  const Lens<double> color = lens_of(lens);
  double matrix[12];
  for (std::size_t i = 0; i < 12; ++i) matrix[i] = pose[i];
  const auto from = stacked(rays);
  const auto to = mutable_stacked(footprint);
  py::gil_scoped_release release;
  footprint_cpu(color, matrix, from, to);
}

// depth (H, W) float32 and the tables of its camera; out (h, w) float32 of the colour camera.
void align_depth(const Array& depth, const Array& rays, const Array& footprint, const LensNumbers& lens,
                 const Pose& pose, float margin_px, const Array& out, int threads, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  require<float>(rays, "rays", 3);
  require<float>(footprint, "footprint", 3);
  require<float>(out, "out", 2, true);
  require_shape(rays, "rays", {2, depth.shape(0), depth.shape(1)});
  require_shape(footprint, "footprint", {2, depth.shape(0), blocks_of(depth.shape(1))});
  require_apart(depth, "depth", out, "out");
  AlignParams params = params_of(lens, pose);
  params.margin = margin_px;
  const auto from = view<float>(depth), table = stacked(rays), foot = stacked(footprint);
  const auto to = mutable_view<float>(out);
  check_align(params, from, to.height, to.width);
  const bool device = on_device(stream.stream, depth, rays, footprint, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(align_depth_cuda(from, table, foot, params, to, stream.stream));
    return;
  }
  align_depth_cpu(from, table, foot, params, to, threads);
}

// color (h, w, 3) uint8, depth (H, W) float32, seen (h, w) float32; out (H, W, 3) uint8, out_valid (H, W)
// bool.
void align_color(const Array& color, const Array& depth, const Array& seen, const Array& rays, const LensNumbers& lens,
                 const Pose& pose, float step, bool bilinear, const Array& out, const Array& out_valid, int threads,
                 StreamArgument stream) {
  require<std::uint8_t>(color, "color", 3);
  require<float>(depth, "depth", 2);
  require<float>(seen, "seen", 2);
  require<float>(rays, "rays", 3);
  require<std::uint8_t>(out, "out", 3, true);
  require<bool>(out_valid, "out_valid", 2, true);
  check<BadShape>(color.shape(2) == 3, "color must be (H, W, 3), got ", describe(color));
  require_shape(seen, "seen", {color.shape(0), color.shape(1)});
  require_shape(rays, "rays", {2, depth.shape(0), depth.shape(1)});
  require_shape(out, "out", {depth.shape(0), depth.shape(1), 3});
  require_shape(out_valid, "out_valid", {depth.shape(0), depth.shape(1)});
  require_apart(color, "color", out, "out");
  AlignParams params = params_of(lens, pose);
  params.step = step;
  params.bilinear = bilinear;
  const auto picture = view<std::uint8_t>(color);
  const auto from = view<float>(depth), nearest = view<float>(seen), table = stacked(rays);
  const auto to = mutable_view<std::uint8_t>(out), valid = mutable_view<std::uint8_t>(out_valid);
  check_align(params, from, picture.height, picture.width);
  const bool device = on_device(stream.stream, color, depth, seen, rays, out, out_valid);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(align_color_cuda(picture, from, nearest, table, params, to, valid, stream.stream));
    return;
  }
  align_color_cpu(picture, from, nearest, table, params, to, valid, threads);
}

}  // namespace
}  // namespace rasant

void bind_align(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("lens_numbers", &rasant::lens_numbers, py::arg("model"), py::arg("camera"), py::arg("distortion"));
  m.def("lens_rays", &rasant::lens_rays, py::arg("lens"), py::arg("rays"), py::arg("threads"));
  m.def("align_footprint", &rasant::align_footprint, py::arg("lens"), py::arg("pose"), py::arg("rays"),
        py::arg("footprint"));
  m.def("align_depth", &rasant::align_depth, py::arg("depth"), py::arg("rays"), py::arg("footprint"), py::arg("lens"),
        py::arg("pose"), py::arg("margin_px"), py::arg("out"), py::arg("threads"), py::arg("stream") = py::none());
  m.def("align_color", &rasant::align_color, py::arg("color"), py::arg("depth"), py::arg("seen"), py::arg("rays"),
        py::arg("lens"), py::arg("pose"), py::arg("step"), py::arg("bilinear"), py::arg("out"), py::arg("out_valid"),
        py::arg("threads"), py::arg("stream") = py::none());
}
