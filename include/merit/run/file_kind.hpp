// What files are, by their first record: records of a kind, or a published benchmark.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/kind_names.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Files of records of one kind, or of one benchmark.
struct FileKind {
  std::optional<BenchmarkLayout> layout;
  RecordKind kind = RecordKind::preference;

  friend bool operator==(const FileKind&, const FileKind&) = default;
  std::string text() const {
    return layout ? "the layout " + std::string(name_of(*layout)) : "the kind " + name_of_kind(kind);
  }
};

/// What the first record of a file is. Throws DataError for one of no kind.
FileKind kind_of_file(const std::string& file, const RecordSourceOptions& source = {});

/// The same of several files, which must be alike.
FileKind kind_of_files(const std::vector<std::string>& files, const RecordSourceOptions& source = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/file_kind_body.hpp"
#endif
