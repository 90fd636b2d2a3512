// A thread of control with a stack of its own, which is entered and left by hand: so hundreds of them run one after the
// other on one thread of the system, and each stops exactly where it says so.
#pragma once

#include <ucontext.h>

#include <csetjmp>
#include <functional>
#include <memory>
#include <utility>

namespace merit_test {

class Fibre {
 public:
  /// Makes it ready to run `body` from its beginning. What it was doing before is forgotten, without destructors.
  void begin(std::function<void()> body) {
    body_ = std::move(body);
    begun_ = done_ = false;
  }

  bool done() const { return done_; }

  /// Runs it until it leaves or its body ends. The body must not throw.
  [[gnu::noinline]] void enter() {
    // A jump costs a twentieth of swapcontext(), which asks the system to keep a mask of signals: that makes the stack
    // alone.
    if (_setjmp(outside_) != 0) return;
    if (begun_) _longjmp(inside_, 1);
    begun_ = true;
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_.get();
    context_.uc_stack.ss_size = stack_bytes;
    context_.uc_link = nullptr;
    entered() = this;
    makecontext(&context_, &Fibre::run, 0);
    setcontext(&context_);
  }

  /// Called within it: goes back to whoever entered it.
  [[gnu::noinline]] void leave() {
    if (_setjmp(inside_) == 0) _longjmp(outside_, 1);
  }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;

  static Fibre*& entered() {
    static Fibre* fibre = nullptr;
    return fibre;
  }
  static void run() {
    Fibre* const self = entered();
    self->body_();
    self->done_ = true;
    _longjmp(self->outside_, 1);
  }

  std::function<void()> body_;
  std::unique_ptr<char[]> stack_{new char[stack_bytes]};
  ucontext_t context_;
  std::jmp_buf inside_, outside_;
  bool begun_ = false, done_ = true;
};

}  // namespace merit_test
