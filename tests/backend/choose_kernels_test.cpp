// The choice among kernels for several instruction sets, and what the program says it uses.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <string>

#include "merit/backend/eigen/choose_kernels.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/instruction_set.hpp"

namespace choose_kernels_test {

using namespace merit;
using namespace merit::detail::eigen;

/// Tables that hold no functions: only which of them is chosen is looked at.
const std::array<KernelTable<float>, 3> floats{};
const std::array<KernelTable<double>, 2> doubles{};
const std::array built{KernelTables{InstructionSet::x86_64_v2, &floats[0], &doubles[0]},
                       KernelTables{InstructionSet::x86_64_v3, &floats[1], &doubles[1]},
                       KernelTables{InstructionSet::x86_64_v4, &floats[2], nullptr}};

TEST_CASE("the best kernels that are allowed are chosen, for each type") {
  const KernelTables lowest = choose_kernels(built, InstructionSet::x86_64_v2);
  CHECK(lowest.instruction_set == InstructionSet::x86_64_v2);
  CHECK(lowest.of_float == &floats[0]);
  CHECK(lowest.of_double == &doubles[0]);
  const KernelTables middle = choose_kernels(built, InstructionSet::x86_64_v3);
  CHECK(middle.of_float == &floats[1]);
  CHECK(middle.of_double == &doubles[1]);
  // What has no kernels for double leaves those of the set before it.
  const KernelTables best = choose_kernels(built, InstructionSet::x86_64_v4);
  CHECK(best.instruction_set == InstructionSet::x86_64_v4);
  CHECK(best.of_float == &floats[2]);
  CHECK(best.of_double == &doubles[1]);
  // A set that none is built for: the one below it.
  const std::array few{built[0], built[2]};
  CHECK(choose_kernels(few, InstructionSet::x86_64_v3).of_float == &floats[0]);
  CHECK_THROWS_WITH_AS(
      choose_kernels(built, InstructionSet::baseline),
      "this machine has, or MERIT_INSTRUCTION_SET allows, the instructions of baseline; merit::compiled is "
      "built for x86-64-v2 and better",
      ConfigError);
}

TEST_CASE("MERIT_INSTRUCTION_SET names one that the machine has") {
  CHECK(wanted_instruction_set(nullptr, InstructionSet::x86_64_v3) == InstructionSet::x86_64_v3);
  CHECK(wanted_instruction_set("", InstructionSet::x86_64_v3) == InstructionSet::x86_64_v3);
  CHECK(wanted_instruction_set("x86-64-v2", InstructionSet::x86_64_v3) == InstructionSet::x86_64_v2);
  CHECK(wanted_instruction_set("x86-64-v3", InstructionSet::x86_64_v3) == InstructionSet::x86_64_v3);
  CHECK_THROWS_WITH_AS(
      wanted_instruction_set("x86-64-v4", InstructionSet::x86_64_v3),
      "MERIT_INSTRUCTION_SET is x86-64-v4, which this machine does not have: it has x86-64-v3", ConfigError);
  CHECK_THROWS_WITH_AS(
      wanted_instruction_set("avx2", InstructionSet::x86_64_v3),
      "found MERIT_INSTRUCTION_SET \"avx2\", expected one of: baseline, x86-64-v2, x86-64-v3, "
      "x86-64-v4",
      ConfigError);
}

TEST_CASE("the instruction set in use is one that the machine has") {
  const InstructionSets sets = instruction_set();
  CHECK(sets.used <= sets.available);
  using Set = InstructionSet;
  CHECK(InstructionSets{Set::baseline, Set::x86_64_v3}.much_slower_than_could_be());
  CHECK(InstructionSets{Set::x86_64_v2, Set::x86_64_v4}.much_slower_than_could_be());
  CHECK(!InstructionSets{Set::x86_64_v2, Set::x86_64_v2}.much_slower_than_could_be());
  CHECK(!InstructionSets{Set::x86_64_v3, Set::x86_64_v4}.much_slower_than_could_be());
#ifdef MERIT_COMPILED
  CHECK(sets.used == kernel_tables().instruction_set);
  if (const char* const wanted = std::getenv("MERIT_INSTRUCTION_SET")) CHECK(name_of(sets.used) == wanted);
#else
  CHECK(sets.used == merit::detail::instruction_set_of_unit());
#endif
}

#ifdef MERIT_COMPILED
TEST_CASE("the threads of the library do not depend on the flags of this unit") {
  // One thread was found where the library is built without OpenMP.
  CHECK(EigenBackend<float>::Handle({.threads = 3}).threads() == 3);
}
#endif

}  // namespace choose_kernels_test
