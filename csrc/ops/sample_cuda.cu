// SPDX-License-Identifier: Apache-2.0
// farthest_points: one block, because every centre waits for the one before it. Points stay in their order, in groups
// of one warp with a box each; a centre opens only the groups that it may come nearer to. nearest_neighbours: a block a
// query. A radix selection over (distance, index) finds the k-th smallest key, 8 bits a pass and mostly four passes of
// the seven; the k keys are then sorted in shared memory.
#include <cstdint>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/sample.hpp"

namespace rasant {
namespace {

constexpr int warp = 32;
constexpr int sampling_threads = 512;
constexpr int search_threads = 128;

// Points and state of farthest-point sampling in scratch memory; `slots` is a multiple of a warp.
struct Sampling {
  int slots, groups;
  float *x, *y, *z, *distance;  // by slot; distance -1: never (again) to be picked
  float *low, *high;            // by group, 3 each
  std::uint64_t* farthest;      // by group: see rank_of
  std::int32_t* opened;         // groups that the present centre opens
};

// Order of the next centre: farther first, then the lower index. 0 for a point that cannot be picked.
RASANT_HD std::uint64_t rank_of(float distance, int index) {
  if (distance < 0.0f) return 0;
  return static_cast<std::uint64_t>(bits_of(distance) + 1u) << 32 | (0xFFFFFFFFu - static_cast<std::uint32_t>(index));
}

RASANT_HD int index_of(std::uint64_t rank) { return static_cast<int>(0xFFFFFFFFu - static_cast<std::uint32_t>(rank)); }

RASANT_HD std::uint64_t larger(std::uint64_t a, std::uint64_t b) { return a > b ? a : b; }
RASANT_HD float smaller(float a, float b) { return a < b ? a : b; }

// One warp a group: copies its points, and bounds them.
RASANT_KERNEL void group_points(PointSet points, Sampling s) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= s.slots) return;
  const float infinity = float_of(0x7F800000u);
  const bool usable = i < points.count && is_usable(points, i);
  Point p{0.0f, 0.0f, 0.0f};
  if (usable) p = point_at(points, i);
  s.x[i] = p.x;
  s.y[i] = p.y;
  s.z[i] = p.z;
  s.distance[i] = usable ? infinity : -1.0f;
  float bound[6] = {p.x, p.y, p.z, -p.x, -p.y, -p.z};
  std::uint64_t rank = rank_of(s.distance[i], i);
  for (int axis = 0; axis < 6; ++axis) {
    bound[axis] = usable ? bound[axis] : infinity;
    for (int lanes = warp / 2; lanes > 0; lanes /= 2)
      bound[axis] = smaller(bound[axis], gpu::shuffle_xor(bound[axis], lanes));
  }
  for (int lanes = warp / 2; lanes > 0; lanes /= 2) rank = larger(rank, gpu::shuffle_xor(rank, lanes));
  if (threadIdx.x % warp != 0) return;
  const int group = i / warp;
  for (int axis = 0; axis < 3; ++axis) {
    s.low[3 * group + axis] = bound[axis];
    s.high[3 * group + axis] = -bound[3 + axis];
  }
  s.farthest[group] = rank;
}

RASANT_HD Point corner(const float* of_groups, int group) {
  return {of_groups[3 * group], of_groups[3 * group + 1], of_groups[3 * group + 2]};
}

RASANT_KERNEL void pick_points(PointSet points, Sampling s, int count, int start, std::int32_t* out) {
  RASANT_SHARED(std::uint64_t, parts, sampling_threads / warp);
  RASANT_SHARED(std::int32_t, listed, 1);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), lane = thread % warp;
  const auto largest_in_block = [&](std::uint64_t value) {
    for (int lanes = warp / 2; lanes > 0; lanes /= 2) value = larger(value, gpu::shuffle_xor(value, lanes));
    if (lane == 0) parts[thread / warp] = value;
    gpu::barrier();
    value = 0;
    for (int w = 0; w < threads / warp; ++w) value = larger(value, parts[w]);
    gpu::barrier();
    return value;
  };
  // The first centre: the lowest index from `start` on, else the lowest of all.
  std::uint64_t rank = 0;
  for (int i = thread; i < points.count; i += threads)
    rank = larger(rank, rank_of(s.distance[i] < 0.0f ? -1.0f : (i >= start ? 1.0f : 0.0f), i));
  rank = largest_in_block(rank);
  for (int n = 0; n < count; ++n) {
    if (rank == 0) {
      if (thread == 0) out[n] = -1;
      continue;
    }
    const int next = index_of(rank);
    const Point centre{s.x[next], s.y[next], s.z[next]};
    if (thread == 0) {
      out[n] = next;
      s.distance[next] = -1.0f;
      s.farthest[next / warp] = ~std::uint64_t{0};  // opened whatever its box says
      *listed = 0;
    }
    gpu::barrier();
    for (int g = thread; g < s.groups; g += threads) {
      const float nearest = nearest_in_box(centre, corner(s.low, g), corner(s.high, g));
      if (bits_of(nearest) + 1u < static_cast<std::uint32_t>(s.farthest[g] >> 32))
        s.opened[gpu::atomic_add(listed, 1)] = g;
    }
    gpu::barrier();
    for (int at = thread / warp; at < *listed; at += threads / warp) {
      const int group = s.opened[at], i = group * warp + lane;
      const float before = s.distance[i], d2 = squared_distance({s.x[i], s.y[i], s.z[i]}, centre);
      const float after = smaller(d2, before);
      s.distance[i] = after;
      std::uint64_t most = rank_of(after, i);
      for (int lanes = warp / 2; lanes > 0; lanes /= 2) most = larger(most, gpu::shuffle_xor(most, lanes));
      if (lane == 0) s.farthest[group] = most;
    }
    gpu::barrier();
    rank = 0;
    for (int g = thread; g < s.groups; g += threads) rank = larger(rank, s.farthest[g]);
    rank = largest_in_block(rank);
  }
}

// 56 bits in the order of neighbour_key: the selection takes them 8 at a time from the top.
RASANT_HD std::uint64_t selection_key(float squared, int index) {
  return static_cast<std::uint64_t>(bits_of(squared)) << 24 | static_cast<std::uint32_t>(index);
}

// Keys up to `limit` are the k smallest; `prefix` and `remaining` lead there.
struct Selection {
  std::uint64_t prefix, limit;
  int remaining, whole;
};

// The bin of the remaining-th key, if it is one of the lane's eight, which hold `own` keys and come after `before`
// keys.
RASANT_HD void choose_bin(const std::int32_t* bins, int lane, int own, int before, int shift, Selection now,
                          Selection* next) {
  if (lane == warp - 1 && before + own < now.remaining) next->whole = 1;  // fewer than k: all are taken
  if (now.remaining <= before || now.remaining > before + own) return;
  int bin = 8 * lane;
  for (; now.remaining > before + bins[bin]; ++bin) before += bins[bin];
  const std::uint64_t prefix = now.prefix | static_cast<std::uint64_t>(bin) << shift;
  const int remaining = now.remaining - before;
  *next = {prefix, prefix | ((std::uint64_t{1} << shift) - 1), remaining, bins[bin] == remaining ? 1 : 0};
}

// A block a query; keys has room for the power of two `room` >= k.
RASANT_KERNEL void find_neighbours(PointSet queries, PointSet points, int k, int room, std::int32_t* indices,
                                   float* squared) {
  RASANT_SHARED(std::int32_t, bins, 256);
  RASANT_SHARED(Selection, selection, 1);
  RASANT_SHARED(std::int32_t, found, 1);
  RASANT_DYNAMIC_SHARED(std::uint64_t, keys);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const Point query = point_at(queries, static_cast<int>(blockIdx.x));
  const int count = is_finite(query) ? points.count : 0;
  if (thread == 0) {
    *selection = {0, ~std::uint64_t{0}, k, 0};
    *found = 0;
  }
  for (int i = thread; i < room; i += threads) keys[i] = no_neighbour();
  gpu::barrier();
  for (int shift = 48; shift >= 0 && selection->whole == 0; shift -= 8) {
    for (int b = thread; b < 256; b += threads) bins[b] = 0;
    gpu::barrier();
    const Selection now = *selection;
    for (int i = thread; i < count; i += threads) {
      if (!is_usable(points, i)) continue;
      const std::uint64_t key = selection_key(squared_distance(point_at(points, i), query), i);
      if (shift == 48 || (key ^ now.prefix) >> (shift + 8) == 0)
        gpu::atomic_add(bins + static_cast<int>(key >> shift & 255u), 1);
    }
    gpu::barrier();
    if (thread < warp) {
      int in_lane = 0, before = 0;
      for (int b = 0; b < 8; ++b) in_lane += bins[8 * thread + b];
      for (int other = 0; other < warp; ++other) {
        const int theirs = gpu::shuffle(in_lane, other);
        before += other < thread ? theirs : 0;
      }
      choose_bin(bins, thread, in_lane, before, shift, now, selection);
    }
    gpu::barrier();
  }
  const std::uint64_t limit = selection->limit;
  for (int i = thread; i < count; i += threads) {
    if (!is_usable(points, i)) continue;
    const float d2 = squared_distance(point_at(points, i), query);
    if (selection_key(d2, i) <= limit) keys[gpu::atomic_add(found, 1)] = neighbour_key(d2, i);
  }
  gpu::barrier();
  for (int size = 2; size <= room; size *= 2)  // bitonic sort (Batcher, 1968)
    for (int step = size / 2; step > 0; step /= 2) {
      for (int i = thread; i < room; i += threads) {
        const int other = i ^ step;
        const bool descending = (i & size) != 0;
        if (other > i && (keys[i] > keys[other]) != descending) {
          const std::uint64_t key = keys[i];
          keys[i] = keys[other];
          keys[other] = key;
        }
      }
      gpu::barrier();
    }
  for (int i = thread; i < k; i += threads) {
    indices[static_cast<std::ptrdiff_t>(blockIdx.x) * k + i] = key_index(keys[i]);
    squared[static_cast<std::ptrdiff_t>(blockIdx.x) * k + i] = key_distance(keys[i]);
  }
}

}  // namespace

void farthest_points_cuda(const PointSet& points, int count, int start, std::int32_t* out, Stream stream) {
  check_points(points);
  check_start(points, start);
  Sampling s{};
  s.groups = (points.count + warp - 1) / warp;
  s.slots = s.groups * warp;
  const auto slots = static_cast<std::size_t>(s.slots), groups = static_cast<std::size_t>(s.groups);
  auto* const scratch = static_cast<std::uint64_t*>(
      workspace(stream, groups * sizeof(std::uint64_t) + (4 * slots + 7 * groups) * sizeof(float)));
  auto* const floats = reinterpret_cast<float*>(scratch + groups);
  s.farthest = scratch;
  s.x = floats;
  s.y = s.x + slots;
  s.z = s.y + slots;
  s.distance = s.z + slots;
  s.low = s.distance + slots;
  s.high = s.low + 3 * groups;
  s.opened = reinterpret_cast<std::int32_t*>(s.high + 3 * groups);
  launch(group_points, dim3(blocks_for(s.slots, 256)), dim3(256), 0, stream, points, s);
  launch(pick_points, dim3(1), dim3(sampling_threads), 0, stream, points, s, count, start, out);
}

void nearest_neighbours_cuda(const PointSet& queries, const PointSet& points, int k, std::int32_t* indices,
                             float* squared, Stream stream) {
  check_points(points);
  check_neighbours(k);
  int room = 1;
  while (room < k) room *= 2;
  launch(find_neighbours, dim3(static_cast<unsigned>(queries.count)), dim3(search_threads),
         static_cast<std::size_t>(room) * sizeof(std::uint64_t), stream, queries, points, k, room, indices, squared);
}

}  // namespace rasant
