// SPDX-License-Identifier: Apache-2.0
#include "ops/pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

// The source pixels of each output position along one axis: `taps` consecutive ones from first[i], weighted. The
// weights stand tap by tap (weight[t * size + i]), and unused taps weigh 0, so that inner loops run over i.
struct Axis {
  int size = 0, taps = 1;
  std::vector<int> first;
  std::vector<float> weight;
};

void area_weights(Axis& axis, int in) {
  const double step = static_cast<double>(in) / axis.size;
  axis.taps = std::min(static_cast<int>(std::ceil(step)) + 1, in);
  axis.weight.assign(static_cast<std::size_t>(axis.taps) * axis.size, 0.0f);
  for (int i = 0; i < axis.size; ++i) {
    const double begin = i * step, end = std::min((i + 1) * step, static_cast<double>(in));
    const int first = std::min(static_cast<int>(begin + 1e-9), in - axis.taps);
    axis.first[static_cast<std::size_t>(i)] = first;
    for (int t = 0; t < axis.taps; ++t) {
      const double covered = std::min(end, first + t + 1.0) - std::max(begin, static_cast<double>(first + t));
      axis.weight[static_cast<std::size_t>(t) * axis.size + i] =
          covered > 1e-9 ? static_cast<float>(covered / (end - begin)) : 0.0f;
    }
  }
}

void linear_weights(Axis& axis, int in) {
  axis.taps = std::min(2, in);
  axis.weight.assign(static_cast<std::size_t>(axis.taps) * axis.size, in == 1 ? 1.0f : 0.0f);
  for (int i = 0; i < axis.size && in > 1; ++i) {
    const double position = std::clamp((i + 0.5) * in / axis.size - 0.5, 0.0, in - 1.0);
    const int first = std::min(static_cast<int>(position), in - 2);
    axis.first[static_cast<std::size_t>(i)] = first;
    axis.weight[static_cast<std::size_t>(i)] = static_cast<float>(1.0 - (position - first));
    axis.weight[static_cast<std::size_t>(axis.size + i)] = static_cast<float>(position - first);
  }
}

Axis make_axis(int in, int out, Interpolation interpolation) {
  Axis axis;
  axis.size = out;
  axis.first.assign(static_cast<std::size_t>(out), 0);
  if (interpolation == Interpolation::kNearest || in == out) {
    axis.weight.assign(static_cast<std::size_t>(out), 1.0f);
    for (int i = 0; i < out; ++i)
      axis.first[static_cast<std::size_t>(i)] = static_cast<int>((2ll * i + 1) * in / (2ll * out));
  } else if (interpolation == Interpolation::kArea && out < in) {
    area_weights(axis, in);
  } else {
    linear_weights(axis, in);
  }
  return axis;
}

RASANT_VECTOR void add_bytes(const std::uint8_t* __restrict source, float weight, float* __restrict sum, int count,
                             bool start) {
  if (start)
    for (int i = 0; i < count; ++i) sum[i] = weight * static_cast<float>(source[i]);
  else
    for (int i = 0; i < count; ++i) sum[i] += weight * static_cast<float>(source[i]);
}

// Valid depth and its weight, side by side.
RASANT_VECTOR void add_depth(const float* __restrict source, float weight, float* __restrict sum,
                             float* __restrict share, int count, bool start) {
  for (int i = 0; i < count; ++i) {
    const bool valid = (source[i] - source[i] == 0.0f) & (source[i] != 0.0f);
    const float value = valid ? weight * source[i] : 0.0f, part = valid ? weight : 0.0f;
    sum[i] = start ? value : sum[i] + value;
    share[i] = start ? part : share[i] + part;
  }
}

// out[i] = sum over taps of weight * row[(first[i] + tap) * step + channel]
RASANT_VECTOR void gather_taps(const float* __restrict row, const int* __restrict first, const float* __restrict weight,
                               float* __restrict out, int size, int taps, int step, int channel) {
  for (int i = 0; i < size; ++i) out[i] = weight[i] * row[first[i] * step + channel];
  for (int t = 1; t < taps; ++t) {
    const float* w = weight + static_cast<std::ptrdiff_t>(t) * size;
    const float* shifted = row + t * step + channel;
    for (int i = 0; i < size; ++i) out[i] += w[i] * shifted[first[i] * step];
  }
}

RASANT_VECTOR void scale_row(float* __restrict row, float gain, float offset, int count) {
  for (int i = 0; i < count; ++i) row[i] = row[i] * gain + offset;
}

RASANT_VECTOR void finish_depth(const float* __restrict sum, const float* __restrict share, float* __restrict out,
                                int count) {
  for (int i = 0; i < count; ++i) {
    const bool half = share[i] >= 0.49999f;
    const float value = sum[i] / (half ? share[i] : 1.0f);
    out[i] = half ? value : 0.0f;
  }
}

RASANT_VECTOR void split_row(const std::uint8_t* __restrict source, float* __restrict a, float* __restrict b,
                             float* __restrict c, const ColorRule& rule, int count) {
  const float ga = rule.gain[0], gb = rule.gain[1], gc = rule.gain[2];
  const float oa = rule.offset[0], ob = rule.offset[1], oc = rule.offset[2];
  const int ca = rule.channel[0], cc = rule.channel[2];
  if (ca == 0) {
    for (int i = 0; i < count; ++i) {
      a[i] = static_cast<float>(source[3 * i]) * ga + oa;
      b[i] = static_cast<float>(source[3 * i + 1]) * gb + ob;
      c[i] = static_cast<float>(source[3 * i + 2]) * gc + oc;
    }
  } else {
    for (int i = 0; i < count; ++i) {
      a[i] = static_cast<float>(source[3 * i + ca]) * ga + oa;
      b[i] = static_cast<float>(source[3 * i + 1]) * gb + ob;
      c[i] = static_cast<float>(source[3 * i + cc]) * gc + oc;
    }
  }
}

RASANT_VECTOR void keep_valid(const float* __restrict source, float* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = source[i] - source[i] == 0.0f ? source[i] : 0.0f;
}

}  // namespace

void pack_color_cpu(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                    ImageView<float> out, int threads) {
  const int height = out.height / 3, width = out.width, samples = color.width * 3;
  const bool same = color.height == height && color.width == width;
  const Axis rows = make_axis(color.height, height, interpolation);
  const Axis columns = make_axis(color.width, width, interpolation);
  for_each_row(height, threads, [&](int begin, int end, int) {
    thread_local std::vector<float> sum;
    sum.resize(static_cast<std::size_t>(samples));
    for (int y = begin; y < end; ++y) {
      float* planes[3] = {out.row(y), out.row(height + y), out.row(2 * height + y)};
      if (same) {
        split_row(color.row(y), planes[0], planes[1], planes[2], rule, width);
        continue;
      }
      bool start = true;
      for (int t = 0; t < rows.taps; ++t) {
        const float weight = rows.weight[static_cast<std::size_t>(t) * height + y];
        if (weight == 0.0f) continue;
        add_bytes(color.row(rows.first[static_cast<std::size_t>(y)] + t), weight, sum.data(), samples, start);
        start = false;
      }
      for (int c = 0; c < 3; ++c) {
        gather_taps(sum.data(), columns.first.data(), columns.weight.data(), planes[c], width, columns.taps, 3,
                    rule.channel[c]);
        scale_row(planes[c], rule.gain[c], rule.offset[c], width);
      }
    }
  });
}

void pack_depth_cpu(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, int threads) {
  const bool same = depth.height == out.height && depth.width == out.width;
  const Axis rows = make_axis(depth.height, out.height, interpolation);
  const Axis columns = make_axis(depth.width, out.width, interpolation);
  for_each_row(out.height, threads, [&](int begin, int end, int) {
    thread_local std::vector<float> buffer;
    buffer.resize(2 * (static_cast<std::size_t>(depth.width) + static_cast<std::size_t>(out.width)));
    float *sum = buffer.data(), *share = sum + depth.width, *packed = share + depth.width, *part = packed + out.width;
    for (int y = begin; y < end; ++y) {
      if (same) {
        keep_valid(depth.row(y), out.row(y), out.width);
        continue;
      }
      bool start = true;
      for (int t = 0; t < rows.taps; ++t) {
        const float weight = rows.weight[static_cast<std::size_t>(t) * out.height + y];
        if (weight == 0.0f) continue;
        add_depth(depth.row(rows.first[static_cast<std::size_t>(y)] + t), weight, sum, share, depth.width, start);
        start = false;
      }
      gather_taps(sum, columns.first.data(), columns.weight.data(), packed, out.width, columns.taps, 1, 0);
      gather_taps(share, columns.first.data(), columns.weight.data(), part, out.width, columns.taps, 1, 0);
      finish_depth(packed, part, out.row(y), out.width);
    }
  });
}

}  // namespace rasant
