// SPDX-License-Identifier: Apache-2.0
#include "ops/normalize.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/depth.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int rounds_of_two_means = 20;

// Order-preserving integer of a float, and back: integer minima and maxima vectorise, and need no order.
RASANT_INLINE std::int32_t sort_key(float value) {
  std::int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}

float from_key(std::int32_t key) {
  const std::int32_t bits = key ^ ((key >> 31) & 0x7FFFFFFF);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct Tally {
  std::int32_t low = std::numeric_limits<std::int32_t>::max();   // sort key
  std::int32_t high = std::numeric_limits<std::int32_t>::min();  // sort key
  std::int64_t sum = 0;                                          // 2^-20 units
  std::int64_t count = 0;

  RASANT_INLINE void add(const Tally& other) {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
    sum += other.sum;
    count += other.count;
  }
};

// `used(x)` tells which values of the row count.
template <class Used>
RASANT_INLINE void tally_row(const float* __restrict value, int width, const Used& used, Tally& tally) {
  std::int32_t low = tally.low, high = tally.high, count = 0;
  std::int64_t sum = 0;
  for (int x = 0; x < width; ++x) {
    const std::int32_t mask = -static_cast<std::int32_t>(used(x)), key = sort_key(value[x]);
    low = std::min(low, (key & mask) | (std::numeric_limits<std::int32_t>::max() & ~mask));
    high = std::max(high, (key & mask) | (std::numeric_limits<std::int32_t>::min() & ~mask));
    sum += fixed_value(value[x]) & mask;
    count -= mask;
  }
  tally.low = low;
  tally.high = high;
  tally.sum += sum;
  tally.count += count;
}

RASANT_VECTOR void tally_masked(const float* __restrict value, const std::uint8_t* __restrict foreground, int width,
                                Tally& tally) {
  tally_row(value, width, [=](int x) { return is_used(value[x], foreground[x]); }, tally);
}

RASANT_VECTOR void tally_all(const float* __restrict value, int width, Tally& tally) {
  tally_row(value, width, [=](int x) { return is_used(value[x], 1); }, tally);
}

// Valid depths up to `border`.
RASANT_VECTOR void tally_near(const float* __restrict depth, int width, float border, Tally& tally) {
  tally_row(depth, width, [=](int x) { return is_valid_depth(depth[x]) & (depth[x] <= border); }, tally);
}

// tally_one(y, into) adds row y.
template <class TallyOne>
Tally tally_rows(int height, int threads, const TallyOne& tally_one) {
  std::vector<Tally> bands(static_cast<std::size_t>(std::clamp(threads, 1, height)));
  for_each_row(height, threads, [&](int begin, int end, int band) {
    Tally tally;
    for (int y = begin; y < end; ++y) tally_one(y, tally);
    bands[static_cast<std::size_t>(band)] = tally;
  });
  for (std::size_t k = 1; k < bands.size(); ++k) bands[0].add(bands[k]);
  return bands[0];
}

double mean_of(std::int64_t sum, std::int64_t count) {
  return static_cast<double>(sum) / 1048576.0 / static_cast<double>(count);
}

RASANT_VECTOR void normalize_row(const float* __restrict value, const std::uint8_t* __restrict foreground,
                                 float* __restrict out, int width, const NormalizeParams& params) {
  const NormalizeParams p = params;
  for (int x = 0; x < width; ++x) out[x] = normalized(value[x], is_used(value[x], foreground[x]), p);
}

RASANT_VECTOR void normalize_all(const float* __restrict value, float* __restrict out, int width,
                                 const NormalizeParams& params) {
  const NormalizeParams p = params;
  for (int x = 0; x < width; ++x) out[x] = normalized(value[x], is_used(value[x], 1), p);
}

template <class Visit>
void for_each_used(ImageView<const float> value, ImageView<const std::uint8_t> foreground, const Visit& visit) {
  for (int y = 0; y < value.height; ++y) {
    const float* row = value.row(y);
    const std::uint8_t* mask = foreground.data ? foreground.row(y) : nullptr;
    for (int x = 0; x < value.width; ++x)
      if (is_used(row[x], mask ? mask[x] : std::uint8_t{1}))
        visit(static_cast<std::uint32_t>(sort_key(row[x])) ^ 0x80000000u);
  }
}

// Bin that holds the rank, which becomes the rank within it.
std::uint32_t bin_of_rank(const std::vector<std::uint32_t>& histogram, std::int64_t& rank) {
  std::uint32_t bin = 0;
  while (rank >= histogram[bin]) rank -= histogram[bin++];
  return bin;
}

}  // namespace

ValueRange measure_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, int threads) {
  const Tally tally = tally_rows(value.height, threads, [&](int y, Tally& into) {
    foreground.data ? tally_masked(value.row(y), foreground.row(y), value.width, into)
                    : tally_all(value.row(y), value.width, into);
  });
  if (tally.count == 0) return {};
  return {tally.count, from_key(tally.low), from_key(tally.high), mean_of(tally.sum, tally.count)};
}

bool percentiles_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, double low_percent,
                     double high_percent, float& low, float& high) {
  check(low_percent >= 0.0 && low_percent < high_percent && high_percent <= 100.0,
        "percents must satisfy 0 <= low < high <= 100, got ", low_percent, " and ", high_percent,
        "; 0.5 and 99.5 are usual");
  constexpr std::size_t bins = 1 << 16;
  thread_local std::vector<std::uint32_t> upper, lower[2];
  for (auto* histogram : {&upper, &lower[0], &lower[1]}) histogram->assign(bins, 0);
  std::int64_t count = 0;
  for_each_used(value, foreground, [&](std::uint32_t key) { ++upper[key >> 16], ++count; });
  if (count == 0) return false;
  std::int64_t rank[2];
  std::uint32_t bin[2];
  for (int k = 0; k < 2; ++k) {
    rank[k] = static_cast<std::int64_t>((k ? high_percent : low_percent) / 100.0 * static_cast<double>(count - 1));
    bin[k] = bin_of_rank(upper, rank[k]);
  }
  for_each_used(value, foreground, [&](std::uint32_t key) {
    for (int k = 0; k < 2; ++k)
      if (key >> 16 == bin[k]) ++lower[k][key & 0xFFFFu];
  });
  const auto whole = [&](int k) {
    return from_key(static_cast<std::int32_t>((bin[k] << 16 | bin_of_rank(lower[k], rank[k])) ^ 0x80000000u));
  };
  low = whole(0);
  high = whole(1);
  return true;
}

TwoMeans two_means_cpu(ImageView<const float> depth, int threads) {
  const auto up_to = [&](float border) {
    return tally_rows(depth.height, threads,
                      [&](int y, Tally& into) { tally_near(depth.row(y), depth.width, border, into); });
  };
  const Tally all = up_to(std::numeric_limits<float>::max());
  if (all.count == 0) return {};
  TwoMeans means{from_key(all.low), from_key(all.high)};
  std::int64_t last = -1;
  for (int round = 0; round < rounds_of_two_means; ++round) {
    const Tally near = up_to(static_cast<float>((means.near + means.far) / 2.0));
    if (near.count == 0 || near.count == all.count || near.count == last) break;
    last = near.count;
    means.near = mean_of(near.sum, near.count);
    means.far = mean_of(all.sum - near.sum, all.count - near.count);
  }
  return means;
}

void normalize_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, ImageView<float> out,
                   const NormalizeParams& p, int threads) {
  check(std::isfinite(p.low) && std::isfinite(p.gain) && std::isfinite(p.base) && std::isfinite(p.fill),
        "low, gain, base and fill must be finite, got ", p.low, ", ", p.gain, ", ", p.base, ", ", p.fill);
  check(std::isfinite(p.unit) && p.unit != 0.0f, "unit must be finite and not 0, got ", p.unit,
        "; use 1 for a flat image");
  check(p.levels >= 0 && p.levels <= 65535, "levels must be 0..65535, got ", p.levels, "; 255 is 8-bit grey");
  for_each_row(value.height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y)
      foreground.data ? normalize_row(value.row(y), foreground.row(y), out.row(y), value.width, p)
                      : normalize_all(value.row(y), out.row(y), value.width, p);
  });
}

}  // namespace rasant
