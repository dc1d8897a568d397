// SPDX-License-Identifier: Apache-2.0
// A thread for each pixel; neighbouring threads read neighbouring bytes of each image.
#include "core/launch.hpp"
#include "ops/graycode.hpp"

namespace rasant {
namespace {

constexpr int line = 256;

RASANT_KERNEL void decode_pixels(const std::uint8_t* captures, std::int64_t pixels, int images, GraycodeParams p,
                                 float* position, std::uint8_t* confidence) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const auto at = [&](int k) { return captures[k * pixels + i]; };
  GrayState s = gray_begin(at(images - 2), at(images - 1));
  unsigned gray = s.found & 1u;
  for (int k = 1; k < images / 2; ++k) {
    const std::uint8_t bright = at(images - 2 - 2 * k), inverse = at(images - 1 - 2 * k);
    s = gray_next(s, bright, inverse);
    gray |= (gray_bit(bright, inverse) & 1u) << k;
  }
  const std::uint16_t code = gray_decode(static_cast<std::uint16_t>(gray));
  const std::uint8_t sure = gray_confidence(code, s.margin, s.top, p);
  confidence[i] = sure;
  position[i] = gray_position(code, s.finest, s.border, sure, p);
}

}  // namespace

void decode_gray_cuda(ImageView<const std::uint8_t> captures, int images, const GraycodeParams& params,
                      ImageView<float> position, ImageView<std::uint8_t> confidence, Stream stream) {
  const auto pixels = static_cast<std::int64_t>(position.pixels());
  launch(decode_pixels, dim3(blocks_for(pixels, line)), dim3(line), 0, stream, captures.data, pixels, images, params,
         position.data, confidence.data);
}

}  // namespace rasant
