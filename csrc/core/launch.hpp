// SPDX-License-Identifier: Apache-2.0
// The language of a kernel: what nvcc and the emulator (csrc/emu) both implement. A .cu file includes this and nothing
// else of CUDA, and is compiled twice: by nvcc into rasant._native, by the C++ compiler into rasant._emu.
//
//   RASANT_KERNEL void blur(ImageView<const float> in, ImageView<float> out) {
//     RASANT_SHARED(float, tile, 18 * 18);  // at the top of the kernel, reached by every thread
//     ...                                   // threadIdx, blockIdx, blockDim, gridDim
//     gpu::barrier();                       // reached by every live thread of the block, or by none
//   }
//   launch(blur, dim3(...), dim3(16, 16), 0, stream, in, out);
//
// Warps have 32 lanes. Every live lane of a warp takes part in shuffle and ballot. Atomics are on integers only: they
// give the same result in any order, which float addition does not.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"
#include "core/stream.hpp"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define RASANT_KERNEL static __global__
#define RASANT_SHARED(T, name, count) __shared__ T name[count]
#define RASANT_DYNAMIC_SHARED(T, name)                           \
  extern __shared__ __align__(16) unsigned char rasant_shared[]; \
  T* const name = reinterpret_cast<T*>(rasant_shared)

namespace rasant {
namespace gpu {

__device__ inline void barrier() { __syncthreads(); }
template <class T>
__device__ T shuffle(T value, int lane) {
  return __shfl_sync(0xFFFFFFFFu, value, lane);
}
template <class T>
__device__ T shuffle_down(T value, int lanes) {
  return __shfl_down_sync(0xFFFFFFFFu, value, lanes);
}
template <class T>
__device__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
__device__ inline std::uint32_t ballot(bool vote) { return __ballot_sync(0xFFFFFFFFu, vote); }

// 64-bit integers have other names in CUDA than in the C++ library.
template <class T>
struct Atomic {
  using Type = T;
};
template <>
struct Atomic<std::uint64_t> {
  using Type = unsigned long long;
};
template <>
struct Atomic<std::int64_t> {
  using Type = long long;
};
template <class T>
__device__ T atomic_add(T* at, T value) {
  return static_cast<T>(atomicAdd(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value)));
}
template <>
__device__ inline std::int32_t atomic_add(std::int32_t* at, std::int32_t value) {
  return atomicAdd(at, value);
}
template <>
__device__ inline std::uint32_t atomic_add(std::uint32_t* at, std::uint32_t value) {
  return atomicAdd(at, value);
}
template <class T>
__device__ T atomic_min(T* at, T value) {
  using Native = typename Atomic<T>::Type;
  return static_cast<T>(atomicMin(reinterpret_cast<Native*>(at), static_cast<Native>(value)));
}
template <class T>
__device__ T atomic_max(T* at, T value) {
  using Native = typename Atomic<T>::Type;
  return static_cast<T>(atomicMax(reinterpret_cast<Native*>(at), static_cast<Native>(value)));
}
template <class T>
__device__ T atomic_cas(T* at, T expected, T value) {
  using Native = typename Atomic<T>::Type;
  return static_cast<T>(
      atomicCAS(reinterpret_cast<Native*>(at), static_cast<Native>(expected), static_cast<Native>(value)));
}

}  // namespace gpu

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  const cudaError_t status = cudaGetLastError();
  check<DeviceFailure>(status == cudaSuccess, "a kernel could not be started (grid ", grid.x, " x ", grid.y, " x ",
                       grid.z, ", block ", block.x, " x ", block.y, " x ", block.z, "): ", cudaGetErrorString(status));
}

}  // namespace rasant

#else
#include RASANT_LAUNCH  // the emulator's, named by its build
#endif

namespace rasant {

// Blocks of `block` threads that cover `count` items.
constexpr unsigned blocks_for(std::int64_t count, int block) {
  return static_cast<unsigned>((count + block - 1) / block);
}

}  // namespace rasant
