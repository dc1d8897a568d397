// SPDX-License-Identifier: Apache-2.0
// Blocks of a row at a time: the sums of a block stay in the first cache while all images pass by.
#include "ops/phase.hpp"

#include <algorithm>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int block = 512;

struct Sums {
  alignas(64) float sine[block], cosine[block];
  alignas(64) std::uint8_t brightest[block];
};

RASANT_INLINE void add(Sums& sums, const std::uint8_t* __restrict image, float sine, float cosine, int count) {
  for (int x = 0; x < count; ++x) {
    const auto level = static_cast<float>(image[x]);
    sums.sine[x] = std::fma(level, sine, sums.sine[x]);
    sums.cosine[x] = std::fma(level, cosine, sums.cosine[x]);
  }
  for (int x = 0; x < count; ++x) {
    const std::uint8_t before = sums.brightest[x], now = image[x];  // std::max would return a reference
    sums.brightest[x] = now > before ? now : before;
  }
}

// `captures` points to the first pixel of the block in the first image; coarse is null where there is none.
RASANT_VECTOR void decode_block(const std::uint8_t* captures, std::ptrdiff_t image, const PhaseWaves& waves,
                                const float* __restrict coarse, int count, const PhaseParams& params,
                                float* __restrict position, std::uint8_t* __restrict confidence) {
  Sums sums{};
  for (int k = 0; k < params.steps; ++k) add(sums, captures + k * image, waves.sine[k], waves.cosine[k], count);
  const PhaseParams p = params;
  float within[block], gap[block];
  for (int x = 0; x < count; ++x) within[x] = phase_within(sums.sine[x], sums.cosine[x], p);
  if (coarse != nullptr) {
    for (int x = 0; x < count; ++x) {
      within[x] = phase_unwrapped(within[x], coarse[x], p);
      gap[x] = std::fabs(within[x] - coarse[x]);
    }
  } else {
    std::fill(gap, gap + count, 0.0f);
  }
  for (int x = 0; x < count; ++x) {
    const float amplitude = phase_amplitude(sums.sine[x], sums.cosine[x], p);
    const std::uint8_t sure = phase_confidence(amplitude, sums.brightest[x], gap[x], p);
    confidence[x] = sure;
    position[x] = sure > 0 ? within[x] : NAN;
  }
}

}  // namespace

void check_phase(const PhaseParams& p) {
  check<BadShape>(p.steps >= 3 && p.steps <= phase_max_steps, "captures must be 3 to ", phase_max_steps,
                  " images, one for each step of the phase, got ", p.steps, "; pass one axis of the sequence");
  check(p.period >= 2.0f && p.period <= 4096.0f, "period must be 2..4096 projector pixels, got ", p.period,
        "; 16 is usual");
  check(p.min_amplitude >= 1.0f && p.min_amplitude <= 127.0f, "min_amplitude must be 1..127 grey levels, got ",
        p.min_amplitude, "; 5 is usual");
  check(p.max_level >= 1 && p.max_level <= 255, "max_level must be 1..255 grey levels, got ", p.max_level,
        "; 254 leaves out what is clipped");
  check(p.max_gap > 0.0f && std::isfinite(p.max_gap), "max_gap must be > 0 projector pixels, got ", p.max_gap,
        "; 2 is usual");
}

PhaseWaves phase_waves(int steps) {
  PhaseWaves waves{};
  for (int k = 0; k < steps; ++k) {
    const double angle = 6.283185307179586 * k / steps;
    waves.sine[k] = static_cast<float>(std::sin(angle));
    waves.cosine[k] = static_cast<float>(std::cos(angle));
  }
  return waves;
}

void decode_phase_cpu(ImageView<const std::uint8_t> captures, ImageView<const float> coarse, const PhaseParams& params,
                      ImageView<float> position, ImageView<std::uint8_t> confidence, int threads) {
  const std::ptrdiff_t image = captures.stride * position.height;
  const PhaseWaves waves = phase_waves(params.steps);
  for_each_row(position.height, threads, [&](int first, int last, int) {
    for (int y = first; y < last; ++y)
      for (int x = 0; x < position.width; x += block)
        decode_block(captures.row(y) + x, image, waves, coarse.data == nullptr ? nullptr : coarse.row(y) + x,
                     std::min(block, position.width - x), params, position.row(y) + x, confidence.row(y) + x);
  });
}

}  // namespace rasant
