// SPDX-License-Identifier: Apache-2.0
// A tile of 128 x 128 products a block, 8 x 8 a thread, out of shared memory. Each tile first lowers the bound of its
// queries, then lists the rows within it. A warp a query computes d2 of the listed rows. The bound of k rows without a
// sort: row r belongs to group r % k, and k groups have a smallest upper bound each; k rows lie below the largest of
// these.
#include <cstdint>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/bank.hpp"

namespace rasant {
namespace {

constexpr int warp = 32;
constexpr int tile = 128;         // queries, and rows of the bank, of a block
constexpr int edge = 16;          // threads of a block along both
constexpr int own = tile / edge;  // products of a thread along both
constexpr int step = 16;          // values of a row in shared memory at a time
constexpr int pitch = tile + 1;   // of a value in shared memory: no two lanes write to one bank
constexpr int panel = step * pitch;
constexpr int listed_max = 256;  // rows listed for a query; where they do not suffice, all rows get their d2

// Scratch memory. Bounds are integers with the order of the floats, for atomic minima.
struct Scratch {
  RowTerm *queries, *bank;
  std::uint32_t* upper;  // (queries, k)
  std::int32_t* listed;  // by query: how many rows, which may exceed listed_max
  std::int32_t* rows;    // (queries, listed_max)
  float* lower;          // (queries, listed_max)
};

RASANT_HD std::uint32_t order_of(float value) {
  const std::uint32_t bits = bits_of(value + 0.0f);
  return bits ^ ((bits & 0x80000000u) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}

RASANT_HD float value_of(std::uint32_t order) {
  return float_of(order ^ ((order & 0x80000000u) != 0 ? 0x80000000u : 0xFFFFFFFFu));
}

// A warp a row.
RASANT_KERNEL void measure_rows(RowSet set, RowTerm* terms, bool are_queries) {
  const int row = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / warp);
  const int lane = static_cast<int>(threadIdx.x % warp);
  if (row >= set.count) return;
  double norm = 0.0;
  for (int i = lane; i < set.depth; i += warp) {
    const auto value = static_cast<double>(set.row(row)[i]);
    norm += value * value;
  }
  for (int lanes = warp / 2; lanes > 0; lanes /= 2) norm += gpu::shuffle_xor(norm, lanes);
  if (lane == 0) terms[row] = are_queries ? query_term(norm, set.depth) : bank_term(norm);
}

RASANT_KERNEL void clear_bounds(Scratch s, int queries, int k) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < queries * k) s.upper[i] = order_of(float_of(0x7F800000u));
  if (i < queries) s.listed[i] = 0;
}

// Values [k, k + step) of `tile` rows from `first` on, value by value; zeros beyond the set and for what is not finite.
RASANT_HD void load_values(const RowSet& set, int first, int k, int thread, float* values) {
  for (int at = thread; at < tile * step; at += edge * edge) {
    const int row = first + at / step, i = k + at % step;
    const float value = row < set.count && i < set.depth ? set.row(row)[i] : 0.0f;
    values[at % step * pitch + at / step] = is_finite(value) ? value : 0.0f;
  }
}

// From the largest bound of a query's groups. Nothing is wanted of a query that is not finite: its norm is inf, its
// slack 0.
RASANT_HD float limit_of(std::uint32_t most, const RowTerm& query) {
  const float infinity = float_of(0x7F800000u);
  if (query.norm == infinity && query.slack == 0.0f) return -infinity;
  const float bound = value_of(most);
  return bound == infinity ? infinity : bank_limit(bound, query.norm);
}

// The sums of a thread are registers only where every index is known at compile time.
#if defined(__CUDACC__)
#define RASANT_UNROLLED _Pragma("unroll")
#else
#define RASANT_UNROLLED
#endif

RASANT_KERNEL void compare_tiles(RowSet queries, RowSet bank, Scratch s, int k) {
  RASANT_SHARED(float, query_values, panel);
  RASANT_SHARED(float, bank_values, panel);
  RASANT_SHARED(float, limits, tile);
  const int thread = static_cast<int>(threadIdx.x), tx = thread % edge, ty = thread / edge;
  const int first_query = static_cast<int>(blockIdx.x) * tile, first_row = static_cast<int>(blockIdx.y) * tile;
  float sum[own * own] = {};
  for (int at = 0; at < bank.depth; at += step) {
    load_values(queries, first_query, at, thread, query_values);
    load_values(bank, first_row, at, thread, bank_values);
    gpu::barrier();
    for (int value = 0; value < step; ++value) {
      float q[own], m[own];
      RASANT_UNROLLED
      for (int i = 0; i < own; ++i) q[i] = query_values[value * pitch + i * edge + ty];
      RASANT_UNROLLED
      for (int j = 0; j < own; ++j) m[j] = bank_values[value * pitch + j * edge + tx];
      RASANT_UNROLLED
      for (int n = 0; n < own * own; ++n) sum[n] = std::fma(q[n / own], m[n % own], sum[n]);
    }
    gpu::barrier();
  }
  const auto each = [&](const auto& visit) {
    RASANT_UNROLLED
    for (int n = 0; n < own * own; ++n) {
      const int query = first_query + n / own * edge + ty, row = first_row + n % own * edge + tx;
      if (query < queries.count && row < bank.count) visit(query, row, sum[n]);
    }
  };
  each([&](int query, int row, float dot) {
    const float upper = bank_upper(dot, s.bank[row], s.queries[query].slack);
    std::uint32_t* const bound = s.upper + static_cast<std::ptrdiff_t>(query) * k + row % k;
    if (is_finite(upper) && order_of(upper) < *bound) gpu::atomic_min(bound, order_of(upper));
  });
  gpu::barrier();
  if (thread < tile && first_query + thread < queries.count) {
    std::uint32_t* const bounds = s.upper + static_cast<std::ptrdiff_t>(first_query + thread) * k;
    std::uint32_t most = 0;
    for (int i = 0; i < k; ++i) {  // by atomics: other blocks lower the bounds, and a cache may not know
      const std::uint32_t bound = gpu::atomic_min(bounds + i, 0xFFFFFFFFu);
      most = bound > most ? bound : most;
    }
    limits[thread] = limit_of(most, s.queries[first_query + thread]);
  }
  gpu::barrier();
  each([&](int query, int row, float dot) {
    const float lower = bank_lower(dot, s.bank[row], s.queries[query].slack);
    if (lower > limits[query - first_query]) return;
    const int at = gpu::atomic_add(s.listed + query, 1);
    if (at >= listed_max) return;
    s.rows[static_cast<std::ptrdiff_t>(query) * listed_max + at] = row;
    s.lower[static_cast<std::ptrdiff_t>(query) * listed_max + at] = lower;
  });
}

// One of the bank_lanes sums of d2.
RASANT_HD double lane_sum(const float* q, const float* m, int depth, int lane) {
  double sum = 0.0;
  for (int i = lane; i < depth; i += bank_lanes) {
    const double difference = static_cast<double>(q[i]) - static_cast<double>(m[i]);
    sum += difference * difference;
  }
  return sum;
}

// A warp a query.
RASANT_KERNEL void rank_rows(RowSet queries, RowSet bank, Scratch s, int k, std::int32_t* indices, float* squared) {
  RASANT_SHARED(std::uint64_t, keys, 4 * bank_max_k);
  const int lane = static_cast<int>(threadIdx.x % warp);
  const int query = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / warp);
  if (query >= queries.count) return;
  std::uint64_t* const best = keys + static_cast<std::ptrdiff_t>(threadIdx.x / warp) * bank_max_k;
  if (lane == 0)
    for (int i = 0; i < k; ++i) best[i] = no_neighbour();
  std::uint32_t most = 0;
  for (int i = 0; i < k; ++i) {
    const std::uint32_t bound = s.upper[static_cast<std::ptrdiff_t>(query) * k + i];
    most = bound > most ? bound : most;
  }
  const float limit = limit_of(most, s.queries[query]);
  const int listed = s.listed[query];
  const bool all = listed > listed_max;
  for (int at = 0; at < (all ? bank.count : listed); ++at) {
    const std::ptrdiff_t entry = static_cast<std::ptrdiff_t>(query) * listed_max + at;
    if (!all && s.lower[entry] > limit) continue;
    const int row = all ? at : s.rows[entry];
    double sum = lane_sum(queries.row(query), bank.row(row), bank.depth, lane);
    for (int half = bank_lanes / 2; half > 0; half /= 2) sum += gpu::shuffle_down(sum, half);
    const auto d2 = static_cast<float>(sum);
    if (lane == 0 && is_finite(d2)) insert_key(best, k, neighbour_key(d2, row));
  }
  if (lane != 0) return;
  for (int i = 0; i < k; ++i) {
    indices[static_cast<std::ptrdiff_t>(query) * k + i] = key_index(best[i]);
    squared[static_cast<std::ptrdiff_t>(query) * k + i] = key_distance(best[i]);
  }
}

}  // namespace

void nearest_rows_cuda(const RowSet& queries, const RowSet& bank, int k, std::int32_t* indices, float* squared,
                       Stream stream) {
  check_bank(queries, bank, k);
  const auto asked = static_cast<std::size_t>(queries.count), stored = static_cast<std::size_t>(bank.count);
  const std::size_t terms = (asked + stored) * sizeof(RowTerm);
  const std::size_t words = asked * (static_cast<std::size_t>(k) + 1 + 2 * listed_max);
  Scratch s{};
  s.queries = static_cast<RowTerm*>(workspace(stream, terms + words * sizeof(float)));
  s.bank = s.queries + asked;
  s.upper = reinterpret_cast<std::uint32_t*>(s.bank + stored);
  s.listed = reinterpret_cast<std::int32_t*>(s.upper + asked * static_cast<std::size_t>(k));
  s.rows = s.listed + asked;
  s.lower = reinterpret_cast<float*>(s.rows + asked * listed_max);
  constexpr int warps = 4;
  launch(measure_rows, dim3(blocks_for(queries.count, warps)), dim3(warps * warp), 0, stream, queries, s.queries, true);
  launch(measure_rows, dim3(blocks_for(bank.count, warps)), dim3(warps * warp), 0, stream, bank, s.bank, false);
  launch(clear_bounds, dim3(blocks_for(static_cast<std::int64_t>(queries.count) * k, 256)), dim3(256), 0, stream, s,
         queries.count, k);
  launch(compare_tiles, dim3(blocks_for(queries.count, tile), blocks_for(bank.count, tile)), dim3(edge * edge), 0,
         stream, queries, bank, s, k);
  launch(rank_rows, dim3(blocks_for(queries.count, warps)), dim3(warps * warp), 0, stream, queries, bank, s, k, indices,
         squared);
}

}  // namespace rasant
