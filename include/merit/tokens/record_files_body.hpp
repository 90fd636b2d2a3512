// The bodies of record_files.hpp.
#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <span>
#include <variant>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/record_source.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/record_files.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE RecordKind detect_record_kind(const std::filesystem::path& path,
                                           const RecordSourceOptions& source) {
  RecordSource lines(path.string(), source);
  const std::optional<OrderedJson> object = lines.next();
  if (!object) throw DataError(lines.no_record());
  if (const auto kind = kind_of(*object)) return *kind;
  detail::throw_found(lines.position(), "record",
                      concat("the fields ", detail::names_of_fields(*object), ", of no kind"),
                      "those of one of: " + list_of_names<RecordKind>());
}

MERIT_INLINE StepScale detect_step_scale(std::span<const std::filesystem::path> paths,
                                         const RecordSourceOptions& source) {
  struct Place {
    SourcePosition source;
    Index step = 0;
    double number = 0;
  };
  std::optional<Place> minus_one;
  std::optional<Place> fraction;
  for (const std::filesystem::path& path : paths) {
    StepsReader reader(path, {}, source);
    const auto next = [&]() -> std::optional<StepsRecord> {
      while (true) {
        try {
          return reader.next();
        } catch (const DataError&) {
          if (source.on_error == OnError::stop) throw;
        }
      }
    };
    while (const auto record = next()) {
      for (Index i = 0; i < record->labels.size(); ++i) {
        const auto* number = std::get_if<double>(&record->labels[i]);
        if (number == nullptr) continue;
        if (!minus_one && *number == -1) minus_one = Place{record->source, i, *number};
        if (!fraction && *number != std::floor(*number)) fraction = Place{record->source, i, *number};
      }
      if (minus_one && fraction) {
        detail::throw_found(
            minus_one->source, concat("field 'labels[", minus_one->step, "]'"), "-1, of step scale ternary",
            concat("numbers of one scale, but ", fraction->source.text(), " has ", fraction->number,
                   " in 'labels[", fraction->step, "]', of step scale binary"));
      }
    }
  }
  return minus_one ? StepScale::ternary : StepScale::binary;
}

}  // namespace MERIT_ABI
}  // namespace merit
