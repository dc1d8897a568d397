// SPDX-License-Identifier: Apache-2.0
// fetch: a small answer in device memory, when the stream has come so far. This is where a call waits for its numbers.
#pragma once
#include <type_traits>

#include "core/device.hpp"

namespace rasant {

template <class T>
T fetch(const T* answer, Stream stream) {
  static_assert(std::is_trivially_copyable_v<T>, "an answer is copied byte by byte");
  T host;
  copy(&host, answer, sizeof(T), stream);
  wait(stream);
  return host;
}

}  // namespace rasant
