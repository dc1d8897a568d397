// SPDX-License-Identifier: Apache-2.0
// score: from the network's last layer to the number that decides, in one pass over the data.
//
//   raw(y, x)    = 1 / (1 + exp(l0 - l1))                       the defect channel of a two-channel softmax
//   pooled(y, x) = sum of raw over kernel x kernel / kernel^2   outside the map counts as 0, the divisor is constant
//   score        = max of pooled, at its first place in row order
//
// Sums are integers: raw is rounded to `fraction_bits(kernel)` binary places (23 up to kernel 15, 22 at 21, 20 at 45,
// 17 at 127). They are exact and associative, so the result has the same bits for any thread count, vector width and
// device. |pooled - exact mean of raw| <= 2^-(bits + 1) + 2^-23 (1.2e-7 + 1.2e-7 at kernel 21).
// raw is within 4 ULP of the formula; logit differences beyond +-87 saturate at exp(-87) = 1.6e-38 and at 1.
//
// A pixel with a NaN or infinite logit is counted, reads NaN in raw and 0 in the sums; it spoils no other pixel, and a
// result with nonfinite > 0 has score NaN. An ignored pixel is 0 in raw, in the sums and in pooled, and is never the
// maximum. Where every pixel is ignored the score is NaN at (-1, -1).
#pragma once
#include <cstdint>

#include "core/image.hpp"

namespace rasant {

constexpr int kMaxKernel = 127;

// Binary places of a fixed-point probability so that kernel * kernel of them fit into 31 bits.
constexpr int fraction_bits(int kernel) {
  int bits = 23;
  while ((static_cast<std::int64_t>(kernel) * kernel << bits) > 0x7FFFFFFF) --bits;
  return bits;
}

struct ScoreResult {
  float score;             // max of pooled; NaN when nonfinite > 0 or nothing is left to score
  int y, x;                // its place in the map; -1 with NaN
  std::int64_t nonfinite;  // pixels with a NaN or infinite input
  std::int64_t clipped;    // pixels of a probability map outside [0, 1], taken as 0 or 1
};

struct ScoreMaps {
  ImageView<const std::uint8_t> ignore;  // data == nullptr: nothing is ignored
  ImageView<float> raw, pooled;
};

ScoreResult score_map_cpu(ImageView<const float> good, ImageView<const float> defect, int kernel, const ScoreMaps& maps,
                          int threads);
ScoreResult score_probability_cpu(ImageView<const float> probability, int kernel, const ScoreMaps& maps, int threads);

}  // namespace rasant
