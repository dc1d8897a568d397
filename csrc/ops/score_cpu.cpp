// SPDX-License-Identifier: Apache-2.0
#include "ops/score.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

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
    const Probability p = probability_of_logits(good[x], defect[x], ignore[x] != 0, scale);
    raw[x] = p.raw;
    column[x] += p.fixed - slot[x];
    slot[x] = p.fixed;
    bad_count += p.bad;
  }
  return {bad_count, 0};
}

RASANT_VECTOR RowCounts enter_probability(const float* __restrict probability, const std::uint8_t* __restrict ignore,
                                          float* __restrict raw, std::uint32_t* __restrict slot,
                                          std::uint32_t* __restrict column, int width, float scale) {
  int bad_count = 0, clipped = 0;
  for (int x = 0; x < width; ++x) {
    const Probability p = probability_of_value(probability[x], ignore[x] != 0, scale);
    raw[x] = p.raw;
    column[x] += p.fixed - slot[x];
    slot[x] = p.fixed;
    bad_count += p.bad;
    clipped += p.outside;
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
Best score_band(const Enter& enter, const ScoreScale& how, const ScoreMaps& maps, int first, int last) {
  thread_local Scratch scratch;
  const int kernel = how.kernel, height = maps.raw.height, width = maps.raw.width, radius = kernel / 2;
  scratch.fit(width, kernel);
  const auto ignored = [&](int y) { return maps.ignore.data ? maps.ignore.row(y) : scratch.nothing.data(); };
  std::uint32_t* column = scratch.column.data() + radius;
  Best best;
  for (int entering = std::max(first - radius, 0); entering < last + radius; ++entering) {
    std::uint32_t* slot = scratch.ring.data() + static_cast<std::ptrdiff_t>(entering % kernel) * width;
    if (entering < height) {
      const bool own = entering >= first && entering < last;
      const RowCounts counts = enter(entering, ignored(entering), own ? maps.raw.row(entering) : scratch.halo.data(),
                                     slot, column, width, how.scale);
      best.nonfinite += own ? counts.nonfinite : 0;
      best.clipped += own ? counts.clipped : 0;
    } else {
      leave_row(slot, column, width);
    }
    const int y = entering - radius;
    if (y < first) continue;
    const std::uint32_t* sums = nullptr;
    const std::int32_t sum = pool_row(scratch.column.data(), ignored(y), scratch.a.data(), scratch.b.data(),
                                      maps.pooled.row(y), width, kernel, how.unit, &sums);
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
  const ScoreScale how = score_scale(kernel);
  check(threads >= 1, "threads must be at least 1, got ", threads, "; pass 1 for the calling thread alone");
  const int bands = std::min(threads, maps.raw.height);
  std::vector<Best> bests(static_cast<std::size_t>(bands));
  for_each_row(maps.raw.height, bands, [&](int first, int last, int band) {
    bests[static_cast<std::size_t>(band)] = score_band(enter, how, maps, first, last);
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
