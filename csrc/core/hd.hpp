// SPDX-License-Identifier: Apache-2.0
// RASANT_HD marks a function that runs on the host and on the device.
#pragma once

#if defined(__CUDACC__)
#define RASANT_HD __host__ __device__ inline
#elif defined(__GNUC__)
// Always inlined, so that a loop over pixels takes it along into each of its vector clones (core/vector.hpp).
#define RASANT_HD inline __attribute__((always_inline))
#else
#define RASANT_HD inline
#endif
