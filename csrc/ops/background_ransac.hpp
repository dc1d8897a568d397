// SPDX-License-Identifier: Apache-2.0
// The kernels of fit_plane_ransac, of background_cuda.cu alone: collect_points, then try_planes and choose_best in
// turn, then refine_plane. They do what fit_plane_ransac_cpu does, and give its bits.
#pragma once
#include "core/launch.hpp"
#include "ops/background.hpp"

namespace rasant {
namespace {

constexpr int collectors = 512;   // threads of the block that collects the border
constexpr int block_size = 128;   // of a hypothesis, of the refinement: at least 10 * moment_lanes
constexpr int first_chunk = 32;   // hypotheses of the first launch, then twice as many, up to last_chunk
constexpr int last_chunk = 1024;  // once the search is settled, what follows returns at once

struct Points { float *x, *y, *z; };

// What is known after some of the hypotheses.
struct Search {
  int count, subset;  // points of the border and of the subset
  int best;           // support of the plane
  bool done;
  Settled settled;
  Plane plane;
};

// A hypothesis as drawn, and refitted to its inliers; support -1 where there is no such plane. Both are found for every
// hypothesis at once, and choose_best then goes through them as if one had been tried after the other.
struct Tried {
  int support[2];
  Plane plane[2];
};

struct RansacMemory {
  Points all, subset;
  Search* search;
  Tried* tried;
  PlaneFit* fit;
};

struct RansacInput {
  ImageView<const float> depth;
  Pinhole camera;
  RansacParams params;
  BorderSearch border;
};

RASANT_HD int count_bits(std::uint32_t v) {
  v -= v >> 1 & 0x55555555u;
  v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
  return static_cast<int>(((v + (v >> 4)) & 0x0F0F0F0Fu) * 0x01010101u >> 24);
}

// Term k of Moments: the product of two of 1, x, y, z.
RASANT_HD double moment_term(int k, double x, double y, double z) {
  const double left = k < 4 ? 1.0 : k < 7 ? x : k < 9 ? y : z;
  const int right = k < 4 ? k : k < 7 ? k - 3 : k < 9 ? k - 5 : 3;
  return left * (right == 0 ? 1.0 : right == 1 ? x : right == 2 ? y : z);
}

// Lane `thread % moment_lanes` of moment `thread / moment_lanes`, in the order of the CPU.
RASANT_HD double moment_lane(const Points& points, int count, const Plane& plane, float limit, int thread) {
  const PlaneF near = narrow(plane);
  double sum = 0.0;
  for (int i = thread % moment_lanes; i < count; i += moment_lanes) {
    const float x = points.x[i], y = points.y[i], z = points.z[i];
    if (point_distance(near, x, y, z) < limit) sum += moment_term(thread / moment_lanes, x, y, z);
  }
  return sum;
}

RASANT_HD double sum_lanes(const double* lanes) {
  double sum = 0.0;
  for (int l = 0; l < moment_lanes; ++l) sum += lanes[l];
  return sum;
}

RASANT_HD Moments moments_of(const double* sums) {
  Moments moments;
  for (int k = 0; k < 10; ++k) moments.sum[k] = sums[k];
  return moments;
}

RASANT_HD bool facing_plane(const Moments& moments, const RansacInput& in, Plane& plane) {
  return plane_of(moments, plane) && face_camera(plane, in.camera, in.depth.height, in.depth.width);
}

// Valid border points in the order of the image, and the subset. One block.
RASANT_KERNEL void collect_points(RansacInput in, RansacMemory memory) {
  RASANT_SHARED(std::int32_t, found, 2 * (collectors / 32));  // of each warp; two rounds, so that one barrier is enough
  const int t = static_cast<int>(threadIdx.x), pixels = in.border.border.count();
  const PointCamera to_point = point_camera(in.camera);
  int count = 0;
  for (int base = 0, round = 0; base < pixels; base += collectors, round ^= 1) {
    int y = 0, x = 0;
    if (base + t < pixels) in.border.border.place(base + t, y, x);
    const float z = in.depth(y, x);
    const bool valid = base + t < pixels && is_valid_depth(z);
    const std::uint32_t votes = gpu::ballot(valid);
    std::int32_t* const warps = found + round * (collectors / 32);
    if (t % 32 == 0) warps[t / 32] = count_bits(votes);
    gpu::barrier();
    int at = count + count_bits(votes & ((1u << t % 32) - 1));
    for (int k = 0; k < collectors / 32; ++k) {
      count += warps[k];
      at += k < t / 32 ? warps[k] : 0;
    }
    if (!valid) continue;
    const BorderPoint point = to_point.point(y, x, z);
    memory.all.x[at] = point.x;
    memory.all.y[at] = point.y;
    memory.all.z[at] = point.z;
  }
  gpu::barrier();
  const int size = count < subset_size ? count : subset_size;
  for (int k = t; k < size; k += collectors) {
    const int i = subset_point(in.params.seed, k, size, count);
    memory.subset.x[k] = memory.all.x[i];
    memory.subset.y[k] = memory.all.y[i];
    memory.subset.z[k] = memory.all.z[i];
  }
  if (t == 0) *memory.search = {count, size, 0, count < in.border.needed, {}, {}};
}

// A block for each hypothesis.
RASANT_KERNEL void try_planes(RansacInput in, RansacMemory memory, int first) {
  RASANT_SHARED(float, drawn, 3 * max_sample);
  RASANT_SHARED(double, lanes, 10 * moment_lanes);
  RASANT_SHARED(double, sums, 10);
  RASANT_SHARED(Plane, plane, 1);
  RASANT_SHARED(std::int32_t, support, 1);
  RASANT_SHARED(bool, found, 1);
  const Search& search = *memory.search;
  if (search.done) return;
  const int t = static_cast<int>(threadIdx.x), hypothesis = first + static_cast<int>(blockIdx.x);
  const int size = sample_size(hypothesis, in.params.sample);
  const auto limit = static_cast<float>(in.params.inlier_m);
  Tried& tried = memory.tried[blockIdx.x];
  for (int k = t; k < size; k += block_size) {
    const int i = sample_point(sample_words(in.params.seed, hypothesis, k / 4).v[k % 4], search.count);
    drawn[3 * k] = memory.all.x[i];
    drawn[3 * k + 1] = memory.all.y[i];
    drawn[3 * k + 2] = memory.all.z[i];
  }
  if (t == 0) tried.support[0] = tried.support[1] = -1;
  gpu::barrier();
  if (t < 10) {
    double sum = 0.0;
    for (int k = 0; k < size; ++k) sum += moment_term(t, drawn[3 * k], drawn[3 * k + 1], drawn[3 * k + 2]);
    sums[t] = sum;
  }
  gpu::barrier();
  for (int step = 0; step < 2; ++step) {
    if (t == 0) *found = facing_plane(moments_of(sums), in, *plane), *support = 0;
    gpu::barrier();
    if (!*found) return;
    const PlaneF near = narrow(*plane);
    int sum = 0;
    for (int i = t; i < search.subset; i += block_size)
      sum += point_support(near, memory.subset.x[i], memory.subset.y[i], memory.subset.z[i], limit);
    for (int step_down = 16; step_down > 0; step_down /= 2) sum += gpu::shuffle_down(sum, step_down);
    if (t % 32 == 0) gpu::atomic_add(support, sum);
    if (t < 10 * moment_lanes) lanes[t] = moment_lane(memory.subset, search.subset, *plane, limit, t);
    gpu::barrier();
    if (t < 10) sums[t] = sum_lanes(lanes + t * moment_lanes);
    if (t == 0) {
      tried.support[step] = *support;
      tried.plane[step] = *plane;
    }
    gpu::barrier();
  }
}

// One thread.
RASANT_KERNEL void choose_best(RansacMemory memory, int first, int count) {
  Search& search = *memory.search;
  for (int k = 0; k < count && !search.done; ++k) {
    search.done = search.settled.ask(search.best, search.subset, (first + k + 1) / 2);
    const Tried& tried = memory.tried[k];
    for (int step = 0; step < 2 && !search.done && tried.support[step] >= 0; ++step) {
      if (tried.support[step] > search.best) {
        search.best = tried.support[step];
        search.plane = tried.plane[step];
      }
      if (2 * tried.support[step] < search.best) break;
    }
  }
}

// One block.
RASANT_KERNEL void refine_plane(RansacInput in, RansacMemory memory) {
  RASANT_SHARED(double, lanes, 10 * moment_lanes);
  RASANT_SHARED(double, sums, 10);
  RASANT_SHARED(Plane, plane, 1);
  RASANT_SHARED(bool, better, 1);
  const Search& search = *memory.search;
  const int t = static_cast<int>(threadIdx.x);
  const auto limit = static_cast<float>(in.params.inlier_m);
  PlaneFit fit;  // of thread 0
  fit.total = search.count;
  if (t == 0) *plane = search.plane;
  gpu::barrier();
  for (int round = 0; search.best > 0 && round < 8; ++round) {
    if (t < 10 * moment_lanes) lanes[t] = moment_lane(memory.all, search.count, *plane, limit, t);
    gpu::barrier();
    if (t < 10) sums[t] = sum_lanes(lanes + t * moment_lanes);
    gpu::barrier();
    if (t == 0) {
      const Moments moments = moments_of(sums);
      const int inliers = static_cast<int>(moments.sum[0]);
      Plane refined;
      *better = inliers > fit.inliers && facing_plane(moments, in, refined);
      if (*better) {
        *plane = refined;
        fit.inliers = inliers;
        fit.rms = rms_distance(moments, refined);
      }
    }
    gpu::barrier();
    if (!*better) break;
  }
  if (t != 0) return;
  fit.plane = *plane;
  if (fit.inliers < in.border.needed) fit.fault = PlaneFault::no_plane;
  if (search.count < in.border.needed) fit.fault = PlaneFault::few_points;
  *memory.fit = fit;
}

}  // namespace
}  // namespace rasant
