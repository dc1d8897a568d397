// SPDX-License-Identifier: Apache-2.0
// Stream: the order in which a device works. An opaque pointer, the runtime's own, so that a stream of another library
// can be passed in; nullptr is the default stream.
#pragma once

struct CUstream_st;

namespace rasant {

using Stream = CUstream_st*;

}  // namespace rasant
