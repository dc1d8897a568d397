// SPDX-License-Identifier: Apache-2.0
#include "ops/score.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr float kRound23 = 8388608.0f;  // x + 2^23 rounds x in [0, 2^23] to the nearest integer, ties to even

RASANT_INLINE std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

RASANT_INLINE float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

RASANT_INLINE bool nonfinite(float value) { return (bits_of(value) & 0x7F800000u) == 0x7F800000u; }

// exp(-x) for x in [0, 87]: 2^-n * exp(r), |r| <= ln(2)/2, polynomial of Cephes' expf (about 1 ULP).
RASANT_INLINE float exp_negative(float x) {
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the integer n stands in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (n * 0.693359375f - x) + n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  return p * from_bits((127u - (bits_of(shifted) - 0x4B400000u)) << 23);
}

RASANT_INLINE float sigmoid(float difference) {
  const float e = exp_negative(std::min(std::fabs(difference), 87.0f));
  return (difference >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// What one row adds to the counts.
struct RowCounts { int nonfinite, clipped; };

// One row of probabilities enters the window: raw is written, and each column sum gains the new fixed-point value and
// loses the one that stood in the ring's slot, which is the row that leaves.
RASANT_VECTOR RowCounts enter_logits(const float* __restrict good, const float* __restrict defect,
                                     const std::uint8_t* __restrict ignore, float* __restrict raw,
                                     std::uint32_t* __restrict slot, std::uint32_t* __restrict column, int width,
                                     float scale) {
  int bad_count = 0;
  for (int x = 0; x < width; ++x) {
    const bool bad = nonfinite(good[x]) | nonfinite(defect[x]);
    const bool counts = (!bad) & (ignore[x] == 0);
    const float p = sigmoid(bad ? 0.0f : defect[x] - good[x]);
    const float kept = counts ? p : 0.0f;
    const std::uint32_t fixed = bits_of(kept * scale + kRound23) - 0x4B000000u;
    raw[x] = bad ? std::numeric_limits<float>::quiet_NaN() : kept;
    column[x] += fixed - slot[x];
    slot[x] = fixed;
    bad_count += bad;
  }
  return {bad_count, 0};
}

RASANT_VECTOR RowCounts enter_probability(const float* __restrict probability, const std::uint8_t* __restrict ignore,
                                          float* __restrict raw, std::uint32_t* __restrict slot,
                                          std::uint32_t* __restrict column, int width, float scale) {
  int bad_count = 0, clipped = 0;
  for (int x = 0; x < width; ++x) {
    const float value = probability[x];
    const bool bad = nonfinite(value);
    const bool outside = (!bad) & ((value < 0.0f) | (value > 1.0f));
    const bool counts = (!bad) & (ignore[x] == 0);
    const float kept = counts ? std::min(std::max(value, 0.0f), 1.0f) : 0.0f;
    const std::uint32_t fixed = bits_of(kept * scale + kRound23) - 0x4B000000u;
    raw[x] = bad ? std::numeric_limits<float>::quiet_NaN() : kept;
    column[x] += fixed - slot[x];
    slot[x] = fixed;
    bad_count += bad;
    clipped += outside;
  }
  return {bad_count, clipped};
}

RASANT_VECTOR void leave_row(std::uint32_t* __restrict slot, std::uint32_t* __restrict column, int width) {
  for (int x = 0; x < width; ++x) {
    column[x] -= slot[x];
    slot[x] = 0;
  }
}

// sums[x] = from[x] + from[x + length] (+ column[x + 2 length]): windows of `length` columns become twice as long (+
// 1).
RASANT_INLINE void lengthen(const std::uint32_t* __restrict from, const std::uint32_t* __restrict column,
                            std::uint32_t* __restrict sums, int length, bool odd, int count) {
  if (odd)
    for (int x = 0; x < count; ++x) sums[x] = from[x] + from[x + length] + column[x + 2 * length];
  else
    for (int x = 0; x < count; ++x) sums[x] = from[x] + from[x + length];
}

// Sums of `kernel` neighbouring columns, built by doubling: kernel 21 takes four rounds, 1 2 5 10 21. `column` has
// radius zeros on either side, a and b are work rows of that length. Writes pooled; returns the row of sums in `sums`
// and the highest of those that are not ignored, or -1.
RASANT_VECTOR std::int32_t pool_row(const std::uint32_t* column, const std::uint8_t* __restrict ignore,
                                    std::uint32_t* a, std::uint32_t* b, float* __restrict pooled, int width, int kernel,
                                    float unit, const std::uint32_t** sums) {
  const std::uint32_t* from = column;
  int length = 1, round = 0;
  while (kernel >> (round + 1)) ++round;
  while (round-- > 0) {
    const int odd = (kernel >> round) & 1, longer = 2 * length + odd;
    lengthen(from, column, a, length, odd != 0, width + kernel - longer);
    from = a;
    std::swap(a, b);
    length = longer;
  }
  *sums = from;
  std::int32_t best = -1;
  for (int x = 0; x < width; ++x) {
    const std::int32_t kept = ignore[x] == 0 ? static_cast<std::int32_t>(from[x]) : -1;
    pooled[x] = static_cast<float>(std::max(kept, 0)) * unit;
    best = std::max(best, kept);
  }
  return best;
}

struct Best {
  std::int32_t sum = -1;
  int y = -1, x = -1;
  std::int64_t nonfinite = 0, clipped = 0;
};

// The buffers of one thread, kept from call to call.
struct Scratch {
  std::vector<std::uint32_t> ring, column, a, b;
  std::vector<float> halo;
  std::vector<std::uint8_t> nothing;

  void fit(int width, int kernel) {
    const auto w = static_cast<std::size_t>(width), k = static_cast<std::size_t>(kernel);
    ring.assign(w * k, 0);
    column.assign(w + k, 0);
    a.resize(w + k);
    b.resize(w + k);
    halo.resize(w);
    nothing.assign(w, 0);
  }
};

// `enter(y, ignore, raw, slot, column, width, scale)` converts row y. A band converts `radius` rows more on each side,
// into scratch: their raw values and counts belong to the neighbour.
template <class Enter>
Best score_band(const Enter& enter, int kernel, const ScoreMaps& maps, int first, int last) {
  thread_local Scratch scratch;
  const int height = maps.raw.height, width = maps.raw.width, radius = kernel / 2;
  const float scale = static_cast<float>(1 << fraction_bits(kernel));
  const float unit = static_cast<float>(1.0 / (static_cast<double>(scale) * kernel * kernel));
  scratch.fit(width, kernel);
  const auto ignored = [&](int y) { return maps.ignore.data ? maps.ignore.row(y) : scratch.nothing.data(); };
  std::uint32_t* column = scratch.column.data() + radius;
  Best best;
  for (int entering = std::max(first - radius, 0); entering < last + radius; ++entering) {
    std::uint32_t* slot = scratch.ring.data() + static_cast<std::ptrdiff_t>(entering % kernel) * width;
    if (entering < height) {
      const bool own = entering >= first && entering < last;
      const RowCounts counts = enter(entering, ignored(entering), own ? maps.raw.row(entering) : scratch.halo.data(),
                                     slot, column, width, scale);
      best.nonfinite += own ? counts.nonfinite : 0;
      best.clipped += own ? counts.clipped : 0;
    } else {
      leave_row(slot, column, width);
    }
    const int y = entering - radius;
    if (y < first) continue;
    const std::uint32_t* sums = nullptr;
    const std::int32_t sum = pool_row(scratch.column.data(), ignored(y), scratch.a.data(), scratch.b.data(),
                                      maps.pooled.row(y), width, kernel, unit, &sums);
    if (sum <= best.sum) continue;
    int x = 0;
    while (ignored(y)[x] != 0 || static_cast<std::int32_t>(sums[x]) != sum) ++x;
    best.sum = sum;
    best.y = y;
    best.x = x;
  }
  return best;
}

template <class Enter>
ScoreResult score_rows(const Enter& enter, int kernel, const ScoreMaps& maps, int threads) {
  check(kernel >= 1 && kernel <= kMaxKernel && kernel % 2 == 1, "kernel must be odd and in 1 .. ", kMaxKernel, ", got ",
        kernel, "; take the nearest odd number");
  check(threads >= 1, "threads must be at least 1, got ", threads, "; pass 1 for the calling thread alone");
  const int bands = std::min(threads, maps.raw.height);
  std::vector<Best> bests(static_cast<std::size_t>(bands));
  for_each_row(maps.raw.height, bands, [&](int first, int last, int band) {
    bests[static_cast<std::size_t>(band)] = score_band(enter, kernel, maps, first, last);
  });
  Best best;
  for (const Best& b : bests) {
    if (b.sum > best.sum) best.sum = b.sum, best.y = b.y, best.x = b.x;
    best.nonfinite += b.nonfinite;
    best.clipped += b.clipped;
  }
  if (best.nonfinite > 0 || best.sum < 0)
    return {std::numeric_limits<float>::quiet_NaN(), -1, -1, best.nonfinite, best.clipped};
  return {maps.pooled(best.y, best.x), best.y, best.x, 0, best.clipped};
}

}  // namespace

ScoreResult score_map_cpu(ImageView<const float> good, ImageView<const float> defect, int kernel, const ScoreMaps& maps,
                          int threads) {
  const auto enter = [&](int y, const std::uint8_t* ignore, float* raw, std::uint32_t* slot, std::uint32_t* column,
                         int width, float scale) {
    return enter_logits(good.row(y), defect.row(y), ignore, raw, slot, column, width, scale);
  };
  return score_rows(enter, kernel, maps, threads);
}

ScoreResult score_probability_cpu(ImageView<const float> probability, int kernel, const ScoreMaps& maps, int threads) {
  const auto enter = [&](int y, const std::uint8_t* ignore, float* raw, std::uint32_t* slot, std::uint32_t* column,
                         int width, float scale) {
    return enter_probability(probability.row(y), ignore, raw, slot, column, width, scale);
  };
  return score_rows(enter, kernel, maps, threads);
}

}  // namespace rasant
