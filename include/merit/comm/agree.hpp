// What all ranks must have alike before they work together, and how what one fails in fails on all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/concat.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a rank has, by name, such as "batch_size" and "16".
class RankFacts {
 public:
  void add(std::string_view name, std::string_view value) {
    text_.append(name).append(1, '\0').append(value).append(1, '\0');
  }
  /// All of them, as ranks send them each other; for_each() calls f(name, value) for those of such a text.
  const std::string& text() const { return text_; }
  template <class F>
  static void for_each(const std::string& text, const F& f) {
    for (const char *at = text.data(), *end = at + text.size(); at != end;) {
      const std::string_view name(at), value(at + name.size() + 1);
      f(name, value);
      at = value.data() + value.size() + 1;
    }
  }
  static std::string_view value_in(const std::string& text, std::string_view name) {
    std::string_view found = "nothing";
    for_each(text, [&](std::string_view other, std::string_view value) {
      if (other == name) found = value;
    });
    return found;
  }

 private:
  std::string text_;
};

/// Throws ConfigError, on all ranks the same, that names what the first rank that differs from rank 0 has otherwise.
inline void require_same_facts(Comm& comm, const RankFacts& own) {
  if (comm.size() == 1) return;
  const std::vector<std::string> all = gather_texts(comm, own.text());
  for (Index rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    std::string list;
    const auto tell = [&](std::string_view name, std::string_view found, std::string_view expected) {
      if (found != expected)
        list += concat(list.empty() ? "" : ", ", name, " is ", found, " and not ", expected);
    };
    RankFacts::for_each(all[0], [&](std::string_view name, std::string_view expected) {
      tell(name, RankFacts::value_in(all[rank], name), expected);
    });
    RankFacts::for_each(all[rank], [&](std::string_view name, std::string_view found) {
      if (RankFacts::value_in(all[0], name) == "nothing") tell(name, found, "nothing");
    });
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
