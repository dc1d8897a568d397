// SPDX-License-Identifier: Apache-2.0
// The correlation costs what the outline of the mask costs, not its area: along a row, `side` is constant between its
// edges, so the step of the sum from one pixel to the next holds one kernel entry an edge. These steps are added up in
// whole numbers, 16 pixels at a time, and then summed along the row; nothing is lost.
#include "ops/defect.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int lanes = 16;  // pixels whose steps are added together; a chunk
constexpr int block = 64;  // pixels that are copied together where none is masked

using Steps = std::uint32_t __attribute__((vector_size(lanes * sizeof(std::uint32_t))));

// An edge as a chunk sees it: entry `at` of the kernel plus a number that depends on the row of the output, times
// `step`.
struct Edge { std::int32_t at, step; };

// What all rows of a call need; grows to the largest call and is kept.
struct Plan {
  std::vector<std::int32_t> kernel;      // rows by increasing y, each reversed, with a chunk of zeros to each side
  int radius = 0, stride = 0;            // of the kernel; of one of its rows
  int before = 0;                        // pixels left of the image, whole chunks, where sums begin
  std::vector<std::int8_t> side;         // of one row, with one zero before and `block` after it
  std::vector<std::vector<Edge>> edges;  // of a chunk: those in its reach, row by row
  std::vector<int> first;                // of row y and chunk c: first[y * chunks + c]; at y = height the end
  DefectScale scale{};
};

// Buffers of one thread.
struct Row {
  std::vector<std::int8_t> side;
  std::vector<std::int32_t> sum;
  std::vector<float> value;
  std::vector<std::uint8_t> mask;
};

template <class T>
void at_least(std::vector<T>& buffer, int size) {
  if (buffer.size() < static_cast<std::size_t>(size)) buffer.resize(static_cast<std::size_t>(size));
}

// The smallest and the largest number; NaN is neither.
RASANT_VECTOR void row_range(const float* __restrict p, int width, FieldRange& range) {
  float low[lanes], high[lanes];
  for (int l = 0; l < lanes; ++l) low[l] = range.low, high[l] = range.high;
  int x = 0;
  for (; x + lanes <= width; x += lanes)
    for (int l = 0; l < lanes; ++l) {
      low[l] = p[x + l] < low[l] ? p[x + l] : low[l];
      high[l] = p[x + l] > high[l] ? p[x + l] : high[l];
    }
  for (; x < width; ++x) {
    low[0] = p[x] < low[0] ? p[x] : low[0];
    high[0] = p[x] > high[0] ? p[x] : high[0];
  }
  for (int l = 0; l < lanes; ++l) range.low = std::min(range.low, low[l]), range.high = std::max(range.high, high[l]);
}

FieldRange field_range(ImageView<const float> field) {
  FieldRange range;
  for (int y = 0; y < field.height; ++y) row_range(field.row(y), field.width, range);
  return {range.low + 0.0f, range.high + 0.0f};  // no negative zero, whose place in the order is undefined
}

RASANT_VECTOR void side_row(const float* __restrict p, const std::uint8_t* __restrict support, int width,
                            DefectRule rule, float threshold, std::int8_t* __restrict side) {
  if (support) {
    for (int x = 0; x < width; ++x)
      side[x] = static_cast<std::int8_t>(defect_side(p[x], support[x] != 0, rule, threshold));
  } else {
    for (int x = 0; x < width; ++x) side[x] = static_cast<std::int8_t>(defect_side(p[x], true, rule, threshold));
  }
}

// Entry i of a row is K(y, R - i); `across` holds g in that order.
RASANT_VECTOR void kernel_row(const SkewKernel& k, int y, const double* __restrict across,
                              std::int32_t* __restrict row) {
  const double down = k.weight[std::abs(y)];
  for (int i = 0; i <= 2 * k.radius; ++i) row[i] = skew_entry(k, y, k.radius - i, down * across[i]);
}

RASANT_VECTOR bool any_set(const std::uint8_t* __restrict bytes, int count) {
  std::uint8_t all = 0;
  for (int i = 0; i < count; ++i) all |= bytes[i];
  return all != 0;
}

// Calls found(x, side(x) - side(x - 1)) for the edges of side[0, width]; side[-1] and side[width] are 0.
template <class Found>
void find_edges(const std::int8_t* side, int width, const Found& found) {
  for (int x = 0; x <= width; x += 8) {
    std::uint64_t here, before;
    std::memcpy(&here, side + x, sizeof here);
    std::memcpy(&before, side + x - 1, sizeof before);
    if (here == before) continue;
    for (int i = x; i < x + 8; ++i)
      if (side[i] != side[i - 1]) found(i, side[i] - side[i - 1]);
  }
}

void plan_kernel(const DefectParams& p, Plan& plan) {
  const SkewKernel kernel = skew_kernel(p.sigma, p.skew_y, p.skew_x);
  const int r = plan.radius = kernel.radius;
  plan.stride = 2 * r + 1 + 2 * lanes;
  plan.before = (r + lanes - 1) / lanes * lanes;
  plan.kernel.assign(static_cast<std::size_t>((2 * r + 1) * plan.stride), 0);
  double across[2 * skew_max_radius + 1];
  for (int i = 0; i <= 2 * r; ++i) across[i] = kernel.weight[std::abs(r - i)];
  for (int y = -r; y <= r; ++y) kernel_row(kernel, y, across, plan.kernel.data() + (y + r) * plan.stride + lanes);
}

void plan_spread(const DefectImages& images, const DefectParams& p, Plan& plan) {
  plan_kernel(p, plan);
  const int h = images.field.height, w = images.field.width, r = plan.radius;
  const int chunks = (plan.before + w + lanes - 1) / lanes;
  plan.side.assign(static_cast<std::size_t>(w + 1 + block), 0);
  if (plan.edges.size() < static_cast<std::size_t>(chunks)) plan.edges.resize(static_cast<std::size_t>(chunks));
  for (auto& edges : plan.edges) edges.clear();
  plan.first.resize(static_cast<std::size_t>(chunks) * static_cast<std::size_t>(h + 1));
  for (int y = 0; y <= h; ++y) {
    int* first = plan.first.data() + static_cast<std::ptrdiff_t>(y) * chunks;
    for (int c = 0; c < chunks; ++c) first[c] = static_cast<int>(plan.edges[static_cast<std::size_t>(c)].size());
    if (y == h) break;
    const std::uint8_t* support = images.support.data ? images.support.row(y) : nullptr;
    side_row(images.field.row(y), support, w, p.rule, p.threshold, plan.side.data() + 1);
    find_edges(plan.side.data() + 1, w, [&](int x, int step) {
      const int last = std::min((plan.before + x + r) / lanes, chunks - 1);
      for (int c = (plan.before + x - r) / lanes; c <= last; ++c)
        plan.edges[static_cast<std::size_t>(c)].push_back({y * plan.stride - x, step});
    });
  }
}

// Steps of one chunk: the sum of the kernel entries of its edges.
RASANT_VECTOR void add_edges(const Edge* edge, const Edge* last, const std::int32_t* kernel, std::int32_t* out) {
  Steps sum = {};
  for (; edge != last; ++edge) {
    Steps entries;
    std::memcpy(&entries, kernel + edge->at, sizeof entries);
    sum += entries * static_cast<std::uint32_t>(edge->step);
  }
  std::memcpy(out, &sum, sizeof sum);
}

// K * side of row y at sum[plan.before...]. False where it is 0 all along.
bool spread_row(const Plan& plan, int height, int width, int y, std::int32_t* sum) {
  const int r = plan.radius, chunks = (plan.before + width + lanes - 1) / lanes;
  const int top = std::max(y - r, 0), bottom = std::min(y + r + 1, height);
  const int* first = plan.first.data() + static_cast<std::ptrdiff_t>(top) * chunks;
  const int* last = plan.first.data() + static_cast<std::ptrdiff_t>(bottom) * chunks;
  bool any = false;
  for (int c = 0; c < chunks; ++c) {
    const Edge* edges = plan.edges[static_cast<std::size_t>(c)].data();
    // Edge x of row `from` adds entry (x of the output - x + r) of kernel row (from - y + r).
    const std::ptrdiff_t base = static_cast<std::ptrdiff_t>(r - y) * plan.stride + lanes + c * lanes - plan.before + r;
    add_edges(edges + first[c], edges + last[c], plan.kernel.data() + base, sum + c * lanes);
    any |= first[c] != last[c];
  }
  std::uint32_t total = 0;
  for (int i = 0; any && i < plan.before + width; ++i) {
    total += static_cast<std::uint32_t>(sum[i]);
    sum[i] = static_cast<std::int32_t>(total);
  }
  return any;
}

RASANT_VECTOR void height_row(const std::int32_t* __restrict sum, const std::uint8_t* __restrict foreground, int width,
                              DefectParams p, float* __restrict value, std::uint8_t* __restrict mask) {
  if (foreground) {
    for (int x = 0; x < width; ++x) value[x] = spread_height(sum[x], foreground[x] != 0, p.amplitude);
  } else {
    for (int x = 0; x < width; ++x) value[x] = spread_height(sum[x], true, p.amplitude);
  }
  for (int x = 0; x < width; ++x) mask[x] = static_cast<std::uint8_t>(is_visible(value[x], p.visible));
  for (int x = 0; x < width; ++x) value[x] = value[x] * p.gain + p.offset;
}

// Value and mask of the other sources; `image` is the field or the relief.
RASANT_VECTOR void value_row(const float* __restrict image, const std::int8_t* __restrict side, int width,
                             DefectParams p, DefectScale scale, float* __restrict value,
                             std::uint8_t* __restrict mask) {
  for (int x = 0; x < width; ++x) mask[x] = static_cast<std::uint8_t>(side[x] != 0);
  if (p.source == DefectSource::range) {
    for (int x = 0; x < width; ++x) value[x] = (image[x] - scale.low) / scale.span * p.gain + p.offset;
  } else if (p.source == DefectSource::hills) {
    for (int x = 0; x < width; ++x) value[x] = hill(image[x], side[x], scale, p.threshold) * p.gain + p.offset;
  } else {
    for (int x = 0; x < width; ++x) value[x] = image[x] * p.gain + p.offset;
  }
}

RASANT_VECTOR void depth_row(const float* z, const float* __restrict value, const std::uint8_t* __restrict mask,
                             int width, DefectParams p, float* out) {
#pragma GCC ivdep  // out is z or apart from it
  for (int x = 0; x < width; ++x) out[x] = defect_depth(z[x], value[x], mask[x] != 0, p);
}

RASANT_INLINE void copy_row(const float* from, int width, float* to) {
  if (to != from) std::copy_n(from, width, to);
}

RASANT_VECTOR void color_row(const float* normal, const float* texture, const std::uint8_t* __restrict mask, int width,
                             float kept, float* out) {
  for (int begin = 0; begin < width; begin += block) {
    const int end = std::min(begin + block, width);
    if (!any_set(mask + begin, end - begin)) {
      copy_row(normal + begin, end - begin, out + begin);
      continue;
    }
#pragma GCC ivdep  // out is normal or apart from it
    for (int x = begin; x < end; ++x) {
      const float foreign = texture ? texture[x] : 0.0f;
      out[x] = defect_color(normal[x], foreign, mask[x] != 0, kept);
    }
  }
}

// A row without a defect.
void keep_row(const DefectImages& images, int y) {
  const int h = images.field.height, w = images.field.width;
  std::memset(images.out_mask.row(y), 0, static_cast<std::size_t>(w));
  if (images.depth.data) copy_row(images.depth.row(y), w, images.out_depth.row(y));
  for (int row = y; images.color.data && row < 3 * h; row += h)
    copy_row(images.color.row(row), w, images.out_color.row(row));
}

void draw_row(const DefectImages& images, const DefectParams& p, const Plan& plan, int y, Row& row) {
  const int h = images.field.height, w = images.field.width;
  if (p.source == DefectSource::spread) {
    if (!spread_row(plan, h, w, y, row.sum.data()) && p.offset == 0.0f) return keep_row(images, y);
    const std::uint8_t* foreground = images.foreground.data ? images.foreground.row(y) : nullptr;
    height_row(row.sum.data() + plan.before, foreground, w, p, row.value.data(), row.mask.data());
  } else {
    const std::uint8_t* support = images.support.data ? images.support.row(y) : nullptr;
    side_row(images.field.row(y), support, w, p.rule, p.threshold, row.side.data());
    const float* image = p.source == DefectSource::relief ? images.relief.row(y) : images.field.row(y);
    value_row(image, row.side.data(), w, p, plan.scale, row.value.data(), row.mask.data());
  }
  std::memcpy(images.out_mask.row(y), row.mask.data(), static_cast<std::size_t>(w));
  if (images.depth.data)
    depth_row(images.depth.row(y), row.value.data(), row.mask.data(), w, p, images.out_depth.row(y));
  for (int c = 0; images.color.data && c < 3; ++c) {
    const float* texture = images.texture.data ? images.texture.row(c * h + y) : nullptr;
    color_row(images.color.row(c * h + y), texture, row.mask.data(), w, p.kept_color, images.out_color.row(c * h + y));
  }
}

}  // namespace

void apply_defect_cpu(const DefectImages& images, const DefectParams& p, int threads) {
  check_defect(images, p);
  thread_local Plan plan_of_thread;
  Plan& plan = plan_of_thread;
  const int h = images.field.height, w = images.field.width;
  plan.before = 0;
  if (p.source == DefectSource::spread) plan_spread(images, p, plan);
  if (needs_range(p.source)) plan.scale = defect_scale(field_range(images.field), p.threshold);
  for_each_row(h, threads, [&](int begin, int end, int) {
    thread_local Row row;
    at_least(row.side, w);
    at_least(row.sum, plan.before + w + lanes);
    at_least(row.value, w);
    at_least(row.mask, w);
    for (int y = begin; y < end; ++y) draw_row(images, p, plan, y, row);
  });
}

}  // namespace rasant
