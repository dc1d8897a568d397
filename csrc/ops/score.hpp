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
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int kMaxKernel = 127;

// Binary places of a fixed-point probability so that kernel * kernel of them fit into 31 bits.
constexpr int fraction_bits(int kernel) {
  int bits = 23;
  while ((static_cast<std::int64_t>(kernel) * kernel << bits) > 0x7FFFFFFF) --bits;
  return bits;
}

// What a kernel makes of a probability and of a sum.
struct ScoreScale {
  int kernel;
  float scale;  // fixed-point units of probability 1
  float unit;   // pooled = sum * unit
};

inline ScoreScale score_scale(int kernel) {
  check(kernel >= 1 && kernel <= kMaxKernel && kernel % 2 == 1, "kernel must be odd and in 1 .. ", kMaxKernel, ", got ",
        kernel, "; take the nearest odd number");
  const double scale = static_cast<double>(1 << fraction_bits(kernel));
  return {kernel, static_cast<float>(scale), static_cast<float>(1.0 / (scale * kernel * kernel))};
}

struct ScoreResult {
  float score;             // max of pooled; NaN when nonfinite > 0 or nothing is left to score
  int y, x;                // its place in the map; -1 with NaN
  std::int64_t nonfinite;  // pixels with a NaN or infinite input
  std::int64_t clipped;    // pixels of a probability map outside [0, 1], taken as 0 or 1
};
static_assert(sizeof(ScoreResult) == 32, "rasant.ops.score reads it from device memory");

RASANT_HD std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

RASANT_HD float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

RASANT_HD bool is_nonfinite(float value) { return (bits_of(value) & 0x7F800000u) == 0x7F800000u; }

// exp(-x) for x in [0, 87]: 2^-n * exp(r), |r| <= ln(2)/2, polynomial of Cephes' expf (about 1 ULP).
RASANT_HD float exp_negative(float x) {
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

RASANT_HD float sigmoid(float difference) {
  const float size = std::fabs(difference);
  const float e = exp_negative(87.0f < size ? 87.0f : size);
  return (difference >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// One pixel on its way into the sums. Members of one size: with bool among them g++ does not vectorise the CPU's loop.
struct Probability {
  float raw;            // NaN where the input is not finite, 0 where it is ignored
  std::uint32_t fixed;  // what the sums get
  int bad, outside;     // 1 where the input is not finite; 1 where it is finite and outside [0, 1]
};

RASANT_HD Probability probability(float p, bool bad, bool outside, bool ignored, float scale) {
  const bool counts = (!bad) & (!ignored);
  const float kept = counts ? p : 0.0f;
  // x + 2^23 rounds x in [0, 2^23] to the nearest integer, ties to even, and has it in its low bits.
  return {bad ? from_bits(0x7FC00000u) : kept, bits_of(kept * scale + 8388608.0f) - 0x4B000000u, bad, outside};
}

RASANT_HD Probability probability_of_logits(float good, float defect, bool ignored, float scale) {
  const bool bad = is_nonfinite(good) | is_nonfinite(defect);
  return probability(sigmoid(bad ? 0.0f : defect - good), bad, false, ignored, scale);
}

RASANT_HD Probability probability_of_value(float value, bool ignored, float scale) {
  const bool bad = is_nonfinite(value);
  const bool outside = (!bad) & ((value < 0.0f) | (value > 1.0f));
  const float above = value > 0.0f ? value : 0.0f;
  return probability(above < 1.0f ? above : 1.0f, bad, outside, ignored, scale);
}

struct ScoreMaps {
  ImageView<const std::uint8_t> ignore;  // data == nullptr: nothing is ignored
  ImageView<float> raw, pooled;
};

ScoreResult score_map_cpu(ImageView<const float> good, ImageView<const float> defect, int kernel, const ScoreMaps& maps,
                          int threads);
ScoreResult score_probability_cpu(ImageView<const float> probability, int kernel, const ScoreMaps& maps, int threads);

// Device memory; asynchronous. `result` is a place in device memory, or nullptr for one in the stream's workspace,
// which lasts until the next operation on this stream. Returns the place.
ScoreResult* score_map_cuda(ImageView<const float> good, ImageView<const float> defect, int kernel,
                            const ScoreMaps& maps, ScoreResult* result, Stream stream);
ScoreResult* score_probability_cuda(ImageView<const float> probability, int kernel, const ScoreMaps& maps,
                                    ScoreResult* result, Stream stream);

}  // namespace rasant
