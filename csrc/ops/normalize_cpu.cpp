// SPDX-License-Identifier: Apache-2.0
#include "ops/normalize.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "core/depth.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/radix.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int block = 1024;  // pixels of a row that are tallied together; 32767 of them fit into 31 bits

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

// `used(x)` tells which of at most `block` values count. Sums are split into 15 low bits and the rest, so that both
// stay within 32 bits and a vector holds twice as many.
template <bool extremes, class Used>
RASANT_INLINE void tally_block(const float* __restrict value, int count, const Used& used, Tally& tally) {
  std::int32_t lowest = tally.low, highest = tally.high, n = 0, low_sum = 0, high_sum = 0;
  for (int x = 0; x < count; ++x) {
    const std::int32_t mask = -static_cast<std::int32_t>(used(x)), fixed = fixed_value(value[x]) & mask;
    if (extremes) {
      const std::int32_t key = sort_key(value[x]);
      lowest = std::min(lowest, (key & mask) | (std::numeric_limits<std::int32_t>::max() & ~mask));
      highest = std::max(highest, (key & mask) | (std::numeric_limits<std::int32_t>::min() & ~mask));
    }
    low_sum += fixed & 0x7FFF;
    high_sum += fixed >> 15;
    n -= mask;
  }
  tally.low = lowest;
  tally.high = highest;
  tally.sum += std::int64_t{high_sum} * 32768 + low_sum;  // a negative number must not be shifted to the left
  tally.count += n;
}

RASANT_VECTOR void tally_masked(const float* value, const std::uint8_t* foreground, int width, Tally& tally) {
  for (int x = 0; x < width; x += block)
    tally_block<true>(
        value + x, std::min(block, width - x), [=](int i) { return is_used(value[x + i], foreground[x + i]); }, tally);
}

RASANT_VECTOR void tally_all(const float* value, int width, Tally& tally) {
  for (int x = 0; x < width; x += block)
    tally_block<true>(value + x, std::min(block, width - x), [=](int i) { return is_used(value[x + i], 1); }, tally);
}

RASANT_VECTOR void tally_valid(const float* depth, int width, Tally& tally) {
  for (int x = 0; x < width; x += block)
    tally_block<true>(
        depth + x, std::min(block, width - x), [=](int i) { return is_valid_depth(depth[x + i]); }, tally);
}

// Number and sum of the valid depths up to `border`.
RASANT_VECTOR void tally_near(const float* depth, int width, float border, Tally& tally) {
  for (int x = 0; x < width; x += block)
    tally_block<false>(
        depth + x, std::min(block, width - x), [=](int i) { return is_near(depth[x + i], border); }, tally);
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

constexpr std::uint32_t no_key = 0xFFFFFFFFu;  // of no number
constexpr int run = 64;                        // keys that are kept or left out together where they agree

// Integers in the order of the values, no_key where a pixel does not count; returns how many do.
template <class Used>
RASANT_INLINE int write_keys(const float* __restrict value, int count, const Used& used,
                             std::uint32_t* __restrict keys) {
  int n = 0;
  for (int x = 0; x < count; ++x) {
    const std::uint32_t key = static_cast<std::uint32_t>(sort_key(value[x])) ^ 0x80000000u;
    const bool counts = used(x);
    keys[x] = counts ? key : no_key;
    n += counts;
  }
  return n;
}

RASANT_VECTOR int keys_masked(const float* value, const std::uint8_t* foreground, int count, std::uint32_t* keys) {
  return write_keys(value, count, [=](int x) { return is_used(value[x], foreground[x]); }, keys);
}

RASANT_VECTOR int keys_all(const float* value, int count, std::uint32_t* keys) {
  return write_keys(value, count, [=](int x) { return is_used(value[x], 1); }, keys);
}

RASANT_VECTOR int count_bin(const std::uint32_t* __restrict keys, int count, std::uint32_t low, int shift,
                            std::uint32_t bin) {
  int n = 0;
  for (int i = 0; i < count; ++i) n += (keys[i] - low) >> shift == bin;
  return n;
}

RASANT_VECTOR void key_extremes(const std::uint32_t* __restrict keys, std::size_t count, std::uint32_t& low,
                                std::uint32_t& high) {
  std::uint32_t lowest = keys[0], highest = keys[0];
  for (std::size_t i = 1; i < count; ++i) {
    lowest = std::min(lowest, keys[i]);
    highest = std::max(highest, keys[i]);
  }
  low = lowest;
  high = highest;
}

// Keys of the used pixels; `kept` has room for a run more. Returns how many.
std::size_t collect_keys(ImageView<const float> value, ImageView<const std::uint8_t> foreground,
                         std::vector<std::uint32_t>& kept) {
  if (kept.size() < value.pixels() + run) kept.resize(value.pixels() + run);
  std::uint32_t* end = kept.data();
  for (int y = 0; y < value.height; ++y)
    for (int x = 0; x < value.width; x += run) {
      const int size = std::min(run, value.width - x);
      const int used = foreground.data ? keys_masked(value.row(y) + x, foreground.row(y) + x, size, end)
                                       : keys_all(value.row(y) + x, size, end);
      if (used == size || used == 0) {
        end += used;
        continue;
      }
      const std::uint32_t* key = end;
      for (int i = 0; i < size; ++i) {  // without a branch: which pixels count is as good as random to the predictor
        const std::uint32_t next = key[i];
        *end = next;
        end += next != no_key;
      }
    }
  return static_cast<std::size_t>(end - kept.data());
}

// Keys by their leading bits: 2048 bins over the range from lowest to highest.
struct Histogram {
  std::uint32_t low = 0;
  int shift = 0;
  std::array<std::uint32_t, 2048> bins{};

  Histogram(const std::uint32_t* keys, std::size_t count) {
    std::uint32_t high;
    key_extremes(keys, count, low, high);
    shift = std::max(bit_length(high - low) - 11, 0);
    std::array<std::array<std::uint32_t, 2048>, 4> parts{};  // neighbours are alike: four tables that do not wait
    for (std::size_t i = 0; i < count; ++i) ++parts[i % 4][(keys[i] - low) >> shift];
    for (std::size_t k = 0; k < bins.size(); ++k) bins[k] = parts[0][k] + parts[1][k] + parts[2][k] + parts[3][k];
  }

  // The key of a rank among the keys that were counted; `rest` is a work array.
  std::uint32_t at_rank(std::size_t rank, const std::uint32_t* keys, std::size_t count,
                        std::vector<std::uint32_t>& rest) const {
    std::uint32_t bin = 0;
    while (rank >= bins[bin]) rank -= bins[bin++];
    if (rest.size() < bins[bin]) rest.resize(bins[bin]);
    std::uint32_t* end = rest.data();
    for (std::size_t i = 0; i < count; i += run) {
      const int size = static_cast<int>(std::min<std::size_t>(run, count - i));
      if (count_bin(keys + i, size, low, shift, bin) == 0) continue;
      for (int k = 0; k < size; ++k)
        if ((keys[i + k] - low) >> shift == bin) *end++ = keys[i + k];
    }
    std::nth_element(rest.data(), rest.data() + rank, end);
    return rest[rank];
  }
};

}  // namespace

ValueRange measure_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, int threads) {
  const Tally tally = tally_rows(value.height, threads, [&](int y, Tally& into) {
    foreground.data ? tally_masked(value.row(y), foreground.row(y), value.width, into)
                    : tally_all(value.row(y), value.width, into);
  });
  if (tally.count == 0) return {};
  return {tally.count, from_key(tally.low), from_key(tally.high), mean_of(tally.sum, tally.count)};
}

void check_percents(double low_percent, double high_percent) {
  check(low_percent >= 0.0 && low_percent < high_percent && high_percent <= 100.0,
        "percents must satisfy 0 <= low < high <= 100, got ", low_percent, " and ", high_percent,
        "; 0.5 and 99.5 are usual");
}

Percentiles percentiles_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, double low_percent,
                            double high_percent) {
  check_percents(low_percent, high_percent);
  thread_local std::vector<std::uint32_t> keys, rest;
  const std::size_t count = collect_keys(value, foreground, keys);
  if (count == 0) return {};
  const Histogram histogram(keys.data(), count);
  const auto whole = [&](double percent) {
    const auto rank = static_cast<std::size_t>(percent / 100.0 * static_cast<double>(count - 1));
    return from_key(static_cast<std::int32_t>(histogram.at_rank(rank, keys.data(), count, rest) ^ 0x80000000u));
  };
  return {true, whole(low_percent), whole(high_percent)};
}

TwoMeans two_means_cpu(ImageView<const float> depth, int threads) {
  const auto up_to = [&](float border) {
    return tally_rows(depth.height, threads,
                      [&](int y, Tally& into) { tally_near(depth.row(y), depth.width, border, into); });
  };
  const Tally all =
      tally_rows(depth.height, threads, [&](int y, Tally& into) { tally_valid(depth.row(y), depth.width, into); });
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

void check_normalize(const NormalizeParams& p) {
  check(std::isfinite(p.low) && std::isfinite(p.gain) && std::isfinite(p.base) && std::isfinite(p.fill),
        "low, gain, base and fill must be finite, got ", p.low, ", ", p.gain, ", ", p.base, ", ", p.fill);
  check(std::isfinite(p.unit) && p.unit != 0.0f, "unit must be finite and not 0, got ", p.unit,
        "; use 1 for a flat image");
  check(p.levels >= 0 && p.levels <= 65535, "levels must be 0..65535, got ", p.levels, "; 255 is 8-bit grey");
}

void normalize_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, ImageView<float> out,
                   const NormalizeParams& p, int threads) {
  check_normalize(p);
  for_each_row(value.height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y)
      foreground.data ? normalize_row(value.row(y), foreground.row(y), out.row(y), value.width, p)
                      : normalize_all(value.row(y), out.row(y), value.width, p);
  });
}

}  // namespace rasant
