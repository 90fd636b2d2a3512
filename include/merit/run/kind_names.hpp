// The kinds of records by the names that users give them, and which form goes with which backbone.
#pragma once

#include <string>

#include "merit/core/error.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The kind that a name means: those of records, and "value" for rollouts. Throws ConfigError; `where` says
/// where the name stands.
inline RecordKind kind_named(const std::string& name, const std::string& where = "--kind") {
  if (name == "value") return RecordKind::rollout;
  if (const auto kind = value_named<RecordKind>(name)) return *kind;
  throw ConfigError(where + " is \"" + name +
                    "\", expected one of: preference, ranking, ratings, outcome, steps, value, judge");
}

/// "preference", …, "value".
inline std::string name_of_kind(RecordKind kind) {
  return kind == RecordKind::rollout ? "value" : std::string(name_of(kind));
}

/// Features belong to the features backbone, text and ids to the others. Throws DataError with file and line.
inline void check_form(RecordForm form, bool wants_features, const SourcePosition& at) {
  const bool has_features = form == RecordForm::features;
  if (has_features == wants_features) return;
  throw DataError(concat(at.text(), ": found ", has_features ? "feature vectors" : "text or ids",
                         ", expected ",
                         has_features ? "text or ids: feature vectors are for the backbone features"
                                      : "feature vectors, which is what the backbone features reads"));
}

}  // namespace MERIT_ABI
}  // namespace merit
