// SPDX-License-Identifier: Apache-2.0
// A stack of captures, as the structured-light operations take it.
#pragma once
#include "bindings/arrays.hpp"

namespace rasant {

// (N, H, W) uint8 as one image of N H rows.
inline ImageView<const std::uint8_t> stack(const Array& captures) {
  require<std::uint8_t>(captures, "captures", 3);
  const auto rows = captures.shape(0) * captures.shape(1);
  check<BadShape>(rows < (1 << 30), "captures have too many rows: ", describe(captures));
  return {static_cast<const std::uint8_t*>(captures.data()), static_cast<int>(rows),
          static_cast<int>(captures.shape(2)), 1, captures.shape(2)};
}

}  // namespace rasant
