// SPDX-License-Identifier: Apache-2.0
// Captures of Gray code stripes to projector positions.
//
//   captures  2 B images, the coarsest bit first: the pattern of bit k (1 is bright) and its inverse, p_k and q_k
//   bit k     p_k > q_k;   step k = |p_k - q_k|, grey levels;   code = the number whose reflected Gray code the bits
//   are stripe    columns (rows) of the projector that share a code, so position lies in [code, code + 1) stripe - 0.5
//
// Each stripe has two neighbours, and its code differs from either in one bit: the finest, and the bit left of the
// lowest bit that is set. Where a pixel sees the border to a neighbour, that bit's step passes through 0 and its value
// is chance, which moves the code by one stripe at most. Hence
//   confidence  the smallest step of all other bits, and at most the largest of all steps, since a border bit alone
//               proves no light. Below `min_step` a bit may be wrong by any number of stripes: shadow, gloss, stray
//               light
//   position    (code + left / (left + right)) stripe - 0.5: left and right are the steps at the two borders, 0 at the
//               border itself, so their ratio says where in the stripe the pixel is. The first and last code have
//               one neighbour only: their middle
// Invalid: confidence below min_step, or a code beyond the projector; position NaN, confidence 0.
// Unit: projector pixels, an integer is a pixel centre. Every device gives the same bits.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int graycode_max_bits = 15;

struct GraycodeParams {
  int size = 0;      // columns (rows) of the projector, 1..stripe 2^bits
  int stripe = 1;    // columns (rows) with one code
  int min_step = 8;  // grey levels, 1..255
};

// What is known of a pixel after some of its bits, the finest first. Masks are 0 or 255, so that bytes need no choice.
struct GrayState {
  std::uint8_t finest;  // step of the finest bit
  std::uint8_t border;  // step of the other border bit
  std::uint8_t margin;  // smallest step of all others
  std::uint8_t top;     // largest step
  std::uint8_t lowest;  // mask: the bit before this one is the lowest that is set
  std::uint8_t found;   // mask: a bit is set
};

RASANT_HD std::uint8_t gray_bit(std::uint8_t p, std::uint8_t q) { return static_cast<std::uint8_t>(-(p > q)); }

RASANT_HD std::uint8_t gray_step(std::uint8_t p, std::uint8_t q) {
  return static_cast<std::uint8_t>(p > q ? p - q : q - p);
}

RASANT_HD GrayState gray_begin(std::uint8_t p, std::uint8_t q) {
  const std::uint8_t bit = gray_bit(p, q), step = gray_step(p, q);
  return {step, step, 255, step, bit, bit};
}

RASANT_HD GrayState gray_next(GrayState s, std::uint8_t p, std::uint8_t q) {
  const std::uint8_t bit = gray_bit(p, q), step = gray_step(p, q), other = static_cast<std::uint8_t>(~s.lowest);
  const std::uint8_t sure = static_cast<std::uint8_t>(step | s.lowest);
  s.border = static_cast<std::uint8_t>((step & s.lowest) | (s.border & other));
  s.margin = s.margin < sure ? s.margin : sure;
  s.top = s.top > step ? s.top : step;
  s.lowest = static_cast<std::uint8_t>(bit & ~s.found);
  s.found = static_cast<std::uint8_t>(s.found | bit);
  return s;
}

RASANT_HD std::uint16_t gray_decode(std::uint16_t gray) {
  auto code = static_cast<std::uint16_t>(gray ^ (gray >> 1));
  code = static_cast<std::uint16_t>(code ^ (code >> 2));
  code = static_cast<std::uint16_t>(code ^ (code >> 4));
  return static_cast<std::uint16_t>(code ^ (code >> 8));
}

RASANT_HD std::uint8_t gray_confidence(std::uint16_t code, std::uint8_t margin, std::uint8_t top,
                                       const GraycodeParams& p) {
  const int least = margin < top ? margin : top;
  return static_cast<std::uint8_t>(least >= p.min_step && code * p.stripe < p.size ? least : 0);
}

RASANT_HD float gray_position(std::uint16_t code, std::uint8_t finest, std::uint8_t border, std::uint8_t confidence,
                              const GraycodeParams& p) {
  const int left = (code & 1) ? finest : border, both = finest + border;
  const float within = both > 0 ? static_cast<float>(left) / static_cast<float>(both > 0 ? both : 1) : 0.5f;
  const float position = std::fma(static_cast<float>(code) + within, static_cast<float>(p.stripe), -0.5f);
  return confidence > 0 ? position : NAN;
}

inline void check_graycode(const GraycodeParams& p, int images) {
  check<BadShape>(images >= 2 && images % 2 == 0 && images <= 2 * graycode_max_bits, "captures must be 2 to ",
                  2 * graycode_max_bits, " images, each pattern and its inverse, got ", images,
                  "; pass one axis of the sequence");
  check(p.stripe >= 1 && p.stripe <= 256, "stripe must be 1..256 projector pixels, got ", p.stripe);
  check(p.size >= 1 && p.size <= p.stripe << (images / 2), "size must be 1..", p.stripe << (images / 2),
        " projector pixels for ", images / 2, " bits of stripes of ", p.stripe, ", got ", p.size,
        "; pass the projector's width (height for rows)");
  check(p.min_step >= 1 && p.min_step <= 255, "min_step must be 1..255 grey levels, got ", p.min_step, "; 8 is usual");
}

// captures: the images one below the other, (images * height, width); position and confidence (height, width).
void decode_gray_cpu(ImageView<const std::uint8_t> captures, int images, const GraycodeParams& params,
                     ImageView<float> position, ImageView<std::uint8_t> confidence, int threads);

// Device pointers, asynchronous.
void decode_gray_cuda(ImageView<const std::uint8_t> captures, int images, const GraycodeParams& params,
                      ImageView<float> position, ImageView<std::uint8_t> confidence, Stream stream);

}  // namespace rasant
