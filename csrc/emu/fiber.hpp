// SPDX-License-Identifier: Apache-2.0
// Fiber: a function on a stack of its own, which can stop in the middle and be continued. The switch is hand-written
// for x86-64 (System V) and aarch64; elsewhere, and with RASANT_EMU_UCONTEXT, it is ucontext, about twenty times
// slower.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(RASANT_EMU_UCONTEXT) && !((defined(__x86_64__) || defined(__aarch64__)) && defined(__ELF__))
#define RASANT_EMU_UCONTEXT 1
#endif
#ifdef RASANT_EMU_UCONTEXT
#include <ucontext.h>
#endif

namespace rasant {
namespace emu {

// A stack with a page below it that must not be touched: an overflow ends the process instead of corrupting it.
class Stack {
 public:
  Stack();
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  char* begin() const { return begin_; }
  static constexpr std::size_t size = 256 * 1024;  // touched pages only cost memory

 private:
  char* begin_;
};

class Fiber {
 public:
  using Entry = void (*)();

  // The next resume() starts `entry` from its beginning. It never returns: its last act is a suspend().
  void start(Entry entry);
  // Runs the fiber until it suspends.
  void resume();
  // Gives up what it was doing; only a start() may follow.
  void abandon();
  // Called in the fiber: back to the place of resume().
  void suspend();

 private:
  Stack stack_;
  Entry entry_ = nullptr;
#ifdef RASANT_EMU_UCONTEXT
  ucontext_t own_, caller_;
#else
  void *own_ = nullptr, *caller_ = nullptr;
#endif
  // What AddressSanitizer wants to know of both stacks; unused without it.
  void* own_fake_ = nullptr;
  void* caller_fake_ = nullptr;
  const void* caller_stack_ = nullptr;
  std::size_t caller_size_ = 0;
  friend void first_steps();
};

}  // namespace emu
}  // namespace rasant
