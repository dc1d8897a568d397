// SPDX-License-Identifier: Apache-2.0
// A map row is stretched to the picture's width when it is first needed, and kept for the rows of the picture around
// it: what is left for a pixel is one blend downwards, one look into the colour table, and bytes.
#include "ops/overlay.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int piece = 256;  // pixels, an even number, that are coloured at a time, in buffers on the stack

// Entries of the table as the low three bytes of a word: two pixels are put together and written by one store.
// Little-endian hosts.
struct Glow {
  struct Entry { std::uint64_t tint, rest; };
  Entry of[overlay_levels];
  int lowest = overlay_levels;  // of the levels that change a pixel

  explicit Glow(const OverlayColors& colors) {
    for (int level = overlay_levels - 1; level >= 0; --level) {
      const std::uint8_t* const c = colors.of[level];
      of[level] = {static_cast<std::uint64_t>(c[0] | c[1] << 8 | c[2] << 16), 0x10101ull * c[3]};
      if (c[0] | c[1] | c[2] | (c[3] ^ 255)) lowest = level;
    }
  }
};

// The map's columns under those of the picture, for a whole call.
struct Columns {
  std::vector<int> left;
  std::vector<float> share;

  explicit Columns(const OverlayAxis& axis) {
    for (int x = axis.first; x < axis.end; ++x) {
      const float place = overlay_position(axis, x);
      left.push_back(static_cast<int>(place));
      share.push_back(place - static_cast<float>(left.back()));
    }
  }
};

// `scaled` has room for one value more than the map is wide.
RASANT_VECTOR void stretch_row(const float* __restrict values, int count, float gain, float* __restrict scaled,
                               const int* __restrict left, const float* __restrict share, float* __restrict wide,
                               int width) {
  for (int k = 0; k < count; ++k) scaled[k] = overlay_scaled(values[k], gain);
  scaled[count] = scaled[count - 1];
  for (int x = 0; x < width; ++x) {
    const Pair ends = load_pair(scaled + left[x]);
    wide[x] = overlay_between(ends.left, ends.right, share[x]);
  }
}

// Levels of `count` pixels between two stretched rows; returns the highest.
RASANT_INLINE int levels_between(const float* __restrict above, const float* __restrict below, float share,
                                 std::uint8_t* __restrict level, int count) {
  int highest = 0;
  for (int x = 0; x < count; ++x) {
    const int found = static_cast<int>(overlay_between(above[x], below[x], share));
    level[x] = static_cast<std::uint8_t>(found);
    highest = std::max(highest, found);
  }
  return highest;
}

RASANT_INLINE void blend_bytes(const std::uint8_t* __restrict tint, const std::uint8_t* __restrict rest,
                               std::uint8_t* __restrict pixels, int count) {
  for (int k = 0; k < count; ++k) pixels[k] = overlay_blended(pixels[k], tint[k], rest[k]);
}

// `width` pixels of three bytes, in place. Meanwhile the next row comes into the cache: rows come in bursts, and
// without help the processor waits for each of them.
RASANT_VECTOR void blend_row(const float* above, const float* below, float share, const Glow& glow,
                             std::uint8_t* pixels, int width, const std::uint8_t* next_in,
                             const std::uint8_t* next_out) {
  std::uint8_t level[piece] = {}, tint[3 * piece + 2], rest[3 * piece + 2];
  for (int x = 0; x < width; x += piece) {
    const int count = std::min(piece, width - x);
    load_ahead(next_in + 3 * static_cast<std::ptrdiff_t>(x), 3 * count);
    load_ahead(next_out + 3 * static_cast<std::ptrdiff_t>(x), 3 * count);
    if (levels_between(above + x, below + x, share, level, count) < glow.lowest) continue;
    for (int k = 0; k < count; k += 2) {
      const Glow::Entry &one = glow.of[level[k]], &next = glow.of[level[k + 1]];
      const std::uint64_t tints = one.tint | next.tint << 24, rests = one.rest | next.rest << 24;
      std::memcpy(tint + 3 * k, &tints, 8);
      std::memcpy(rest + 3 * k, &rests, 8);
    }
    blend_bytes(tint, rest, pixels + 3 * static_cast<std::ptrdiff_t>(x), 3 * count);
  }
}

// The stretched rows of one thread: neighbours differ in parity, so that both are kept.
class Rows {
 public:
  Rows(ImageView<const float> map, const Columns& columns, float gain)
      : map_(map), columns_(columns), gain_(gain), scaled_(static_cast<std::size_t>(map.width) + 1) {
    for (auto& row : wide_) row.resize(columns.left.size());
  }

  const float* stretched(int row) {
    auto& wide = wide_[row & 1];
    if (held_[row & 1] != row) {
      stretch_row(map_.row(row), map_.width, gain_, scaled_.data(), columns_.left.data(), columns_.share.data(),
                  wide.data(), static_cast<int>(wide.size()));
      held_[row & 1] = row;
    }
    return wide.data();
  }

 private:
  ImageView<const float> map_;
  const Columns& columns_;
  float gain_;
  std::vector<float> scaled_, wide_[2];
  int held_[2] = {-1, -1};
};

}  // namespace

OverlayAxis overlay_axis(double step, double shift, int map_size, int picture_size) {
  check(step >= 1e-6 && step <= 1e6 && std::fabs(shift) <= 1e9,
        "a map pixel must be 1e-6 to 1e6 pixels of the picture, and the first within 1e9 of its corner, got step ",
        step, " and shift ", shift, "; pass the affine of the map");
  const double edge = shift - 0.5 * step + 0.5;
  const double begin = std::rint(edge), end = std::max(begin + 1.0, std::rint(edge + step * map_size));
  const auto inside = [&](double pixel) { return static_cast<int>(std::clamp(pixel, 0.0, 1.0 * picture_size)); };
  return {static_cast<float>(1.0 / step), static_cast<float>(-shift / step), static_cast<float>(map_size - 1),
          inside(begin), inside(end)};
}

void overlay_cpu(ImageView<const std::uint8_t> picture, ImageView<const float> map, const OverlayParams& params,
                 ImageView<std::uint8_t> out, int threads) {
  check(threads >= 1, "threads must be at least 1, got ", threads, "; pass 1 for the calling thread alone");
  const OverlayAxis &rows = params.rows, &columns = params.columns;
  const Glow glow(params.colors);
  const Columns across(columns);
  for_each_row(out.height, threads, [&](int first, int last, int) {
    Rows kept(map, across, params.gain);
    for (int y = first; y < last; ++y) {
      if (out.data != picture.data) std::memcpy(out.row(y), picture.row(y), static_cast<std::size_t>(3 * out.width));
      if (y < rows.first || y >= rows.end || columns.first >= columns.end) continue;
      const float place = overlay_position(rows, y);
      const int above = static_cast<int>(place), below = std::min(above + 1, map.height - 1);
      const int left = columns.first, next = std::min(y + 1, last - 1);
      blend_row(kept.stretched(above), kept.stretched(below), place - static_cast<float>(above), glow, &out(y, left),
                columns.end - left, &picture(next, left), &out(next, left));
    }
  });
}

}  // namespace rasant
