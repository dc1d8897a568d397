// SPDX-License-Identifier: Apache-2.0
// Kernels with a fault that the emulator has to find, and the same kernels without it.
#include "core/launch.hpp"
#include "emu/trial.hpp"

namespace rasant {
namespace emu {
namespace {

constexpr int threads = 64;

// out[k] = in[k + 1], cyclic in a block, by way of shared memory.
RASANT_KERNEL void rotate(const std::int32_t* in, std::int32_t* out, bool with_barrier) {
  RASANT_SHARED(std::int32_t, tile, threads);
  const unsigned k = blockIdx.x * threads + threadIdx.x;
  tile[threadIdx.x] = in[k];
  if (with_barrier) gpu::barrier();
  out[k] = tile[(threadIdx.x + 1) % threads];
}

RASANT_KERNEL void write_at(std::int32_t* out, std::int64_t at) {
  if (threadIdx.x == 0) out[at] = 1;
}

RASANT_KERNEL void write_shared_at(int at) {
  RASANT_SHARED(std::int32_t, tile, threads);
  if (threadIdx.x == 0) tile[at] = 1;
}

// Half of the threads wait for the block while the others wait for their warp, which never completes.
RASANT_KERNEL void diverge(std::int32_t* out) {
  std::int32_t value = static_cast<std::int32_t>(threadIdx.x);
  if (threadIdx.x % 2 == 0) {
    gpu::barrier();
  } else {
    value = gpu::shuffle_down(value, 1);
  }
  out[threadIdx.x] = value;
}

// Sum of a warp by shuffles, its votes, and the largest value of the block.
RASANT_KERNEL void warp_calls(const std::int32_t* in, std::int32_t* sums, std::uint32_t* votes, std::int32_t* largest) {
  const unsigned k = threadIdx.x;
  std::int32_t sum = in[k];
  for (int step = 16; step > 0; step /= 2) sum += gpu::shuffle_xor(sum, step);
  sums[k] = gpu::shuffle(sum, 0);
  votes[k] = gpu::ballot(in[k] > 0);
  gpu::atomic_max(largest, in[k]);
}

}  // namespace

void rotate_blocks(const std::int32_t* in, std::int32_t* out, int blocks, bool with_barrier, Stream stream) {
  launch(rotate, dim3(static_cast<unsigned>(blocks)), dim3(threads), 0, stream, in, out, with_barrier);
}

void write_outside(std::int32_t* out, std::int64_t at, Stream stream) {
  launch(write_at, dim3(1), dim3(threads), 0, stream, out, at);
}

void write_outside_shared(int at, Stream stream) { launch(write_shared_at, dim3(1), dim3(threads), 0, stream, at); }

void diverge_at_a_barrier(std::int32_t* out, Stream stream) { launch(diverge, dim3(1), dim3(threads), 0, stream, out); }

void call_warps(const std::int32_t* in, std::int32_t* sums, std::uint32_t* votes, std::int32_t* largest, int count,
                Stream stream) {
  launch(warp_calls, dim3(1), dim3(static_cast<unsigned>(count)), 0, stream, in, sums, votes, largest);
}

}  // namespace emu
}  // namespace rasant
