// SPDX-License-Identifier: Apache-2.0
// RASANT_HD marks a function that runs on the host and on the device.
#pragma once

#if defined(__CUDACC__)
#define RASANT_HD __host__ __device__ inline
#else
#define RASANT_HD inline
#endif
