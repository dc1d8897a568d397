// SPDX-License-Identifier: Apache-2.0
// PointBlocks: the usable points of a set in blocks of neighbours, each with its box. A search looks at boxes first and
// at few points after that. Blocks are runs of points along a Morton curve (Morton, IBM 1966): a sort of integers, no
// tree.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "core/radix.hpp"
#include "ops/sample.hpp"

namespace rasant {

// The lowest 10 bits of `value`, each to every third place.
RASANT_HD std::uint32_t spread_bits(std::uint32_t value) {
  value = (value | value << 16) & 0x030000FFu;
  value = (value | value << 8) & 0x0300F00Fu;
  value = (value | value << 4) & 0x030C30C3u;
  return (value | value << 2) & 0x09249249u;
}

// Which of 1024 steps `value` lies in. Defined for any number: a wrong step costs time and nothing else.
RASANT_HD std::uint32_t morton_step(float value, float low, float scale) {
  const float step = (value - low) * scale;
  return static_cast<std::uint32_t>(step > 0.0f ? (step < 1023.0f ? step : 1023.0f) : 0.0f);
}

class PointBlocks {
 public:
  static constexpr int size = 32;  // points of a block

  // Coordinates and place in the set, by slot. The last slots may hold no point: infinity and no_index.
  std::vector<float> x, y, z;
  std::vector<std::int32_t> index;
  std::vector<std::int32_t> slot;  // of a usable point, by its place in the set
  // Boxes, by block: the lowest and highest x, y and z.
  std::vector<float> low[3], high[3];

  int blocks() const { return static_cast<int>(low[0].size()); }

  void build(const PointSet& points) {
    const std::size_t usable = sort_along_curve(points);
    const std::size_t count = (usable + size - 1) / size;
    for (auto* array : {&x, &y, &z}) array->assign(count * size, std::numeric_limits<float>::infinity());
    index.assign(count * size, no_index);
    for (int axis = 0; axis < 3; ++axis) {
      low[axis].resize(count);
      high[axis].resize(count);
    }
    slot.resize(static_cast<std::size_t>(points.count));
    Box around{};
    for (std::size_t k = 0; k < usable; ++k) {
      const auto i = static_cast<std::int32_t>(items_[k] & 0xFFFFFFFFu);
      const Point p = point_at(points, i);
      around = k % size == 0 ? Box{p, p} : joined(around, p);
      x[k] = p.x;
      y[k] = p.y;
      z[k] = p.z;
      index[k] = i;
      slot[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(k);
      const std::size_t b = k / size;
      low[0][b] = around.low.x, low[1][b] = around.low.y, low[2][b] = around.low.z;
      high[0][b] = around.high.x, high[1][b] = around.high.y, high[2][b] = around.high.z;
    }
  }

 private:
  static Box joined(const Box& b, const Point& p) {
    return {{std::min(b.low.x, p.x), std::min(b.low.y, p.y), std::min(b.low.z, p.z)},
            {std::max(b.high.x, p.x), std::max(b.high.y, p.y), std::max(b.high.z, p.z)}};
  }

  // Place on the curve in the high half, index in the low half of items_; returns how many points are usable.
  std::size_t sort_along_curve(const PointSet& points) {
    const auto capacity = static_cast<std::size_t>(points.count);
    if (capacity > capacity_) {
      items_ = std::make_unique<std::uint64_t[]>(capacity);
      spare_ = std::make_unique<std::uint64_t[]>(capacity);
      capacity_ = capacity;
    }
    std::size_t usable = 0;
    Box all{};
    for (int i = 0; i < points.count; ++i) {
      if (!is_usable(points, i)) continue;
      const Point p = point_at(points, i);
      all = usable == 0 ? Box{p, p} : joined(all, p);
      items_[usable++] = static_cast<std::uint64_t>(i);
    }
    // One scale for all axes, so that blocks are about as long as they are wide.
    const float extent = std::max({all.high.x - all.low.x, all.high.y - all.low.y, all.high.z - all.low.z, 1e-30f});
    const float scale = 1023.0f / extent;
    for (std::size_t k = 0; k < usable; ++k) {
      const Point p = point_at(points, static_cast<int>(items_[k]));
      const std::uint32_t place = spread_bits(morton_step(p.x, all.low.x, scale)) |
                                  spread_bits(morton_step(p.y, all.low.y, scale)) << 1 |
                                  spread_bits(morton_step(p.z, all.low.z, scale)) << 2;
      items_[k] |= static_cast<std::uint64_t>(place) << 32;
    }
    radix_sort(items_, spare_, usable);
    return usable;
  }

  std::unique_ptr<std::uint64_t[]> items_, spare_;
  std::size_t capacity_ = 0;
};

}  // namespace rasant
