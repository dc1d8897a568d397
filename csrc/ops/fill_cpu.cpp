// SPDX-License-Identifier: Apache-2.0
// One sweep over the image: pass k works on row y while pass k - 1 is already at row y + 1. Three rows of each pass are
// kept, so the image is read once and written once whatever the number of passes. A band of rows begins `passes` rows
// early with rows of its own, hence the same result for any number of threads.
#include "ops/fill.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int chunk = 16;  // pixels that are skipped together where they hold no hole
constexpr int pad = 16;    // zeros to each side of a kept row

RASANT_VECTOR void load_row(const float* __restrict in, float* __restrict row, int width) {
  for (int x = 0; x < width; ++x) row[x] = valid_or_zero(in[x]);
}

// The row is copied, then the chunks that hold a hole are filled. `holes` is a work row.
RASANT_VECTOR void fill_row(const float* above, const float* middle, const float* below, float* __restrict out,
                            std::uint8_t* __restrict holes, int width) {
  for (int x = 0; x < width; ++x) holes[x] = static_cast<std::uint8_t>(middle[x] == 0.0f);
  for (int x = 0; x < width; ++x) out[x] = middle[x];
  int x = 0;
  for (; x + chunk <= width; x += chunk) {
    std::uint64_t flags[chunk / 8];
    std::memcpy(flags, holes + x, chunk);
    if ((flags[0] | flags[1]) == 0) continue;
    for (int i = x; i < x + chunk; ++i) out[i] = fill_value(above + i, middle + i, below + i);
  }
  for (; x < width; ++x) out[x] = fill_value(above + x, middle + x, below + x);
}

// Rows y - 1, y, y + 1 of one pass, with zeros around them.
class Ring {
 public:
  void reset(int width) {
    stride_ = static_cast<std::size_t>(width) + 2 * pad;
    rows_.assign(4 * stride_, 0.0f);
  }
  float* row(int y) { return rows_.data() + static_cast<std::size_t>((y + 3) % 3) * stride_ + pad; }
  float* zeros() { return rows_.data() + 3 * stride_ + pad; }

 private:
  std::vector<float> rows_;
  std::size_t stride_ = 0;
};

// Rows [begin, end) of the result.
void fill_band(ImageView<const float> depth, ImageView<float> out, const FillParams& params, int begin, int end) {
  thread_local std::vector<Ring> rings;
  thread_local std::vector<std::uint8_t> holes;
  const int passes = params.passes, width = depth.width;
  holes.resize(static_cast<std::size_t>(width));
  rings.resize(static_cast<std::size_t>(std::max(passes, 1)));
  for (auto& ring : rings) ring.reset(width);
  const auto neighbour = [&](Ring& ring, int y) { return y < 0 || y >= depth.height ? ring.zeros() : ring.row(y); };
  for (int head = begin - passes; head < end + passes; ++head) {
    if (head >= 0 && head < depth.height) load_row(depth.row(head), passes ? rings[0].row(head) : out.row(head), width);
    for (int pass = 1; pass <= passes; ++pass) {
      const int y = head - pass;
      if (y < std::max(begin - passes + pass, 0) || y >= std::min(end + passes - pass, depth.height)) continue;
      Ring& from = rings[static_cast<std::size_t>(pass - 1)];
      float* to = pass == passes ? out.row(y) : rings[static_cast<std::size_t>(pass)].row(y);
      if (!params.clamp && y == 0) {
        std::memcpy(to, from.row(y), static_cast<std::size_t>(width) * sizeof(float));
        continue;
      }
      fill_row(neighbour(from, y - 1), from.row(y), neighbour(from, y + 1), to, holes.data(), width);
      if (!params.clamp) to[0] = from.row(y)[0];
    }
  }
}

template <class T, class Convert>
RASANT_INLINE void convert_rows(ImageView<const T> depth, ImageView<float> out, int begin, int end,
                                const Convert& convert) {
  for (int y = begin; y < end; ++y) {
    const T* __restrict in = depth.row(y);
    float* __restrict row = out.row(y);
    for (int x = 0; x < depth.width; ++x) row[x] = convert(in[x]);
  }
}

RASANT_VECTOR void counts_rows(ImageView<const std::uint16_t> depth, ImageView<float> out, int begin, int end,
                               float scale) {
  convert_rows(depth, out, begin, end, [scale](std::uint16_t v) { return metres_from_counts(v, scale); });
}

RASANT_VECTOR void float_rows(ImageView<const float> depth, ImageView<float> out, int begin, int end, float scale) {
  convert_rows(depth, out, begin, end, [scale](float v) { return metres_from_float(v, scale); });
}

}  // namespace

void fill_holes_cpu(ImageView<const float> depth, ImageView<float> out, const FillParams& params, int threads) {
  check_fill(params);
  for_each_row(depth.height, threads, [&](int begin, int end, int) { fill_band(depth, out, params, begin, end); });
}

void to_metres_cpu(ImageView<const std::uint16_t> depth, ImageView<float> out, float scale, int threads) {
  check_scale(scale);
  for_each_row(depth.height, threads, [&](int begin, int end, int) { counts_rows(depth, out, begin, end, scale); });
}

void to_metres_cpu(ImageView<const float> depth, ImageView<float> out, float scale, int threads) {
  check_scale(scale);
  for_each_row(depth.height, threads, [&](int begin, int end, int) { float_rows(depth, out, begin, end, scale); });
}

}  // namespace rasant
