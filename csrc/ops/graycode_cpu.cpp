// SPDX-License-Identifier: Apache-2.0
// Blocks of a row at a time: the state of a block stays in the first cache while all images pass by, as bytes.
#include "ops/graycode.hpp"

#include <algorithm>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int block = 1024;

// GrayState by fields, and the bits of the code in two bytes.
struct States {
  alignas(64) std::uint8_t finest[block], border[block], margin[block], top[block], lowest[block], found[block];
  alignas(64) std::uint8_t bits[2][block];
};

RASANT_INLINE void begin(States& s, const std::uint8_t* __restrict p, const std::uint8_t* __restrict q, int count) {
  for (int x = 0; x < count; ++x) {
    const GrayState now = gray_begin(p[x], q[x]);
    s.finest[x] = now.finest, s.border[x] = now.border, s.margin[x] = now.margin, s.top[x] = now.top;
    s.lowest[x] = now.lowest, s.found[x] = now.found;
    s.bits[0][x] = now.found & 1;
    s.bits[1][x] = 0;
  }
}

RASANT_INLINE void next(States& s, const std::uint8_t* __restrict p, const std::uint8_t* __restrict q, int count,
                        std::uint8_t* __restrict bits, std::uint8_t bit) {
  for (int x = 0; x < count; ++x) {
    const GrayState now =
        gray_next({s.finest[x], s.border[x], s.margin[x], s.top[x], s.lowest[x], s.found[x]}, p[x], q[x]);
    s.border[x] = now.border, s.margin[x] = now.margin, s.top[x] = now.top;
    s.lowest[x] = now.lowest, s.found[x] = now.found;
    bits[x] = static_cast<std::uint8_t>(bits[x] | (gray_bit(p[x], q[x]) & bit));
  }
}

// `captures` points to the first pixel of the block in the first image, `image` values before the same in the next.
RASANT_VECTOR void decode_block(const std::uint8_t* captures, std::ptrdiff_t image, int images, int count,
                                const GraycodeParams& params, float* __restrict position,
                                std::uint8_t* __restrict confidence) {
  States s;
  const auto at = [&](int k) {
    load_ahead(captures + k * image + count, count);  // as many streams as images are more than the hardware follows
    return captures + k * image;
  };
  begin(s, at(images - 2), at(images - 1), count);
  for (int k = 1; k < images / 2; ++k)
    next(s, at(images - 2 - 2 * k), at(images - 1 - 2 * k), count, s.bits[k / 8],
         static_cast<std::uint8_t>(1 << (k % 8)));
  const GraycodeParams p = params;
  for (int x = 0; x < count; ++x) {
    const std::uint16_t code = gray_decode(static_cast<std::uint16_t>(s.bits[0][x] | (s.bits[1][x] << 8)));
    const std::uint8_t sure = gray_confidence(code, s.margin[x], s.top[x], p);
    confidence[x] = sure;
    position[x] = gray_position(code, s.finest[x], s.border[x], sure, p);
  }
}

}  // namespace

void decode_gray_cpu(ImageView<const std::uint8_t> captures, int images, const GraycodeParams& params,
                     ImageView<float> position, ImageView<std::uint8_t> confidence, int threads) {
  const std::ptrdiff_t image = captures.stride * position.height;
  for_each_row(position.height, threads, [&](int first, int last, int) {
    for (int y = first; y < last; ++y)
      for (int x = 0; x < position.width; x += block)
        decode_block(captures.row(y) + x, image, images, std::min(block, position.width - x), params,
                     position.row(y) + x, confidence.row(y) + x);
  });
}

}  // namespace rasant
