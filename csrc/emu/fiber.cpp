// SPDX-License-Identifier: Apache-2.0
#include "emu/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef RASANT_EMU_UCONTEXT
// switch(save, load): pushes what a function call must preserve, leaves its stack pointer in *save, continues on
// `load`.
extern "C" void rasant_fiber_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl rasant_fiber_switch
.hidden rasant_fiber_switch
.type rasant_fiber_switch, @function
rasant_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rasant_fiber_switch, . - rasant_fiber_switch
)");
#else
asm(R"(
.text
.globl rasant_fiber_switch
.hidden rasant_fiber_switch
.type rasant_fiber_switch, %function
rasant_fiber_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size rasant_fiber_switch, . - rasant_fiber_switch
)");
#endif
#endif

namespace rasant {
namespace emu {
namespace {

thread_local Fiber* starting = nullptr;  // the fiber that resume() enters for the first time

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

#if defined(__SANITIZE_ADDRESS__)
void leave(void** fake, const void* stack, std::size_t size) { __sanitizer_start_switch_fiber(fake, stack, size); }
void arrive(void* fake, const void** stack, std::size_t* size) { __sanitizer_finish_switch_fiber(fake, stack, size); }
#else
void leave(void**, const void*, std::size_t) {}
void arrive(void*, const void**, std::size_t*) {}
#endif

}  // namespace

Stack::Stack() {
  void* memory =
      mmap(nullptr, size + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page(), PROT_NONE);
  begin_ = static_cast<char*>(memory) + page();
}

Stack::~Stack() { munmap(begin_ - page(), size + page()); }

// The first frame of a fiber.
void first_steps() {
  Fiber* const self = starting;
  arrive(nullptr, &self->caller_stack_, &self->caller_size_);
  self->entry_();
}

// Frames that are left in the middle never take their red zones away.
void Fiber::abandon() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack_.begin(), Stack::size);
#endif
}

#ifdef RASANT_EMU_UCONTEXT

void Fiber::start(Entry entry) {
  entry_ = entry;
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_.begin();
  own_.uc_stack.ss_size = Stack::size;
  own_.uc_link = nullptr;
  makecontext(&own_, first_steps, 0);
}

void Fiber::resume() {
  starting = this;
  leave(&caller_fake_, stack_.begin(), Stack::size);
  swapcontext(&caller_, &own_);
  arrive(caller_fake_, nullptr, nullptr);
}

void Fiber::suspend() {
  leave(&own_fake_, caller_stack_, caller_size_);
  swapcontext(&own_, &caller_);
  arrive(own_fake_, &caller_stack_, &caller_size_);
}

#else

void Fiber::start(Entry entry) {
  entry_ = entry;
  void** top = reinterpret_cast<void**>(stack_.begin() + Stack::size);
#if defined(__x86_64__)
  *--top = nullptr;  // where first_steps would return to; also aligns its frame
  *--top = reinterpret_cast<void*>(&first_steps);
  for (int k = 0; k < 6; ++k) *--top = nullptr;
#else
  for (int k = 0; k < 20; ++k) *--top = nullptr;
  top[11] = reinterpret_cast<void*>(&first_steps);  // x30, where the switch returns to
#endif
  own_ = top;
}

void Fiber::resume() {
  starting = this;
  leave(&caller_fake_, stack_.begin(), Stack::size);
  rasant_fiber_switch(&caller_, own_);
  arrive(caller_fake_, nullptr, nullptr);
}

void Fiber::suspend() {
  leave(&own_fake_, caller_stack_, caller_size_);
  rasant_fiber_switch(&own_, caller_);
  arrive(own_fake_, &caller_stack_, &caller_size_);
}

#endif

}  // namespace emu
}  // namespace rasant
