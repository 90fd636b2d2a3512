// What all ranks must have alike before they work together, and how what one fails in fails on all.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a rank has, by name, such as {"batch_size", "16"}.
using RankFacts = std::vector<std::pair<std::string, std::string>>;

/// Throws ConfigError, on all ranks the same, that names what the first rank that differs from rank 0 has otherwise.
inline void require_same_facts(Comm& comm, const RankFacts& own) {
  if (comm.size() == 1) return;
  std::string text;
  for (const auto& [name, value] : own) text += concat(name, '\0', value, '\0');
  const std::vector<std::string> all = gather_texts(comm, text);
  const auto facts_of = [](const std::string& joined) {
    RankFacts facts;
    for (std::size_t at = 0; at < joined.size();) {
      const std::size_t middle = joined.find('\0', at), end = joined.find('\0', middle + 1);
      facts.emplace_back(joined.substr(at, middle - at), joined.substr(middle + 1, end - middle - 1));
      at = end + 1;
    }
    return facts;
  };
  for (Index rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    const RankFacts expected = facts_of(all[0]), found = facts_of(all[rank]);
    const auto value_in = [](const RankFacts& facts, const std::string& name) -> std::string {
      for (const auto& [other, value] : facts)
        if (other == name) return value;
      return "nothing";
    };
    RankFacts differences;
    for (const auto& [name, value] : expected)
      if (value_in(found, name) != value) differences.emplace_back(name, value);
    for (const auto& [name, value] : found)
      if (value_in(expected, name) == "nothing") differences.emplace_back(name, "nothing");
    std::string list;
    for (const auto& [name, value] : differences)
      list += concat(list.empty() ? "" : ", ", name, " is ", value_in(found, name), " and not ", value);
    throw ConfigError(concat("ranks: rank ", rank,
                             " differs from rank 0: ", list.empty() ? "the order of what they have" : list,
                             "; expected the same data and options on all"));
  }
}

/// Runs `part`, which each rank does by itself. Where it throws a DataError on some, all throw that of the first of them, so
/// that who catches it goes on on all.
template <class F>
void fail_together(Comm& comm, const F& part) {
  if (comm.size() == 1) return part();
  std::string fault;
  try {
    part();
  } catch (const DataError& error) {
    fault = error.what();
  }
  for (const std::string& one : gather_texts(comm, fault))
    if (!one.empty()) throw DataError(one);
}

}  // namespace MERIT_ABI
}  // namespace merit
