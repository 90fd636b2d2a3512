// Fields that are there and are not read, and records without a prompt: said once, with counts.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/record_kind.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether records of the kind have a field of that name.
bool is_field_of(RecordKind kind, std::string_view name);

/// Counts of what the records of a set have and is not read.
class UnreadFields {
 public:
  /// So many names are told apart, the first: a file whose records have a name each takes no memory.
  static constexpr Index most_fields = 1000;

  /// Counts one record. `also_read` is a field that is read besides those of the kind; empty: none.
  void add(const OrderedJson& record, RecordKind kind, std::string_view also_read = {});

  /// The same of a record to be scored, of whichever kind its fields are; it may well have no prompt, so that this
  /// is said only where another field of some looks like one.
  void add_to_score(const OrderedJson& record);

  /// Fields that are not read, with the number of records that have them (and not as null).
  const std::map<std::string, Index>& fields() const { return fields_; }
  Index records() const { return records_; }
  /// Records of text without a prompt, of kinds that may have none.
  Index without_prompt() const { return without_prompt_; }

  /// A sentence for each of the two, where there is something to say.
  std::vector<std::string> sentences() const;

 private:
  std::map<std::string, Index> fields_;
  std::map<std::string, Index> prompts_;  // what may be the prompt of those without one
  Index records_ = 0;
  Index without_prompt_ = 0;
  bool to_score_ = false;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/unread_fields_body.hpp"
#endif
