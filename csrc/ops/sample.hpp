// SPDX-License-Identifier: Apache-2.0
// Farthest-point sampling and exact nearest neighbours in a cloud of points, both of fixed capacity with a mask.
//
//   d2(a, b) = ((ax - bx)^2 + (ay - by)^2) + (az - bz)^2   in float32, each operation rounded; it may overflow to inf
//
// A point takes part when its mask is not 0 and its three coordinates are finite; the rest are never returned.
// farthest_points: the first centre is the first usable point at or after `start`, else the first usable one; each
//   further centre is the point whose d2 to the nearest centre so far is largest (Eldar et al., "The farthest point
//   strategy for progressive image sampling", 1997). A point is taken once at most: points that coincide with a centre
//   come last, and when no usable point is left the rest of the result is -1.
// nearest_neighbours: the k usable points of smallest d2, ascending; index -1 and d2 inf where there are fewer, and for
// a
//   query that is not finite.
// Ties go to the lowest index. Each d2 has one rounding whatever computes it, and pruning compares with bounds that
// hold for the rounded values too (rounding is monotone), so every device and thread count gives the same bits. Units:
// any; d2 is in their square.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/neighbour.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int neighbours_max = 1024;  // k
constexpr int sample_max = 1 << 24;   // points

// count x 3 coordinates, and a mask of count bytes or nullptr for "all valid".
struct PointSet {
  const float* data = nullptr;
  const std::uint8_t* valid = nullptr;
  int count = 0;
};

struct Point { float x, y, z; };

// A box around points, both ends included.
struct Box { Point low, high; };

RASANT_HD bool is_finite(const Point& p) { return is_finite(p.x) && is_finite(p.y) && is_finite(p.z); }

RASANT_HD Point point_at(const PointSet& points, int i) {
  const float* at = points.data + static_cast<std::ptrdiff_t>(i) * 3;
  return {at[0], at[1], at[2]};
}

RASANT_HD bool is_usable(const PointSet& points, int i) {
  return (points.valid == nullptr || points.valid[i] != 0) && is_finite(point_at(points, i));
}

RASANT_HD float squared_length(float x, float y, float z) { return (x * x + y * y) + z * z; }

RASANT_HD float squared_distance(const Point& a, const Point& b) {
  return squared_length(a.x - b.x, a.y - b.y, a.z - b.z);
}

// How far c lies outside [low, high]; never more than |v - c|, rounded, for a v inside.
RASANT_HD float outside(float c, float low, float high) {
  const float below = low - c, above = c - high;
  const float most = below > above ? below : above;
  return most > 0.0f ? most : 0.0f;
}

// No point in the box has a smaller squared_distance to c, to the last bit.
RASANT_HD float nearest_in_box(const Point& c, const Point& low, const Point& high) {
  return squared_length(outside(c.x, low.x, high.x), outside(c.y, low.y, high.y), outside(c.z, low.z, high.z));
}

RASANT_HD float farther(float c, float low, float high) {
  const float below = c - low, above = high - c;
  return below > above ? below : above;
}

// No point in the box has a larger squared_distance to c, to the last bit.
RASANT_HD float farthest_in_box(const Point& c, const Point& low, const Point& high) {
  return squared_length(farther(c.x, low.x, high.x), farther(c.y, low.y, high.y), farther(c.z, low.z, high.z));
}

inline void check_points(const PointSet& points) {
  check(points.count <= sample_max, "points must be at most ", sample_max, ", got ", points.count,
        "; sample the cloud first");
}

inline void check_start(const PointSet& points, int start) {
  check(start >= 0 && start < points.count, "start must be the index of a point, 0..", points.count - 1, ", got ",
        start, "; 0 is usual");
}

inline void check_neighbours(int k) {
  check(k >= 1 && k <= neighbours_max, "k must be 1..", neighbours_max, ", got ", k, "; ask for fewer neighbours");
}

// out: `count` indices.
void farthest_points_cpu(const PointSet& points, int count, int start, std::int32_t* out);

// indices, squared: queries.count x k. The mask of `queries` is not looked at.
void nearest_neighbours_cpu(const PointSet& queries, const PointSet& points, int k, std::int32_t* indices,
                            float* squared, int threads);

// Device pointers, asynchronous.
void farthest_points_cuda(const PointSet& points, int count, int start, std::int32_t* out, Stream stream);
void nearest_neighbours_cuda(const PointSet& queries, const PointSet& points, int k, std::int32_t* indices,
                             float* squared, Stream stream);

}  // namespace rasant
