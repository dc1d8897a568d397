// SPDX-License-Identifier: Apache-2.0
// What the tests of the emulator launch: kernels with and without a fault.
#pragma once
#include <cstdint>

#include "core/stream.hpp"

namespace rasant {
namespace emu {

// out[k] = in[k + 1], cyclic in blocks of 64; without the barrier it reads what another thread may not have written
// yet.
void rotate_blocks(const std::int32_t* in, std::int32_t* out, int blocks, bool with_barrier, Stream stream);
// One write at index `at` of `out`, wherever that is.
void write_outside(std::int32_t* out, std::int64_t at, Stream stream);
// The same in a shared array of 64 integers.
void write_outside_shared(int at, Stream stream);
// A barrier that half of the threads never reach.
void diverge_at_a_barrier(std::int32_t* out, Stream stream);
// For one block of `count` threads: the sum of each warp, the votes of each warp for in > 0, and the largest value.
void call_warps(const std::int32_t* in, std::int32_t* sums, std::uint32_t* votes, std::int32_t* largest, int count,
                Stream stream);

}  // namespace emu
}  // namespace rasant
