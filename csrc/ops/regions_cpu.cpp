// SPDX-License-Identifier: Apache-2.0
#include "ops/regions.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "core/components.hpp"
#include "core/error.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int kDepthGrid = 64;  // samples along an axis of a region's box, for the median

RASANT_VECTOR void reach(const float* __restrict row, float threshold, std::uint8_t* __restrict mask, int width) {
  for (int x = 0; x < width; ++x) mask[x] = row[x] >= threshold;
}

// The sums of a component while its runs pass by.
struct Growing {
  int left = std::numeric_limits<int>::max(), right = -1, top = -1, bottom = -1;
  int area = 0, peak_y = 0, peak_x = 0;
  float peak = -std::numeric_limits<float>::infinity();
  double sum_x = 0.0, sum_y = 0.0;

  void add(const Run& run, const float* row) {
    const int length = run.last - run.first;
    if (area == 0) top = run.y;
    bottom = run.y;
    left = std::min(left, run.first);
    right = std::max(right, run.last - 1);
    area += length;
    sum_x += 0.5 * (run.first + run.last - 1) * length;
    sum_y += static_cast<double>(run.y) * length;
    const float* highest = std::max_element(row + run.first, row + run.last);
    if (*highest <= peak) return;
    peak = *highest;
    peak_y = run.y;
    peak_x = static_cast<int>(highest - row);
  }

  MapRegion region() const {
    return {{left, top, right - left + 1, bottom - top + 1}, area, peak, peak_y, peak_x, sum_y / area, sum_x / area};
  }
};

Affine inverse(const Affine& a) {
  const double* m = a.m;
  const double determinant = m[0] * m[4] - m[1] * m[3];
  check(std::isfinite(determinant) && determinant != 0.0, "frame_from_map cannot be inverted: its determinant is ",
        determinant, "; pass the affine of the preprocessing");
  const double s = 1.0 / determinant;
  return {{m[4] * s, -m[1] * s, (m[1] * m[5] - m[4] * m[2]) * s, -m[3] * s, m[0] * s, (m[3] * m[2] - m[0] * m[5]) * s}};
}

}  // namespace

std::vector<MapRegion> find_regions_cpu(ImageView<const float> map, float threshold, int max_regions,
                                        ImageView<std::int32_t> labels) {
  check(!std::isnan(threshold), "threshold is NaN; calibrate the bundle first");
  check(max_regions >= 1, "max_regions must be at least 1, got ", max_regions, "; the default is 64");
  thread_local Components components;
  thread_local std::vector<std::uint8_t> mask;
  mask.resize(static_cast<std::size_t>(map.width));
  components.start(map.width);
  for (int y = 0; y < map.height; ++y) {
    reach(map.row(y), threshold, mask.data(), map.width);
    components.add_row(mask.data());
    std::fill_n(labels.row(y), labels.width, 0);
  }
  const auto count = static_cast<std::size_t>(components.finish());
  std::vector<Growing> growing(count);
  for (const Run& run : components.runs()) growing[static_cast<std::size_t>(run.label - 1)].add(run, map.row(run.y));

  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return growing[a].peak > growing[b].peak; });
  order.resize(std::min(count, static_cast<std::size_t>(max_regions)));

  std::vector<std::int32_t> place(count, 0);
  std::vector<MapRegion> regions;
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = static_cast<std::int32_t>(i + 1);
    regions.push_back(growing[order[i]].region());
  }
  for (const Run& run : components.runs())
    std::fill(labels.row(run.y) + run.first, labels.row(run.y) + run.last,
              place[static_cast<std::size_t>(run.label - 1)]);
  return regions;
}

Box frame_box(const Box& map_box, const Affine& frame_from_map, int frame_height, int frame_width) {
  const double* m = frame_from_map.m;
  const double xs[2] = {map_box.x - 0.5, map_box.x + map_box.width - 0.5};
  const double ys[2] = {map_box.y - 0.5, map_box.y + map_box.height - 0.5};
  double left = HUGE_VAL, right = -HUGE_VAL, top = HUGE_VAL, bottom = -HUGE_VAL;
  for (const double x : xs)
    for (const double y : ys) {
      const double u = m[0] * x + m[1] * y + m[2], v = m[3] * x + m[4] * y + m[5];
      left = std::min(left, u), right = std::max(right, u), top = std::min(top, v), bottom = std::max(bottom, v);
    }
  // Pixel i covers [i - 0.5, i + 0.5]; 1e-6 forgives rounding of an edge that falls between two pixels.
  const auto low = [](double edge, int size) {
    return static_cast<int>(std::clamp(std::floor(edge + 0.5 + 1e-6), 0.0, size - 1.0));
  };
  const auto high = [](double edge, int size, int from) {
    return static_cast<int>(std::clamp(std::ceil(edge + 0.5 - 1e-6), from + 1.0, static_cast<double>(size)));
  };
  const int x = low(left, frame_width), y = low(top, frame_height);
  return {x, y, high(right, frame_width, x) - x, high(bottom, frame_height, y) - y};
}

float median_depth_cpu(ImageView<const float> depth, ImageView<const std::int32_t> labels, int label, const Box& box,
                       const Affine& frame_from_map) {
  const Affine back = inverse(frame_from_map);
  const double* m = back.m;
  const int rows = std::min(box.height, kDepthGrid), columns = std::min(box.width, kDepthGrid);
  thread_local std::vector<float> found;
  found.clear();
  for (int i = 0; i < rows; ++i) {
    const int v = box.y + static_cast<int>((2ll * i + 1) * box.height / (2ll * rows));
    for (int j = 0; j < columns; ++j) {
      const int u = box.x + static_cast<int>((2ll * j + 1) * box.width / (2ll * columns));
      const int x = static_cast<int>(std::floor(m[0] * u + m[1] * v + m[2] + 0.5));
      const int y = static_cast<int>(std::floor(m[3] * u + m[4] * v + m[5] + 0.5));
      if (x < 0 || y < 0 || x >= labels.width || y >= labels.height || labels(y, x) != label) continue;
      const float d = depth(v, u);
      if (std::isfinite(d) && d > 0.0f) found.push_back(d);
    }
  }
  if (found.empty()) return std::numeric_limits<float>::quiet_NaN();
  const auto middle = found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2);
  std::nth_element(found.begin(), middle, found.end());
  if (found.size() % 2 == 1) return *middle;
  return 0.5f * (*middle + *std::max_element(found.begin(), middle));
}

}  // namespace rasant
