// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/background.hpp"
#include "ops/background_ransac.hpp"

namespace rasant {
namespace {

// Cuts one workspace into arrays.
struct Carver {
  unsigned char* data;
  template <class T>
  T* take(std::size_t count) {
    auto* const taken = reinterpret_cast<T*>(data);
    data += (count * sizeof(T) + 255) / 256 * 256;
    return taken;
  }
};

// A thread for each corner.
RASANT_KERNEL void mean_corners(ImageView<const float> depth, Pinhole camera, int patch, Corners* corners) {
  corners->of[blockIdx.x] = corner_point(depth, camera, patch, static_cast<int>(blockIdx.x));
}

struct AbovePlane {
  Plane plane;
  Pinhole camera;
  float threshold;

  RASANT_HD RowLine row(int y) const { return plane_row(plane, camera, y); }
  RASANT_HD void pixel(float z, int x, const RowLine& row, float& height, std::uint8_t& foreground) const {
    above_plane(z, x, row, static_cast<float>(plane.offset), threshold, height, foreground);
  }
};

struct AboveCorners {
  CornerDepths corners;
  int height, width;
  float threshold;

  RASANT_HD RowLine row(int y) const { return corner_row(corners, height, width, y); }
  RASANT_HD void pixel(float z, int x, const RowLine& row, float& height, std::uint8_t& foreground) const {
    above_corners(z, x, row, threshold, height, foreground);
  }
};

// A block for each row: its line is computed once.
template <class Surface>
RASANT_KERNEL void measure_heights(ImageView<const float> depth, Surface surface, ImageView<float> height,
                                   ImageView<std::uint8_t> foreground) {
  RASANT_SHARED(RowLine, line, 1);
  const int y = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) *line = surface.row(y);
  gpu::barrier();
  for (int x = static_cast<int>(threadIdx.x); x < depth.width; x += static_cast<int>(blockDim.x))
    surface.pixel(depth(y, x), x, *line, height(y, x), foreground(y, x));
}

// Part: the components of keep_largest by union-find over pixels (Jaiganesh and Burtscher, "A high-performance
// connected components implementation for GPUs", HPDC 2018). A pixel's parent comes before it in row order, so the root
// of a component is its first pixel; pixels that are not set have parent -1. Only roots are ever joined, by compare and
// swap, so that a shortened path never undoes a join.
struct Part {
  ImageView<const std::uint8_t> set;
  ImageView<const float> depth;
  float step;
  std::int32_t* parent;
  std::int32_t* area;      // of the roots
  std::uint64_t* largest;  // area in the high half, the complement of the root in the low half; 0 without a part

  RASANT_HD std::int64_t pixels() const { return static_cast<std::int64_t>(depth.height) * depth.width; }
  RASANT_HD bool joined(int a, int b) const {
    return set.data[a] && set.data[b] && continuous_depth(depth.data[a], depth.data[b], step);
  }
  RASANT_HD int root(int pixel) const {
    while (parent[pixel] != pixel) pixel = parent[pixel];
    return pixel;
  }
  // The same, and halves the path that it went. Not while others write a parent of their own accord.
  RASANT_HD int root_halving(int pixel) const {
    int next = parent[pixel];
    while (next != pixel) {
      const int after = parent[next];
      if (after != next) parent[pixel] = after;
      pixel = next;
      next = after;
    }
    return pixel;
  }
};

RASANT_HD std::int64_t global_thread(unsigned block, unsigned threads, unsigned thread) {
  return static_cast<std::int64_t>(block) * threads + thread;
}

// Parents along the row: the first pixel of the run within the warp, whose parent is the warp's before.
RASANT_KERNEL void start_parts(Part part) {
  const std::int64_t place = global_thread(blockIdx.x, blockDim.x, threadIdx.x);
  const bool inside = place < part.pixels();
  const int i = static_cast<int>(inside ? place : 0), lane = static_cast<int>(threadIdx.x % 32);
  const bool continues = inside && i % part.depth.width > 0 && part.joined(i - 1, i);
  int first = continues ? (lane == 0 ? i - 1 : -1) : i;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int before = gpu::shuffle(first, lane >= distance ? lane - distance : lane);
    first = first > before ? first : before;
  }
  if (!inside) return;
  part.parent[i] = part.set.data[i] ? first : -1;
  part.area[i] = 0;
}

// Joins each pixel to the three above it.
RASANT_KERNEL void join_parts(Part part) {
  const std::int64_t place = global_thread(blockIdx.x, blockDim.x, threadIdx.x);
  if (place >= part.pixels()) return;
  const int i = static_cast<int>(place), width = part.depth.width, x = i % width;
  if (i < width || !part.set.data[i]) return;
  for (int dx = -1; dx <= 1; ++dx) {
    if (x + dx < 0 || x + dx >= width || !part.joined(i - width + dx, i)) continue;
    int a = part.root_halving(i), b = part.root_halving(i - width + dx);
    while (a != b) {
      const int high = a > b ? a : b, low = a > b ? b : a;
      const int seen = gpu::atomic_cas(part.parent + high, high, low);
      if (seen == high) break;
      a = part.root_halving(seen);  // what a plain read of parent[high] gives may be older
      b = low;
    }
  }
}

// Pixels of a warp that have the root of its first one are counted together.
RASANT_KERNEL void measure_parts(Part part) {
  const std::int64_t place = global_thread(blockIdx.x, blockDim.x, threadIdx.x);
  const int root = place < part.pixels() && part.parent[place] >= 0 ? part.root(static_cast<int>(place)) : -1;
  const int shared_root = gpu::shuffle(root, 0);
  const int together = count_bits(gpu::ballot(root == shared_root));
  if (root < 0) return;
  part.parent[place] = root;
  if (threadIdx.x % 32 == 0) {
    gpu::atomic_add(part.area + root, together);
  } else if (root != shared_root) {
    gpu::atomic_add(part.area + root, 1);
  }
}

RASANT_KERNEL void find_largest(Part part) {
  const std::int64_t place = global_thread(blockIdx.x, blockDim.x, threadIdx.x);
  std::uint64_t size = 0;
  if (place < part.pixels() && part.area[place] > 0)
    size = static_cast<std::uint64_t>(part.area[place]) << 32 | (0xFFFFFFFFu - static_cast<std::uint32_t>(place));
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const std::uint64_t other = gpu::shuffle_xor(size, lanes);
    size = size > other ? size : other;
  }
  if (threadIdx.x % 32 == 0 && size > 0) gpu::atomic_max(part.largest, size);
}

RASANT_KERNEL void keep_part(Part part, std::uint8_t* out) {
  const std::int64_t place = global_thread(blockIdx.x, blockDim.x, threadIdx.x);
  if (place >= part.pixels()) return;
  const auto root = static_cast<std::int32_t>(0xFFFFFFFFu - static_cast<std::uint32_t>(*part.largest));
  out[place] = static_cast<std::uint8_t>(*part.largest > 0 && part.parent[place] == root);
}

RansacMemory ransac_memory(int points, Stream stream) {
  const auto count = static_cast<std::size_t>(points);
  const std::size_t floats = 3 * (count + subset_size) * sizeof(float), rest = last_chunk * sizeof(Tried);
  Carver carver{static_cast<unsigned char*>(workspace(stream, floats + rest + 4096))};
  RansacMemory memory;
  for (float** axis : {&memory.all.x, &memory.all.y, &memory.all.z}) *axis = carver.take<float>(count);
  for (float** axis : {&memory.subset.x, &memory.subset.y, &memory.subset.z}) *axis = carver.take<float>(subset_size);
  memory.search = carver.take<Search>(1);
  memory.fit = carver.take<PlaneFit>(1);
  memory.tried = carver.take<Tried>(last_chunk);
  return memory;
}

}  // namespace

const PlaneFit* fit_plane_ransac_cuda(ImageView<const float> depth, const Pinhole& camera, const RansacParams& params,
                                      Stream stream) {
  const RansacInput in{depth, camera, params, check_ransac(depth.height, depth.width, camera, params)};
  const RansacMemory memory = ransac_memory(in.border.border.count(), stream);
  launch(collect_points, dim3(1), dim3(collectors), 0, stream, in, memory);
  for (int first = 0, chunk = first_chunk; first < params.hypotheses;
       first += chunk, chunk = std::min(2 * chunk, last_chunk)) {
    const int count = std::min(chunk, params.hypotheses - first);
    launch(try_planes, dim3(static_cast<unsigned>(count)), dim3(block_size), 0, stream, in, memory, first);
    launch(choose_best, dim3(1), dim3(1), 0, stream, memory, first, count);
  }
  launch(refine_plane, dim3(1), dim3(block_size), 0, stream, in, memory);
  return memory.fit;
}

const Corners* corner_points_cuda(ImageView<const float> depth, const Pinhole& camera, int patch, Stream stream) {
  check_patch(camera, patch);
  auto* const corners = static_cast<Corners*>(workspace(stream, sizeof(Corners)));
  launch(mean_corners, dim3(4), dim3(1), 0, stream, depth, camera, patch, corners);
  return corners;
}

void height_above_plane_cuda(ImageView<const float> depth, const Plane& plane, const Pinhole& camera, float threshold,
                             ImageView<float> height, ImageView<std::uint8_t> foreground, Stream stream) {
  check_height(depth.height, depth.width, plane, camera, threshold);
  launch(measure_heights<AbovePlane>, dim3(static_cast<unsigned>(depth.height)), dim3(256), 0, stream, depth,
         AbovePlane{plane, camera, threshold}, height, foreground);
}

void height_above_corners_cuda(ImageView<const float> depth, const CornerDepths& corners, float threshold,
                               ImageView<float> height, ImageView<std::uint8_t> foreground, Stream stream) {
  check_threshold(threshold);
  launch(measure_heights<AboveCorners>, dim3(static_cast<unsigned>(depth.height)), dim3(256), 0, stream, depth,
         AboveCorners{corners, depth.height, depth.width, threshold}, height, foreground);
}

void keep_largest_cuda(ImageView<const std::uint8_t> foreground, ImageView<const float> depth, float step,
                       ImageView<std::uint8_t> out, Stream stream) {
  check_step(step);
  const std::size_t pixels = depth.pixels(), bytes = (pixels * sizeof(std::int32_t) + 255) / 256 * 256;
  check<BadShape>(pixels < std::size_t{1} << 31, "an image on a device has fewer than 2^31 pixels, got ", pixels);
  Carver carver{static_cast<unsigned char*>(workspace(stream, 2 * bytes + 256))};
  const Part part{foreground,
                  depth,
                  step,
                  carver.take<std::int32_t>(pixels),
                  carver.take<std::int32_t>(pixels),
                  carver.take<std::uint64_t>(1)};
  fill_zero(part.largest, sizeof(std::uint64_t), stream);
  const dim3 grid(blocks_for(static_cast<std::int64_t>(pixels), 256)), block(256);
  for (const auto kernel : {start_parts, join_parts, measure_parts, find_largest})
    launch(kernel, grid, block, 0, stream, part);
  launch(keep_part, grid, block, 0, stream, part, out.data);
}

}  // namespace rasant
