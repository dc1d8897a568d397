// SPDX-License-Identifier: Apache-2.0
// Captures of a sinusoid shifted in N steps to projector positions.
//
//   captures   I_k = A + B cos(2 pi (u / period + k / N)),  u the projector position, k = 0..N-1
//   phase      S = sum I_k sin(2 pi k / N),  C = sum I_k cos(2 pi k / N):  turns = atan2(-S, C) / (2 pi), in [0, 1)
//   amplitude  B = 2 / N sqrt(S^2 + C^2), grey levels. Harmonics of a bent response (gamma) fall out up to order N - 2
//   position   (turns + m) period, m the whole number that brings it nearest to `coarse`, the position by Gray code;
//              turns period in the first period where there is none
// (Creath, "Phase-measurement interferometry techniques", Progress in Optics 26, 1988; hybrid: Sansoni et al., "Three-
// dimensional vision based on a combination of Gray-code and phase-shift light projection", Applied Optics 38, 1999.)
// Invalid: amplitude below min_amplitude; a capture brighter than max_level, since a clipped sinusoid has another
// phase; no coarse position, or one farther away than max_gap. Then position is NaN, confidence 0; else confidence is
// the amplitude, rounded down. Unit: projector pixels, an integer is a pixel centre. Sums in fixed order: every device
// gives the same bits.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/lens.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int phase_max_steps = 32;

struct PhaseParams {
  int steps = 0;               // N, 3..32
  float period = 16.0f;        // projector pixels, 2..4096
  float min_amplitude = 5.0f;  // grey levels, > 0
  int max_level = 254;         // grey levels, 1..255; 255 lets clipped captures pass
  float max_gap = 2.0f;        // projector pixels; beyond half a period nothing is refused
};

struct PhaseWaves { float sine[phase_max_steps], cosine[phase_max_steps]; };

// atan2(y, x) in turns, [0, 1); 0 where both are 0.
RASANT_HD float turns_of(float y, float x) {
  const float a = std::fabs(y), b = std::fabs(x), high = a > b ? a : b, low = a > b ? b : a;
  const float eighth = arc_tangent(low / (high > 0.0f ? high : 1.0f)) * 0.15915494309189535f;
  const float quarter = a > b ? 0.25f - eighth : eighth;
  const float half = x < 0.0f ? 0.5f - quarter : quarter;
  const float turns = y < 0.0f ? 1.0f - half : half;
  return turns < 1.0f ? turns : 0.0f;
}

RASANT_HD float phase_within(float s, float c, const PhaseParams& p) { return turns_of(-s, c) * p.period; }

RASANT_HD float phase_amplitude(float s, float c, const PhaseParams& p) {
  return std::sqrt(std::fma(s, s, c * c)) * (2.0f / static_cast<float>(p.steps));
}

RASANT_HD float phase_unwrapped(float within, float coarse, const PhaseParams& p) {
  const float periods = std::floor((coarse - within) / p.period + 0.5f);
  return std::fma(periods, p.period, within);
}

RASANT_HD std::uint8_t phase_confidence(float amplitude, int brightest, float gap, const PhaseParams& p) {
  const bool sure = (amplitude >= p.min_amplitude) & (brightest <= p.max_level) & (gap <= p.max_gap);  // NaN is not
  return static_cast<std::uint8_t>(sure ? static_cast<int>(amplitude) : 0);
}

// Refuses parameters out of range.
void check_phase(const PhaseParams& params);

PhaseWaves phase_waves(int steps);

// captures: the images one below the other, (steps * height, width); coarse (height, width), or no data for none;
// position and confidence (height, width).
void decode_phase_cpu(ImageView<const std::uint8_t> captures, ImageView<const float> coarse, const PhaseParams& params,
                      ImageView<float> position, ImageView<std::uint8_t> confidence, int threads);

// Device pointers, asynchronous.
void decode_phase_cuda(ImageView<const std::uint8_t> captures, ImageView<const float> coarse, const PhaseParams& params,
                       ImageView<float> position, ImageView<std::uint8_t> confidence, Stream stream);

}  // namespace rasant
