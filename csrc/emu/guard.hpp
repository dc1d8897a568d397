// SPDX-License-Identifier: Apache-2.0
// Guarded: memory with a pattern before and behind it, so that a write outside is found without a sanitizer, and at the
// very instruction with AddressSanitizer.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace rasant {
namespace emu {

class Guarded {
 public:
  static constexpr std::size_t width = 256;  // of a guard; keeps the alignment of device memory
  static constexpr unsigned char poison = 0xCD, guard = 0xFD;

  explicit Guarded(std::size_t bytes) : bytes_(bytes) {
    memory_ = static_cast<unsigned char*>(std::aligned_alloc(width, 2 * width + (bytes + width - 1) / width * width));
    if (memory_ == nullptr) throw std::bad_alloc();
    seal();
    fill();
    protect(true);
  }
  ~Guarded() {
    protect(false);
    std::free(memory_);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  unsigned char* data() const { return memory_ + width; }
  std::size_t bytes() const { return bytes_; }
  void fill() { std::memset(data(), poison, bytes_); }

  // Offset of the first guard byte that was written, as seen from data(); `bytes() + width` where none was.
  // The guards are whole again afterwards, so that one fault is told once.
  std::ptrdiff_t damage() {
    protect(false);
    std::ptrdiff_t found = intact();
    for (std::ptrdiff_t k = -static_cast<std::ptrdiff_t>(width); k < 0 && found == intact(); ++k)
      if (data()[k] != guard) found = k;
    for (std::size_t k = bytes_; k < bytes_ + width && found == intact(); ++k)
      if (data()[k] != guard) found = static_cast<std::ptrdiff_t>(k);
    if (found != intact()) seal();
    protect(true);
    return found;
  }
  std::ptrdiff_t intact() const { return static_cast<std::ptrdiff_t>(bytes_ + width); }

 private:
  void seal() {
    std::memset(memory_, guard, width);
    std::memset(data() + bytes_, guard, width);
  }
  void protect([[maybe_unused]] bool on) const {
#if defined(__SANITIZE_ADDRESS__)
    if (on) {
      ASAN_POISON_MEMORY_REGION(memory_, width);
      ASAN_POISON_MEMORY_REGION(data() + bytes_, width);
    } else {
      ASAN_UNPOISON_MEMORY_REGION(memory_, width);
      ASAN_UNPOISON_MEMORY_REGION(data() + bytes_, width);
    }
#endif
  }

  unsigned char* memory_;
  std::size_t bytes_;
};

}  // namespace emu
}  // namespace rasant
