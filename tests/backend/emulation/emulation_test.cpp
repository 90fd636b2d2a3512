// The emulation itself: each thing that a kernel may not do is an error where it is done.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "backend/emulation/machine.hpp"

namespace emulation_test {

using namespace merit_test;

/// A kernel from a function of (block, array), in two blocks of 64 threads with 64 floats of shared memory.
template <class F>
struct Small {
  F body;
  float* array;  // (128)

  static constexpr int most_threads = 64;
  Grid grid() const { return {.columns = 2, .threads = most_threads, .shared_bytes = 64 * sizeof(float)}; }
  template <class Block>
  void operator()(Block& block) const {
    body(block, array);
  }
};

/// What the emulation says of it, or nothing.
template <class F>
std::string complaint(const F& body) {
  Array<float> array(1, 128, List(128, 1.0), 4);
  try {
    emulate(Small<F>{body, array.data()});
  } catch (const EmulationError& error) {
    return error.what();
  }
  return "";
}

bool says(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

/// Index of this thread's own element.
Index own(EmulatedBlock& block) {
  return block.column() * 64 + static_cast<Index>(block.thread());
}

TEST_CASE("the emulator lets a right kernel run") {
  Array<float> array(1, 128, List(128, 1.0), 4);
  const auto body = [](EmulatedBlock& block, float* a) {
    const auto shared = block.shared<float>(0, 64);
    shared.set(block.thread(), block.load(a + own(block)) + static_cast<float>(block.thread()));
    block.sync();
    const float other = shared.get(63 - block.thread());
    block.store(a + own(block), other + sum_over_warp(block, 1.0f));
  };
  emulate(Small<decltype(body)>{body, array.data()});
  for (Index i = 0; i < 128; ++i) CHECK(array.values()[i] == 1.0 + 63.0 - static_cast<double>(i % 64) + 32.0);
}

TEST_CASE("the emulator finds races") {
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               const auto shared = block.shared<float>(0, 64);
               shared.set(block.thread(), 1.0f);
               (void)shared.get(63 - block.thread());
             }),
             "reads what"));
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               block.shared<float>(0, 64).set(block.thread() / 2, 1.0f);
             }),
             "writes what another thread writes"));
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               const auto shared = block.shared<float>(0, 64);
               shared.set(block.thread(), 1.0f);
               block.sync();
               (void)shared.get((block.thread() + 1) % 64);
               shared.set(block.thread(), 2.0f);
             }),
             "writes what another thread reads"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) { block.store(a + block.thread(), 1.0f); }),
             "thread 0 of block 1, 0 writes what another thread writes"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               if (block.column() == 0) (void)block.load(a + 64 + block.thread());
               if (block.column() == 1) block.store(a + own(block), 1.0f);
             }),
             "writes what another thread reads"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               if (block.column() == 0) block.store(a + own(block), 1.0f);
               if (block.column() == 1) (void)block.load(a + block.thread());
             }),
             "reads what another thread writes"));
}

TEST_CASE("the emulator finds what nobody wrote, in every block anew") {
  CHECK(says(
      complaint([](EmulatedBlock& block, float*) { (void)block.shared<float>(0, 64).get(block.thread()); }),
      "block 0, 0 reads what nobody wrote"));
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               const auto shared = block.shared<float>(0, 64);
               if (block.column() == 0) shared.set(block.thread(), 1.0f);
               (void)shared.get(block.thread());
             }),
             "block 1, 0 reads what nobody wrote"));
}

TEST_CASE("the emulator finds accesses outside of arrays") {
  CHECK(says(
      complaint([](EmulatedBlock& block, float*) { block.shared<float>(0, 32).set(block.thread(), 1.0f); }),
      "thread 32 of block 0, 0 goes outside"));
  CHECK(says(complaint([](EmulatedBlock& block, float*) { (void)block.shared<float>(4, 64); }),
             "more shared memory"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) { block.store(a + own(block) + 1, 1.0f); }),
             "writes outside of an array"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) { (void)block.load(a - 1 - block.thread()); }),
             "reads outside of an array"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) { (void)block.load(a + 1000 + block.thread()); }),
             "no memory of the machine"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               (void)block.load_pack(a + 1 + 4 * block.thread() % 64);
             }),
             "aligned"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               block.copy_async(block.shared<float>(0, 64), 1, static_cast<const float*>(a));
             }),
             "aligned"));
}

TEST_CASE("the emulator finds threads that do not meet") {
  // Two lines of the source: to a macro's argument they would be one.
  const auto two_barriers = [](EmulatedBlock& block, float*) {
    if (block.thread() < 32) {
      block.sync();
    } else {
      block.sync();
    }
  };
  CHECK(says(complaint(two_barriers), " while thread 0 waits at "));
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               if (block.thread() != 40) block.sync();
             }),
             "waits for ever"));
  CHECK(says(complaint([](EmulatedBlock& block, float*) {
               if (block.thread() != 40) (void)block.exchange(1.0f, 1);
             }),
             "waits for ever"));
  const auto two_exchanges = [](EmulatedBlock& block, float*) {
    if (block.thread() % 2 == 0) {
      (void)block.exchange(1.0f, 1);
    } else {
      (void)block.exchange(1.0f, 1);
    }
  };
  CHECK(says(complaint(two_exchanges), "while another of it asks at"));
}

TEST_CASE("the emulator finds copies that were not waited for") {
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               const auto shared = block.shared<float>(0, 64);
               if (block.thread() < 16)
                 block.copy_async(shared, 4 * block.thread(),
                                  static_cast<const float*>(a) + 4 * block.thread());
               block.commit_async();
               block.sync();
               (void)shared.get(block.thread());
               block.wait_async<0>();
             }),
             "still being copied"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               const auto shared = block.shared<float>(0, 64);
               if (block.thread() < 16)
                 block.copy_async(shared, 4 * block.thread(),
                                  static_cast<const float*>(a) + 4 * block.thread());
               block.commit_async();
               block.wait_async<0>();
               (void)shared.get(63 - block.thread());
             }),
             "reads what"));
  CHECK(says(complaint([](EmulatedBlock& block, float* a) {
               const auto shared = block.shared<float>(0, 64);
               if (block.thread() == 0) block.copy_async(shared, 0, static_cast<const float*>(a));
               block.commit_async();
             }),
             "ends while it copies"));
  CHECK(complaint([](EmulatedBlock& block, float* a) {
          const auto shared = block.shared<float>(0, 64);
          if (block.thread() < 16)
            block.copy_async(shared, 4 * block.thread(), static_cast<const float*>(a) + 4 * block.thread());
          block.commit_async();
          block.commit_async();
          block.wait_async<1>();
          block.sync();
          if (shared.get(63 - block.thread()) != 1.0f) throw EmulationError("copied something else");
        }) == "");
}

}  // namespace emulation_test
