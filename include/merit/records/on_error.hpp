// What is done with a record that cannot be read: the reading stops, or goes on and counts it by its reason.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class OnError {
  stop,  // the error is thrown
  skip,  // the record is left out and counted
};

template <>
inline constexpr std::array<std::string_view, 2> enum_names<OnError>{"stop", "skip"};

/// So many records that cannot be read, and none that can, are no file of records but noise without an end.
inline constexpr Index most_unreadable = 10000;

/// The records that could not be read, by reason, each with the first of its kind. Of more than `most` reasons
/// the others are one, so that a file of nothing but noise takes no memory.
class UnreadRecords {
 public:
  struct Reason {
    std::string text;   // without the place
    std::string first;  // with it
    Index count = 0;
  };
  static constexpr Index most = 20;

  /// `error` begins with the place, as those of readers do.
  void add(const SourcePosition& at, std::string_view error) {
    ++count_;
    const std::string place = at.text() + ": ";
    const std::string_view text = error.starts_with(place) ? error.substr(place.size()) : error;
    for (Reason& reason : reasons_) {
      if (reason.text != text) continue;
      ++reason.count;
      return;
    }
    if (reasons_.size() < most) {
      reasons_.push_back({std::string(text), std::string(error), 1});
    } else {
      ++others_;
    }
  }

  Index count() const { return count_; }
  const std::vector<Reason>& reasons() const { return reasons_; }

  /// One line for each reason, none where all was read: "3 records left out: the first is file:7: …".
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const Reason& reason : reasons_) {
      lines.push_back(
          concat(reason.count,
                 reason.count == 1 ? " record left out: " : " records left out, the first: ", reason.first));
    }
    if (others_ != 0) lines.push_back(concat(others_, " more records left out for other reasons"));
    return lines;
  }

 private:
  Index count_ = 0;
  Index others_ = 0;
  std::vector<Reason> reasons_;
};

}  // namespace MERIT_ABI
}  // namespace merit
