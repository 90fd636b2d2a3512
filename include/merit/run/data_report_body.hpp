// The bodies of data_report.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/view.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/json.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/split_key.hpp"
#include "merit/records/unread_fields.hpp"
#include "merit/run/data_report.hpp"
#include "merit/run/file_kind.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/record_set.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::data_report {

/// Two hashes, so that records are told apart in little memory.
struct Key {
  std::uint64_t a = 0, b = 0;
  friend bool operator==(const Key&, const Key&) = default;
};
struct KeyHash {
  std::size_t operator()(const Key& key) const { return static_cast<std::size_t>(key.a ^ key.b << 1); }
};
inline Key key_of(const std::string& text) {
  return {fnv1a(text), fnv1a(text + '\x01')};
}
using Keys = std::unordered_set<Key, KeyHash>;

// ---- Completions and verdicts of each kind ---

inline void add_text(const std::optional<TextOrMessages>& text, TextLengths& lengths) {
  if (text) lengths.add(plain_text(text).size());
}

inline void add(const PreferenceRecord& record, FileReport& report) {
  add_text(record.chosen, report.completion);
  add_text(record.rejected, report.completion);
  const double p = record.soft_label.value_or(1);
  ++report.balance[p == 1 ? "chosen is better" : p == 0.5 ? "tie" : "soft label"];
  const auto length = [](const TextOrMessages& text) { return plain_text(text).size(); };
  if (record.form == RecordForm::text && length(record.chosen) > length(record.rejected)) {
    ++report.balance["the longer one is chosen"];
  }
}
inline void add(const JudgeRecord& record, FileReport& report) {
  add_text(record.response_a, report.completion);
  add_text(record.response_b, report.completion);
  const double share = share_for_a(record);
  ++report.balance[share == 0.5 ? "tie" : share > 0.5 ? "a is better" : "b is better"];
}
inline void add(const CompletionsRecord& record, FileReport& report) {
  for (const TextOrMessages& text : record.completions) add_text(text, report.completion);
  ++report.balance[concat(record.size(), record.size() == 1 ? " completion" : " completions")];
}
inline void add(const OutcomeRecord& record, FileReport& report) {
  add_text(record.completion, report.completion);
  ++report.balance[record.label == 1 ? "right" : record.label == 0 ? "wrong" : "between"];
}
inline void add(const RolloutRecord& record, FileReport& report) {
  add_text(record.completion, report.completion);
  ++report.balance[record.reward ? "one reward" : "a reward for each token"];
}
inline std::string name_of_label(const WrittenStepLabel& label) {
  if (std::holds_alternative<std::monostate>(label)) return "no label";
  if (const auto* is = std::get_if<bool>(&label)) return *is ? "step true" : "step false";
  if (const auto* number = std::get_if<double>(&label)) {
    return *number == -1 || *number == 0 || *number == 1 ? concat("step ", *number) : "step between 0 and 1";
  }
  return "step with probabilities";
}
inline void add(const StepsRecord& record, FileReport& report) {
  for (const std::string& step : record.completions) report.completion.add(step.size());
  for (const WrittenStepLabel& label : record.labels) ++report.balance[name_of_label(label)];
}

template <class Record>
void add_record(const OrderedJson& object, const SourcePosition& at, FileReport& report, Keys& prompts) {
  const Record record = merit::detail::parsed_record<Record>(object, at);
  prompts.insert(key_of(split_key(record)));
  add_text(record.prompt, report.prompt);
  add(record, report);
}

inline void add_record(RecordKind kind, const OrderedJson& object, const SourcePosition& at,
                       FileReport& report, Keys& prompts) {
  switch (kind) {
    case RecordKind::preference: return add_record<PreferenceRecord>(object, at, report, prompts);
    case RecordKind::ranking: return add_record<RankingRecord>(object, at, report, prompts);
    case RecordKind::ratings: return add_record<RatingsRecord>(object, at, report, prompts);
    case RecordKind::outcome: return add_record<OutcomeRecord>(object, at, report, prompts);
    case RecordKind::steps: return add_record<StepsRecord>(object, at, report, prompts);
    case RecordKind::judge: return add_record<JudgeRecord>(object, at, report, prompts);
    case RecordKind::rollout: return add_record<RolloutRecord>(object, at, report, prompts);
  }
}

inline FileReport report_on(const std::string& file, const RecordSourceOptions& options, Keys& prompts,
                            const std::function<void(const OrderedJson&)>& each) {
  FileReport report{.file = weighted_file(file).path};
  const FileKind what = kind_of_file(file, options);
  if (what.layout) {
    throw DataError(report.file + ": found " + what.text() +
                    ", a benchmark, which is to be evaluated on (merit_evaluate) and not to be trained on");
  }
  report.kind = what.kind;
  RecordSource source(file, options);
  Keys records;
  UnreadFields unread;
  Index last_bad = 0;  // the number of that row: several records of it are one row
  while (true) {
    try {
      const std::optional<OrderedJson> object = source.next();
      if (!object) break;
      unread.add(*object, report.kind);
      if (!records.insert(key_of(object->dump())).second) ++report.duplicates;
      add_record(report.kind, *object, source.position(), report, prompts);
      ++report.records;
      if (each) each(*object);
    } catch (const DataError& error) {
      if (report.bad == 0) report.first_error = error.what();
      report.bad += source.rows() != last_bad ? 1 : 0;
      last_bad = source.rows();
      if (report.bad >= most_unreadable) throw;
    }
  }
  report.prompts = prompts.size();
  if (const auto layout = source.layout()) report.layout = name_of(*layout);
  report.left_out = source.left_out();
  report.not_selected = source.not_selected();
  report.read = source.rows();
  report.kept = report.read - report.bad - report.not_selected;
  for (const auto& [reason, count] : report.left_out) report.kept -= count;
  report.remarks = source.remarks();
  for (Index i = 0; i < source.renamed().size(); ++i) {
    if (source.renamed()[i] != 0) continue;
    const auto& [from, to] = options.rename[i];
    report.remarks.push_back(concat("--rename ", from, '=', to, ": no record has the field ", quote(from)));
  }
  for (const std::string& sentence : unread.sentences()) report.remarks.push_back(sentence);
  return report;
}

}  // namespace detail::data_report

MERIT_INLINE DataReport report_on_data(const std::vector<std::string>& files,
                                       const RecordSourceOptions& source,
                                       const std::function<void(const OrderedJson&)>& each) {
  using detail::data_report::Keys;
  require_no_pipe(files);
  DataReport report;
  std::vector<Keys> prompts(files.size());
  for (Index i = 0; i < files.size(); ++i) {
    report.files.push_back(detail::data_report::report_on(files[i], source, prompts[i], each));
    for (Index j = 0; j < i; ++j) {
      const Keys& fewer = prompts[i].size() < prompts[j].size() ? prompts[i] : prompts[j];
      const Keys& more = prompts[i].size() < prompts[j].size() ? prompts[j] : prompts[i];
      const auto both = static_cast<Index>(
          std::count_if(fewer.begin(), fewer.end(), [&](const auto& key) { return more.contains(key); }));
      if (both != 0) report.overlaps.push_back({report.files[j].file, report.files[i].file, both});
    }
  }
  return report;
}

MERIT_INLINE std::string text_of(const DataReport& report) {
  std::string text;
  for (const FileReport& file : report.files) {
    if (!text.empty()) text += "\n\n";
    text += concat(visible(file.file), ": ", file.records, file.records == 1 ? " record" : " records",
                   " of the kind ", name_of_kind(file.kind),
                   file.layout.empty() ? std::string() : concat(", of the published set ", file.layout), "; ",
                   file.read, file.read == 1 ? " row read: " : " rows read: ", file.kept, " kept");
    const auto but = [&](Index count, const char* what) {
      if (count != 0) text += concat(", ", count, ' ', what);
    };
    but(file.bad, "not readable");
    but(file.read - file.kept - file.bad - file.not_selected, "left out");
    but(file.not_selected, "not selected");
    const auto line = [&](std::string name, const std::string& value) {
      name.resize(14, ' ');
      text += concat("\n  ", name, value);
    };
    if (file.bad != 0) line("not readable", concat(file.bad, ", the first: ", file.first_error));
    for (const auto& [reason, count] : file.left_out) line("left out", concat(count, ": ", reason));
    if (file.not_selected != 0) line("not selected", concat(file.not_selected));
    line("prompts", concat(file.prompts, " different"));
    line("duplicates", concat(file.duplicates));
    const auto lengths = [&](const char* name, const TextLengths& of) {
      if (of.texts != 0) {
        line(name, concat(of.texts, ", mean ", fixed(of.mean(), 1), " bytes, longest ", of.longest));
      }
    };
    lengths("prompt texts", file.prompt);
    lengths(file.kind == RecordKind::steps ? "steps" : "completions", file.completion);
    std::string balance;
    for (const auto& [name, count] : file.balance)
      balance += concat(balance.empty() ? "" : ", ", name, ' ', count);
    if (!balance.empty()) line("balance", balance);
    for (const std::string& remark : file.remarks) line("remark", visible(remark));
  }
  for (const FileOverlap& one : report.overlaps) {
    text += concat("\n\n", one.prompts, one.prompts == 1 ? " prompt of " : " prompts of ", visible(one.first),
                   " also in ", visible(one.second));
  }
  return text;
}

MERIT_INLINE Json to_json(const DataReport& report) {
  Json files = Json::array();
  const auto lengths = [](const TextLengths& of) {
    return Json{{"texts", of.texts}, {"mean_bytes", of.mean()}, {"longest_bytes", of.longest}};
  };
  for (const FileReport& file : report.files) {
    Json one{{"file", file.file},
             {"kind", name_of_kind(file.kind)},
             {"read", file.read},
             {"kept", file.kept},
             {"records", file.records},
             {"not_readable", file.bad},
             {"not_selected", file.not_selected},
             {"left_out", file.left_out},
             {"prompts", file.prompts},
             {"duplicates", file.duplicates},
             {"prompt", lengths(file.prompt)},
             {"completion", lengths(file.completion)},
             {"balance", file.balance},
             {"remarks", file.remarks}};
    if (!file.layout.empty()) one["layout"] = file.layout;
    if (file.bad != 0) one["first_error"] = file.first_error;
    files.push_back(std::move(one));
  }
  Json overlaps = Json::array();
  for (const FileOverlap& one : report.overlaps) {
    overlaps.push_back({{"first", one.first}, {"second", one.second}, {"prompts", one.prompts}});
  }
  return {{"files", files}, {"overlaps", overlaps}};
}

}  // namespace MERIT_ABI
}  // namespace merit
