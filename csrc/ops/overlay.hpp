// SPDX-License-Identifier: Apache-2.0
// overlay: a map laid over a picture in colours of its own, each pixel at its own opacity, in one pass.
//
//   level(y, x)  = floor of the map at that place, bilinear, in units of which 255 glow brightest
//   out(y, x, c) = min(255, tint[level][c] + round(picture(y, x, c) rest[level] / 255))
//
// The colour table has 256 entries of four bytes: colour times opacity, and 255 (1 - opacity), what is left of the
// picture. Map values count as min(255, max(0, gain value)), NaN as 0. Pixel centres are integers on both sides: map
// column k lies at k step + shift of the picture, and beyond the outermost centres the map keeps its value. Pixels that
// no map pixel covers stay as they are; a map smaller than a pixel still covers one.
// Along a row first, then down, each by a + share (b - a) in float: the same bits for any thread count and device.
#pragma once
#include <cstdint>

#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int overlay_levels = 256;

struct OverlayColors { std::uint8_t of[overlay_levels][4]; };  // red, green, blue times opacity; rest

// Where the pixels of one axis of the picture lie in the map: p at scale p + shift, within [0, last].
struct OverlayAxis {
  float scale, shift, last;
  int first, end;  // pixels of the picture that the map covers
};

struct OverlayParams {
  OverlayAxis rows, columns;
  float gain;
  OverlayColors colors;
};

// `step` and `shift` take map pixels to pixels of the picture; refuses those that are no place at all.
OverlayAxis overlay_axis(double step, double shift, int map_size, int picture_size);

RASANT_HD float overlay_position(const OverlayAxis& axis, int pixel) {
  const float place = static_cast<float>(pixel) * axis.scale + axis.shift;
  const float inside = place > 0.0f ? place : 0.0f;
  return inside < axis.last ? inside : axis.last;
}

RASANT_HD float overlay_scaled(float value, float gain) {
  const float scaled = value * gain;
  const float above = scaled > 0.0f ? scaled : 0.0f;  // NaN is not above 0
  return above < 255.0f ? above : 255.0f;
}

RASANT_HD float overlay_between(float a, float b, float share) { return a + share * (b - a); }

RASANT_HD std::uint8_t overlay_blended(std::uint8_t pixel, std::uint8_t tint, std::uint8_t rest) {
  const auto product = static_cast<std::uint16_t>(pixel * rest + 128);
  const auto kept = static_cast<std::uint16_t>((product + (product >> 8)) >> 8);  // product / 255, to the nearest
  const auto sum = static_cast<std::uint16_t>(kept + tint);
  return static_cast<std::uint8_t>(sum < 255 ? sum : 255);
}

// picture and out are (H, W, 3), and may be the same memory.
void overlay_cpu(ImageView<const std::uint8_t> picture, ImageView<const float> map, const OverlayParams& params,
                 ImageView<std::uint8_t> out, int threads);

// Device memory; asynchronous.
void overlay_cuda(ImageView<const std::uint8_t> picture, ImageView<const float> map, const OverlayParams& params,
                  ImageView<std::uint8_t> out, Stream stream);

}  // namespace rasant
