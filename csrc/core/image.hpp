// SPDX-License-Identifier: Apache-2.0
// ImageView: a non-owning, row-strided view of an image. The only array type of csrc.
#pragma once
#include <cstddef>
#include <type_traits>

#include "core/hd.hpp"

namespace rasant {

template <class T>
struct ImageView {
  T* data = nullptr;
  int height = 0;             // rows
  int width = 0;              // columns
  int channels = 1;           // interleaved values a pixel
  std::ptrdiff_t stride = 0;  // values (not bytes) from one row to the next

  RASANT_HD T* row(int y) const { return data + y * stride; }
  RASANT_HD T& operator()(int y, int x) const { return row(y)[static_cast<std::ptrdiff_t>(x) * channels]; }
  RASANT_HD std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  // To a view of constants.
  template <class U, class = std::enable_if_t<std::is_same_v<U, const T> && !std::is_same_v<U, T>>>
  operator ImageView<U>() const {
    return {data, height, width, channels, stride};
  }
};

}  // namespace rasant
