// SPDX-License-Identifier: Apache-2.0
// The execution model of a CUDA grid on fibers, in one host thread.
//
// A thread is READY, waits at a block BARRIER or in a WARP call, or is DONE. Ready threads run in the order of `seed`
// (0: ascending; else a permutation, of blocks too). When none is ready, each warp whose live lanes all wait in the
// same warp call goes on; failing that, the block goes on when all its live threads wait at the barrier; failing that,
// the kernel has a divergent barrier, and run() throws. Shared memory is filled with 0xCD before each block: what a
// kernel reads before it writes is never 0 by accident. Each shared array, and each allocation of device memory, has
// guard bytes around it that are checked after each block and each launch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth) {}
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace rasant {
namespace emu {

// Runs `thread` once for every thread of the grid. One launch at a time in a process.
void run(dim3 grid, dim3 block, std::size_t dynamic_bytes, const std::function<void()>& thread);

// The order of threads and blocks in all launches that follow.
void set_order(std::uint32_t seed);

// The following are called inside a kernel.
void wait_for_block();

enum class WarpCall : std::uint8_t { none, shuffle, shuffle_down, shuffle_xor, ballot, leave };
void wait_for_warp(WarpCall call, std::uint64_t value);
int lane();
std::uint64_t lane_value(int lane);
std::uint32_t warp_votes();

// The arrays of a kernel are told apart by the order in which a thread asks for them.
void* shared_bytes(std::size_t bytes);
void* dynamic_shared();

template <class T>
T* shared_array(std::size_t count) {
  return static_cast<T*>(shared_bytes(count * sizeof(T)));
}

}  // namespace emu
}  // namespace rasant
