// SPDX-License-Identifier: Apache-2.0
// ImageView: a non-owning, row-strided view of an image. The only array type of csrc.
#pragma once
#include <cstddef>
#include <type_traits>

namespace rasant {

template <class T>
struct ImageView {
  T* data = nullptr;
  int height = 0;             // rows
  int width = 0;              // columns
  int channels = 1;           // interleaved values a pixel
  std::ptrdiff_t stride = 0;  // values (not bytes) from one row to the next

  T* row(int y) const { return data + y * stride; }
  T& operator()(int y, int x) const { return row(y)[static_cast<std::ptrdiff_t>(x) * channels]; }
  std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  operator ImageView<const T>() const { return {data, height, width, channels, stride}; }
};

}  // namespace rasant
