// SPDX-License-Identifier: Apache-2.0
// A thread for each pixel, with the waves as an argument of the kernel.
#include "core/launch.hpp"
#include "ops/phase.hpp"

namespace rasant {
namespace {

constexpr int line = 256;

RASANT_KERNEL void decode_pixels(const std::uint8_t* captures, std::int64_t pixels, PhaseWaves waves,
                                 const float* coarse, PhaseParams p, float* position, std::uint8_t* confidence) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  float s = 0.0f, c = 0.0f;
  int brightest = 0;
  for (int k = 0; k < p.steps; ++k) {
    const int level = captures[k * pixels + i];
    s = std::fma(static_cast<float>(level), waves.sine[k], s);
    c = std::fma(static_cast<float>(level), waves.cosine[k], c);
    brightest = level > brightest ? level : brightest;
  }
  float within = phase_within(s, c, p), gap = 0.0f;
  if (coarse != nullptr) {
    within = phase_unwrapped(within, coarse[i], p);
    gap = std::fabs(within - coarse[i]);
  }
  const std::uint8_t sure = phase_confidence(phase_amplitude(s, c, p), brightest, gap, p);
  confidence[i] = sure;
  position[i] = sure > 0 ? within : NAN;
}

}  // namespace

void decode_phase_cuda(ImageView<const std::uint8_t> captures, ImageView<const float> coarse, const PhaseParams& params,
                       ImageView<float> position, ImageView<std::uint8_t> confidence, Stream stream) {
  const auto pixels = static_cast<std::int64_t>(position.pixels());
  launch(decode_pixels, dim3(blocks_for(pixels, line)), dim3(line), 0, stream, captures.data, pixels,
         phase_waves(params.steps), coarse.data, params, position.data, confidence.data);
}

}  // namespace rasant
