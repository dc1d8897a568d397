// SPDX-License-Identifier: Apache-2.0
// A synthetic defect, drawn into a normal picture in one pass over depth and colour.
//
//   side  = +1 where P > t, -1 where P < -t and the rule is absolute, 0 elsewhere and outside the support;
//           with the rule everywhere +1 in the whole support
//   s     = what the source says:
//             field   P itself: noise instead of depth (EasyNet); with gain 0 a hole (DBRN)
//             range   (P - min P) / (max P - min P): simulated depth (DADA, 3DSR)
//             hills   (P - t) / (max P - t) on the side +1, (P + t) / (-min P - t) on the side -1: hills and pits that
//                     begin at 0 and reach 1 and -1 (TransFusion)
//             relief  a given image, e.g. the grey levels of a picture (DBRN)
//             spread  amplitude F (K * side) / 2^30: correlation with the skew-Gaussian kernel (DAS3D, eq. 4 to 6),
//             zero
//                     outside the image and outside the foreground F
//   v     = gain s + offset
//   mask  = side != 0; with the source spread |s| >= visible
//   depth = Z + v where the defect is added and v != 0, Z + (1 - kept) (v - Z) where mask and it replaces; then clamped
//           to [low, high]. All other pixels keep their bits.
//   color = I + (1 - kept_color) (A - I) where mask; A is a texture, or 0 without one
// min P and max P are over the whole field; a NaN in it is neither, and its side is 0.
// Units: depth, relief, offset, low and high in that of the depth image; amplitude and visible in one of their own.
// K * side is a sum of whole numbers below 2^31, the rest are IEEE operations in fixed order: all devices, vector
// widths and thread counts give the same bits.
#pragma once
#include <cstdint>

#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"
#include "ops/defect_kernel.hpp"

namespace rasant {

enum class DefectSource { field, range, hills, relief, spread };
enum class DefectRule { positive, absolute, everywhere };

struct DefectParams {
  DefectSource source = DefectSource::field;
  DefectRule rule = DefectRule::positive;
  bool add = false;                   // false: the value replaces depth
  float threshold = 0.5f;             // t >= 0
  float gain = 1.0f;                  // depth units per unit of s
  float offset = 0.0f;                // depth units
  float kept = 0.0f;                  // share of the normal depth that stays, [0, 1]
  float kept_color = 0.0f;            // share of the normal colour that stays, [0, 1]
  float low = 0.0f, high = 1.0f;      // limits of a changed depth
  float amplitude = 1.0f;             // spread: height of a plateau, signed
  float visible = 0.25f;              // spread: smallest |s| that is marked, > 0
  double sigma = 1.0;                 // spread: pixels, > 0 and at most 32
  double skew_y = 0.0, skew_x = 0.0;  // spread: a, 1 / pixel
};

// All of one height and width; data is nullptr where an image is absent. `color` and `texture` are three planes, one
// below the other. An output may be its own input, and shares no memory with the rest.
struct DefectImages {
  ImageView<const float> field;
  ImageView<const std::uint8_t> support, foreground;  // absent: everywhere
  ImageView<const float> depth, relief;
  ImageView<const float> color, texture;
  ImageView<float> out_depth, out_color;
  ImageView<std::uint8_t> out_mask;  // 0 or 1
};

struct FieldRange { float low = 3.402823466e+38f, high = -3.402823466e+38f; };

// Divisors of the sources range and hills.
struct DefectScale { float low, span, above, below; };

RASANT_HD DefectScale defect_scale(const FieldRange& range, float threshold) {
  const float span = range.high - range.low;
  return {range.low, span > 0.0f ? span : 1.0f, range.high - threshold, -range.low - threshold};
}

RASANT_HD bool needs_range(DefectSource source) {
  return source == DefectSource::range || source == DefectSource::hills;
}

RASANT_HD int defect_side(float p, bool supported, DefectRule rule, float threshold) {
  const int above = static_cast<int>(p > threshold) | static_cast<int>(rule == DefectRule::everywhere);
  const int below = static_cast<int>(p < -threshold) & static_cast<int>(rule == DefectRule::absolute);
  return (above - below) * static_cast<int>(supported);
}

RASANT_HD float hill(float p, int side, const DefectScale& scale, float threshold) {
  const float up = (p - threshold) / scale.above, down = (p + threshold) / scale.below;
  return side > 0 ? up : side < 0 ? down : 0.0f;
}

// s of the source spread.
RASANT_HD float spread_height(std::int32_t correlation, bool in_foreground, float amplitude) {
  return in_foreground ? static_cast<float>(correlation) * skew_unit * amplitude : 0.0f;
}

RASANT_HD bool is_visible(float height, float visible) { return height >= visible || height <= -visible; }

// NaN stays NaN.
RASANT_HD float clamp_depth(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

RASANT_HD float defect_depth(float z, float value, bool mask, const DefectParams& p) {
  const float changed = p.add ? z + value : z + (1.0f - p.kept) * (value - z);
  return (p.add ? value != 0.0f : mask) ? clamp_depth(changed, p.low, p.high) : z;
}

RASANT_HD float defect_color(float normal, float foreign, bool mask, float kept) {
  return mask ? normal + (1.0f - kept) * (foreign - normal) : normal;
}

// Refuses parameters out of range, and a source without its image.
inline void check_defect(const DefectImages& images, const DefectParams& p) {
  check(p.threshold >= 0.0f, "threshold must be >= 0, got ", p.threshold, "; a field lies in [-1, 1]");
  check(p.kept >= 0.0f && p.kept <= 1.0f && p.kept_color >= 0.0f && p.kept_color <= 1.0f,
        "kept and kept_color are shares in [0, 1], got ", p.kept, " and ", p.kept_color);
  check(p.low <= p.high, "low must not be above high, got ", p.low, " and ", p.high);
  check(std::isfinite(p.gain) && std::isfinite(p.offset) && std::isfinite(p.amplitude),
        "gain, offset and amplitude must be finite, got ", p.gain, ", ", p.offset, " and ", p.amplitude);
  check(p.source != DefectSource::spread || p.visible > 0.0f, "visible must be > 0, got ", p.visible,
        "; it is the smallest change that is marked, in the unit of amplitude");
  check(p.source != DefectSource::relief || images.relief.data, "the source relief needs an image; pass relief=");
}

void apply_defect_cpu(const DefectImages& images, const DefectParams& params, int threads);
// Device pointers, asynchronous.
void apply_defect_cuda(const DefectImages& images, const DefectParams& params, Stream stream);

}  // namespace rasant
