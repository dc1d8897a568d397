// SPDX-License-Identifier: Apache-2.0
// The language of core/launch.hpp without a GPU: each thread of a block is a fiber, blocks run one after the other.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/error.hpp"
#include "core/stream.hpp"
#include "emu/block.hpp"
#include "emu/runtime.hpp"

#define RASANT_KERNEL static
#define RASANT_SHARED(T, name, count) T* const name = ::rasant::emu::shared_array<T>(count)
#define RASANT_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(::rasant::emu::dynamic_shared())

namespace rasant {
namespace gpu {

inline void barrier() { emu::wait_for_block(); }

// The value that lane `from(own lane)` brought; the own one where there is no such lane, as on the hardware.
template <class T, class From>
T exchange(T value, emu::WarpCall call, const From& from) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "a shuffle moves numbers of at most 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  emu::wait_for_warp(call, bits);
  const std::uint64_t other = emu::lane_value(from(emu::lane()));
  std::memcpy(&value, &other, sizeof(T));
  emu::wait_for_warp(emu::WarpCall::leave, bits);
  return value;
}

template <class T>
T shuffle(T value, int lane) {
  return exchange(value, emu::WarpCall::shuffle, [lane](int) { return lane & 31; });
}
template <class T>
T shuffle_down(T value, int lanes) {
  return exchange(value, emu::WarpCall::shuffle_down,
                  [lanes](int own) { return own + lanes < 32 ? own + lanes : own; });
}
template <class T>
T shuffle_xor(T value, int mask) {
  return exchange(value, emu::WarpCall::shuffle_xor, [mask](int own) { return (own ^ mask) & 31; });
}
inline std::uint32_t ballot(bool vote) {
  emu::wait_for_warp(emu::WarpCall::ballot, vote ? 1 : 0);
  const std::uint32_t votes = emu::warp_votes();
  emu::wait_for_warp(emu::WarpCall::leave, vote ? 1 : 0);
  return votes;
}

// Fibers do not interrupt each other: an atomic is a plain read and write.
template <class T>
T atomic_add(T* at, T value) {
  const T before = *at;
  *at = static_cast<T>(before + value);
  return before;
}
template <class T>
T atomic_min(T* at, T value) {
  const T before = *at;
  *at = value < before ? value : before;
  return before;
}
template <class T>
T atomic_max(T* at, T value) {
  const T before = *at;
  *at = value > before ? value : before;
  return before;
}
template <class T>
T atomic_cas(T* at, T expected, T value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}

}  // namespace gpu

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream,
            const Arguments&... arguments) {
  emu::run(grid, block, shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
}

}  // namespace rasant
