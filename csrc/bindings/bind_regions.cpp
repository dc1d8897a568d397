// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <cmath>
#include <limits>
#include <optional>

#include "bindings/arrays.hpp"
#include "ops/regions.hpp"

namespace rasant {
namespace {

py::tuple as_tuple(const Box& box) { return py::make_tuple(box.x, box.y, box.width, box.height); }

Affine affine(const HostArray& matrix) {
  require<double>(matrix, "frame_from_map", 2);
  require_shape(matrix, "frame_from_map", {2, 3});
  Affine a{};
  for (int i = 0; i < 6; ++i) {
    a.m[i] = static_cast<const double*>(matrix.data())[i];
    check(std::isfinite(a.m[i]),
          "frame_from_map holds a value that is not finite; pass the affine of the preprocessing");
  }
  return a;
}

// One tuple a region: map box, map area, peak, peak place, centre, frame box, median depth (NaN without depth).
py::list find_regions(const HostArray& pooled, float threshold, const HostArray& frame_from_map,
                      std::pair<int, int> frame_size, const std::optional<HostArray>& depth, int max_regions,
                      const HostArray& out_labels) {
  require<float>(pooled, "pooled", 2);
  require<std::int32_t>(out_labels, "out_labels", 2, true);
  require_shape(out_labels, "out_labels", {pooled.shape(0), pooled.shape(1)});
  const auto [height, width] = frame_size;
  check<BadShape>(height > 0 && width > 0, "frame_size must be (rows, cols) above 0, got (", height, ", ", width,
                  "); pass frame.size");
  if (depth) {
    require<float>(*depth, "depth", 2);
    require_shape(*depth, "depth", {height, width});
  }
  const Affine forward = affine(frame_from_map);
  const auto map = view<float>(pooled);
  const auto labels = mutable_view<std::int32_t>(out_labels);
  const auto metres = depth ? view<float>(*depth) : ImageView<const float>{};
  std::vector<MapRegion> regions;
  std::vector<Box> boxes;
  std::vector<float> depths;
  {
    py::gil_scoped_release release;
    regions = find_regions_cpu(map, threshold, max_regions, labels);
    for (std::size_t i = 0; i < regions.size(); ++i) {
      boxes.push_back(frame_box(regions[i].box, forward, height, width));
      depths.push_back(metres.data ? median_depth_cpu(metres, labels, static_cast<int>(i + 1), boxes[i], forward)
                                   : std::numeric_limits<float>::quiet_NaN());
    }
  }
  py::list answer;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const MapRegion& r = regions[i];
    answer.append(py::make_tuple(as_tuple(r.box), r.area, r.peak, py::make_tuple(r.peak_y, r.peak_x),
                                 py::make_tuple(r.center_x, r.center_y), as_tuple(boxes[i]), depths[i]));
  }
  return answer;
}

}  // namespace
}  // namespace rasant

void bind_regions(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("find_regions", &rasant::find_regions, py::arg("pooled"), py::arg("threshold"), py::arg("frame_from_map"),
        py::arg("frame_size"), py::arg("depth"), py::arg("max_regions"), py::arg("out_labels"));
}
