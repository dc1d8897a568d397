// SPDX-License-Identifier: Apache-2.0
// RASANT_VECTOR compiles a function once for each vector width and picks one at load time, from one source.
// Every clone gives the same bits: contraction is off, so only order-preserving vectorisation is left.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__ELF__) && \
    !defined(__SANITIZE_ADDRESS__)
#define RASANT_CLONES 1
#define RASANT_VECTOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RASANT_CLONES 0
#define RASANT_VECTOR
#endif
// A callee is only vectorised with its clone when it is inlined into it.
#define RASANT_INLINE inline __attribute__((always_inline))

namespace rasant {

struct Pair { float left, right; };

// Two neighbours in one 64-bit load: half as many gathers, which are slow. Little-endian hosts.
RASANT_INLINE Pair load_pair(const float* at) {
  std::uint64_t bits;
  std::memcpy(&bits, at, sizeof bits);
  const auto low = static_cast<std::uint32_t>(bits), high = static_cast<std::uint32_t>(bits >> 32);
  Pair pair;
  std::memcpy(&pair.left, &low, sizeof low);
  std::memcpy(&pair.right, &high, sizeof high);
  return pair;
}

// Begins to load the cache lines of `bytes` bytes, for use some thousand cycles later. A hint; never faults.
RASANT_INLINE void load_ahead(const void* at, int bytes) {
#if defined(__GNUC__)
  for (int k = 0; k < bytes; k += 64) __builtin_prefetch(static_cast<const char*>(at) + k);
#else
  (void)at, (void)bytes;
#endif
}

}  // namespace rasant
