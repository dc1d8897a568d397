// SPDX-License-Identifier: Apache-2.0
// Both searches walk over the boxes of PointBlocks and open only those that may matter. Boxes bound the rounded
// distances exactly, so nothing is lost.
#include "ops/sample.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/parallel.hpp"
#include "core/vector.hpp"
#include "ops/sample_blocks.hpp"

namespace rasant {
namespace {

constexpr int block = PointBlocks::size;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float taken = -1.0f;  // the distance of a slot that is a centre or holds no point

// The boxes as a loop over blocks wants them.
struct Boxes {
  explicit Boxes(const PointBlocks& c)
      : low_x(c.low[0].data()),
        low_y(c.low[1].data()),
        low_z(c.low[2].data()),
        high_x(c.high[0].data()),
        high_y(c.high[1].data()),
        high_z(c.high[2].data()),
        count(c.blocks()) {}
  RASANT_INLINE Point low(int b) const { return {low_x[b], low_y[b], low_z[b]}; }
  RASANT_INLINE Point high(int b) const { return {high_x[b], high_y[b], high_z[b]}; }

  const float *low_x, *low_y, *low_z, *high_x, *high_y, *high_z;
  int count;
};

// State of farthest-point sampling.
struct Sampling {
  PointBlocks cloud;
  std::vector<float> distance;       // by slot: d2 to the nearest centre, or `taken`
  std::vector<float> farthest;       // by block: the largest distance
  std::vector<std::int32_t> first;   // by block: lowest index of a point at that distance
  std::vector<std::uint8_t> opened;  // by block, and 8 bytes more: whether the new centre may come nearer to a point
};

// Marks the blocks where some point may be nearer to the centre than to all before.
RASANT_VECTOR void mark_blocks(const Boxes& box, const float* __restrict farthest, std::uint8_t* __restrict opened,
                               Point centre) {
  for (int b = 0; b < box.count; ++b)
    opened[b] = static_cast<std::uint8_t>(nearest_in_box(centre, box.low(b), box.high(b)) < farthest[b]);
}

// Distances are compared as integers: their order is the same, and only an integer maximum vectorises.
RASANT_INLINE std::int32_t order_of(float value) { return static_cast<std::int32_t>(bits_of(value)); }

// Takes a centre into account in one block.
RASANT_VECTOR void update_block(const float* __restrict x, const float* __restrict y, const float* __restrict z,
                                const std::int32_t* __restrict index, float* __restrict distance, Point centre,
                                float& farthest, std::int32_t& first) {
  std::int32_t most = order_of(taken), lowest = no_index;
  for (int i = 0; i < block; ++i) {
    const float d2 = squared_length(x[i] - centre.x, y[i] - centre.y, z[i] - centre.z);
    distance[i] = d2 < distance[i] ? d2 : distance[i];
  }
  for (int i = 0; i < block; ++i) most = std::max(most, order_of(distance[i]));
  for (int i = 0; i < block; ++i) lowest = std::min(lowest, order_of(distance[i]) == most ? index[i] : no_index);
  std::memcpy(&farthest, &most, sizeof most);
  first = lowest;
}

// The next centre; no_index where every point is taken.
RASANT_VECTOR std::int32_t farthest_point(const float* __restrict farthest, const std::int32_t* __restrict first,
                                          int blocks) {
  std::int32_t most = order_of(taken), lowest = no_index;
  for (int b = 0; b < blocks; ++b) most = std::max(most, order_of(farthest[b]));
  if (most == order_of(taken)) return no_index;
  for (int b = 0; b < blocks; ++b) lowest = std::min(lowest, order_of(farthest[b]) == most ? first[b] : no_index);
  return lowest;
}

void begin(Sampling& s, const PointSet& points) {
  s.cloud.build(points);
  const auto blocks = static_cast<std::size_t>(s.cloud.blocks());
  s.distance.assign(blocks * block, infinity);
  s.farthest.assign(blocks, infinity);
  s.first.resize(blocks);
  s.opened.assign(blocks + 8, 0);
  for (std::size_t slot = 0; slot < s.distance.size(); ++slot) {
    if (s.cloud.index[slot] == no_index) s.distance[slot] = taken;
    std::int32_t& first = s.first[slot / block];
    first = slot % block == 0 ? s.cloud.index[slot] : std::min(first, s.cloud.index[slot]);
  }
}

// Makes a point a centre.
void take(Sampling& s, std::int32_t index) {
  const PointBlocks& c = s.cloud;
  const auto at = static_cast<std::size_t>(c.slot[static_cast<std::size_t>(index)]);
  const Point centre{c.x[at], c.y[at], c.z[at]};
  s.distance[at] = taken;
  s.farthest[at / block] = infinity;  // this block is opened whatever its box says
  mark_blocks(Boxes(c), s.farthest.data(), s.opened.data(), centre);
  for (int eight = 0; eight < c.blocks(); eight += 8) {
    std::uint64_t any;
    std::memcpy(&any, s.opened.data() + eight, 8);
    if (any == 0) continue;
    for (int k = eight; k < eight + 8; ++k) {
      if (s.opened[static_cast<std::size_t>(k)] == 0) continue;
      const int from = k * block;
      update_block(c.x.data() + from, c.y.data() + from, c.z.data() + from, c.index.data() + from,
                   s.distance.data() + from, centre, s.farthest[static_cast<std::size_t>(k)],
                   s.first[static_cast<std::size_t>(k)]);
    }
  }
}

std::int32_t first_centre(const PointSet& points, int start) {
  for (int k = 0; k < points.count; ++k) {
    const int i = start + k < points.count ? start + k : start + k - points.count;
    if (is_usable(points, i)) return i;
  }
  return no_index;
}

// What one thread needs to find neighbours; grows and stays.
struct Search {
  std::vector<float> nearest;        // by block: lower bound of its distances to the query; then 32 NaN
  std::vector<std::int32_t> list;    // blocks to open
  std::vector<std::uint64_t> found;  // keys of points within the limit
};

// Lower bound for each block, and a limit that at least `wanted` blocks lie below as a whole. 16 groups of blocks have
// a smallest upper bound each; the `wanted`-th smallest of these is such a limit.
RASANT_VECTOR float bound_blocks(const Boxes& box, Point query, int full, int wanted, float* __restrict nearest) {
  constexpr int groups = 16;
  float least[groups];
  for (float& value : least) value = infinity;
  int b = 0;
  for (; b + groups <= full; b += groups)
    for (int k = 0; k < groups; ++k) {
      const Point low = box.low(b + k), high = box.high(b + k);
      nearest[b + k] = nearest_in_box(query, low, high);
      const float far = farthest_in_box(query, low, high);
      least[k] = far < least[k] ? far : least[k];
    }
  for (int k = 0; b < box.count; ++b, ++k) {
    nearest[b] = nearest_in_box(query, box.low(b), box.high(b));
    const float far = b < full ? farthest_in_box(query, box.low(b), box.high(b)) : infinity;
    least[k % groups] = std::min(least[k % groups], far);
  }
  if (wanted > groups) return infinity;
  std::nth_element(least, least + wanted - 1, least + groups);
  return least[wanted - 1];
}

// Bit i says that value i of 32 is within the limit; NaN never is.
RASANT_INLINE std::uint32_t within(const float* __restrict value, float limit) {
  static_assert(block == 32, "one bit a point");
  std::uint32_t mask = 0;
  for (int i = 0; i < 32; ++i) mask |= static_cast<std::uint32_t>(value[i] <= limit) << i;
  return mask;
}

RASANT_VECTOR std::uint32_t block_distances(const float* __restrict x, const float* __restrict y,
                                            const float* __restrict z, Point query, float limit, float* __restrict d2) {
  for (int i = 0; i < block; ++i) d2[i] = squared_length(x[i] - query.x, y[i] - query.y, z[i] - query.z);
  return within(d2, limit);
}

// Blocks whose lower bound is within the limit, the nearest of them first; returns how many.
RASANT_VECTOR int list_blocks(const float* __restrict nearest, int blocks, float limit, std::int32_t* __restrict list) {
  int count = 0;
  for (int b = 0; b < blocks; b += 32)
    for (std::uint32_t mask = within(nearest + b, limit); mask != 0; mask &= mask - 1) {
      list[count++] = b + __builtin_ctz(mask);
      if (nearest[list[count - 1]] < nearest[list[0]]) std::swap(list[0], list[count - 1]);
    }
  return count;
}

// The k smallest keys seen so far. Few are kept in order; many are thinned out now and then.
class Smallest {
 public:
  // `keys` has room for 2 k + 32.
  Smallest(std::uint64_t* keys, int k) : keys_(keys), end_(keys), k_(k) {
    if (k_ > few) return;
    std::fill_n(keys_, k_, no_neighbour());
    end_ += k_;
  }

  void add(std::uint64_t key) {
    if (k_ > few) {
      *end_++ = key;
      return;
    }
    insert_key(keys_, k_, key);
  }

  // To be called after at most 32 additions: a distance that the k-th smallest does not exceed.
  float limit(float before) {
    if (k_ > few) {
      if (end_ - keys_ < 2 * k_) return before;
      std::nth_element(keys_, keys_ + k_ - 1, end_);
      end_ = keys_ + k_;
    }
    return std::min(before, key_distance(end_[-1]));
  }

  // Sorts them; returns how many there are, at most k.
  int finish() {
    const auto count = std::min<std::ptrdiff_t>(k_, end_ - keys_);
    if (k_ > few) {
      std::nth_element(keys_, keys_ + count, end_);
      std::sort(keys_, keys_ + count);
    }
    return static_cast<int>(count);
  }

 private:
  static constexpr int few = 16;
  std::uint64_t *keys_, *end_;
  int k_;
};

void search(const PointBlocks& c, Point query, int k, Search& s, Smallest& smallest) {
  const Boxes box(c);
  const int full = box.count > 0 && c.index.back() == no_index ? box.count - 1 : box.count;
  float limit = bound_blocks(box, query, full, (k + block - 1) / block, s.nearest.data());
  const int listed = list_blocks(s.nearest.data(), box.count, limit, s.list.data());
  for (int n = 0; n < listed; ++n) {
    const int b = s.list[static_cast<std::size_t>(n)], from = b * block;
    if (s.nearest[static_cast<std::size_t>(b)] > limit) continue;
    float d2[block];
    std::uint32_t mask = block_distances(c.x.data() + from, c.y.data() + from, c.z.data() + from, query, limit, d2);
    for (; mask != 0; mask &= mask - 1) {
      const int i = __builtin_ctz(mask);
      smallest.add(neighbour_key(d2[i], c.index[static_cast<std::size_t>(from + i)]));
    }
    limit = smallest.limit(limit);
  }
}

void neighbours_of(const PointBlocks& c, Point query, int k, Search& s, std::int32_t* indices, float* squared) {
  Smallest smallest(s.found.data(), k);
  if (is_finite(query)) search(c, query, k, s, smallest);
  const int count = smallest.finish();
  for (int i = 0; i < k; ++i) {
    const std::uint64_t key = i < count ? s.found[static_cast<std::size_t>(i)] : no_neighbour();
    indices[i] = key_index(key);
    squared[i] = key_distance(key);
  }
}

}  // namespace

void farthest_points_cpu(const PointSet& points, int count, int start, std::int32_t* out) {
  check_points(points);
  check_start(points, start);
  thread_local Sampling s;
  begin(s, points);
  std::int32_t next = first_centre(points, start);
  for (int n = 0; n < count; ++n) {
    out[n] = next == no_index ? -1 : next;
    if (next == no_index) continue;
    take(s, next);
    next = farthest_point(s.farthest.data(), s.first.data(), s.cloud.blocks());
  }
}

void nearest_neighbours_cpu(const PointSet& queries, const PointSet& points, int k, std::int32_t* indices,
                            float* squared, int threads) {
  check_points(points);
  check_neighbours(k);
  thread_local PointBlocks blocks;
  blocks.build(points);
  const PointBlocks& cloud = blocks;
  for_each_row(queries.count, threads, [&](int first, int last, int) {
    thread_local Search s;
    const auto count = static_cast<std::size_t>(cloud.blocks());
    s.nearest.assign(count + 32, std::numeric_limits<float>::quiet_NaN());
    s.list.resize(count);
    s.found.resize(2 * static_cast<std::size_t>(k) + block);
    for (std::ptrdiff_t q = first; q < last; ++q)
      neighbours_of(cloud, point_at(queries, static_cast<int>(q)), k, s, indices + q * k, squared + q * k);
  });
}

}  // namespace rasant
