// Counts what a program asks of the system's memory, on all threads, by taking the place of malloc. One unit of
// an executable may include this. With a BLAS that has threads of its own, set OPENBLAS_NUM_THREADS=1, as ctest
// does: such threads ask for memory at each large product.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "sanitized.hpp"
#include "stored.hpp"

#if defined(__GLIBC__) && !MERIT_TEST_SANITIZED
#define MERIT_TEST_COUNTS_ALLOCATIONS 1
#else
#define MERIT_TEST_COUNTS_ALLOCATIONS 0
#endif

namespace merit_test {

inline std::atomic<long> allocations = 0;

/// Allocations while `action` runs.
template <class Action>
long counted(Action action) {
  const long before = allocations.load();
  action();
  return allocations.load() - before;
}

/// True if allocations are counted here; says so otherwise.
inline bool can_count() {
  if (MERIT_TEST_COUNTS_ALLOCATIONS != 0) return true;
  say_skipped("allocations cannot be counted under the sanitizers");
  return false;
}

}  // namespace merit_test

#if MERIT_TEST_COUNTS_ALLOCATIONS
// glibc's own allocator under its other names. operator new comes through here too.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) noexcept {
  ++merit_test::allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  ++merit_test::allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* block, size_t size) noexcept {
  ++merit_test::allocations;
  return __libc_realloc(block, size);
}
void* memalign(size_t alignment, size_t size) noexcept {
  ++merit_test::allocations;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  ++merit_test::allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  ++merit_test::allocations;
  void* const result = __libc_memalign(alignment, size);
  if (result == nullptr) return ENOMEM;
  *block = result;
  return 0;
}
void free(void* block) noexcept {
  __libc_free(block);
}
}
#endif
