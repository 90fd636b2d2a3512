// Reading records of any kind.
#pragma once

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/join_conversations.hpp"
#include "merit/loss/margin.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/split_key.hpp"
#include "merit/records/unread_fields.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokens/record_files.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/train/sampling.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::record_set {

// ---- What a note keeps of each kind of record ---

inline void fill(const PreferenceRecord& record, ExampleNote& note) {
  note.texts = {plain_text(record.chosen), plain_text(record.rejected)};
}
inline void fill(const JudgeRecord& record, ExampleNote& note) {
  note.texts = {plain_text(record.response_a), plain_text(record.response_b)};
  if (share_for_a(record) < 0.5) std::swap(note.texts[0], note.texts[1]);  // as tokenize() does
}
inline void fill(const CompletionsRecord& record, ExampleNote& note) {
  for (const auto& completion : record.completions) note.texts.push_back(plain_text(completion));
}
inline void fill(const CompletionRecord& record, ExampleNote& note) {
  note.texts = {plain_text(record.completion)};
}
inline void fill(const StepsRecord& record, ExampleNote& note) {
  note.texts = record.completions;
}

/// The prompt as a reader is shown it.
template <class Record>
std::string shown_prompt(const Record& record) {
  if (record.prompt_ids) return merit::detail::key_part(*record.prompt_ids);
  return plain_text(record.prompt);
}

/// The subset of records that say nothing of one.
inline constexpr const char* no_subset = "(none)";

/// What a record says of its subset: a string as it is, whole numbers alike however they are written, anything else
/// as JSON.
inline std::string subset_of(const Json& object, const std::string& field) {
  if (field.empty()) return "";
  const auto value = object.find(field);
  if (value == object.end() || value->is_null()) return no_subset;
  if (*value == "") return no_subset;  // as tables write a cell without one
  if (value->is_string()) return value->get<std::string>();
  if (const auto whole = whole_number(*value)) return std::to_string(*whole);
  return value->dump();
}

/// Calls f(Record{}) for the records of a kind.
template <class F>
auto with_record(RecordKind kind, const F& f) {
  switch (kind) {
    case RecordKind::preference: return f(PreferenceRecord{});
    case RecordKind::ranking: return f(RankingRecord{});
    case RecordKind::ratings: return f(RatingsRecord{});
    case RecordKind::outcome: return f(OutcomeRecord{});
    case RecordKind::steps: return f(StepsRecord{});
    case RecordKind::judge: return f(JudgeRecord{});
    case RecordKind::rollout: break;
  }
  return f(RolloutRecord{});
}

/// Tokenizes one record; an outcome in steps where the model scores those.
template <class Record>
std::optional<ExampleOf<Record>> example_of(const Record& record, const AnyTokenizer& tokenizer,
                                            const RecordSetOptions& options, DataCounts& counts) {
  if (options.wants_steps && !std::is_same_v<Record, StepsRecord>) {
    if constexpr (std::is_same_v<Record, OutcomeRecord>) {
      auto steps = tokenize_as_steps(record, tokenizer, options.tokenize, counts);
      if (!steps) return std::nullopt;
      return OutcomeExample{std::move(steps->sequence), record.label, record.weight.value_or(1)};
    }
  }
  return tokenize(record, tokenizer, options.tokenize, counts);
}

/// What is to be said of the files of a set.
struct FileRemarks {
  UnreadFields unread;
  std::vector<std::string> of_files;
  std::vector<Index> renamed;  // rows in which each field of the option was there
  Index not_selected = 0;
  Index given = 0, without_scores = 0;
  Index read = 0;  // so far, of all files

  void add(const RecordSource& source) {
    const std::string& file = source.position().file;
    if (const auto layout = source.layout()) {
      of_files.push_back(merit::concat(file, ": read as the published set ", name_of(*layout)));
    }
    for (const auto& sentences : {source.left_out_sentences(), source.remarks()})
      for (const std::string& sentence : sentences) of_files.push_back(merit::concat(file, ": ", sentence));
    given += source.given();
    without_scores += source.without_scores();
    renamed.resize(source.renamed().size());
    for (Index i = 0; i < renamed.size(); ++i) renamed[i] += source.renamed()[i];
    not_selected += source.not_selected();
  }
};

/// Reads one record into the set, or into `store` where there is one.
template <class Record>
void read_one(const OrderedJson& object, const SourcePosition& at, const AnyTokenizer& tokenizer,
              const RecordSetOptions& options, RecordSet& set, StoredExamples<ExampleOf<Record>>* store,
              Index& width) {
  const Record record = merit::detail::parsed_record<Record>(object, at);
  if (options.side != SplitSide::all && held_out(split_key(record), options.held_out, options.split_seed) !=
                                            (options.side == SplitSide::held_out)) {
    return;
  }
  check_form(record.form, options.wants_features, record.source);
  const Index own_width = merit::detail::feature_width(record);
  if (width == 0) width = own_width;
  if (own_width != width) {
    throw DataError(merit::concat(record.source.text(), ": found ", own_width, " features, expected ", width,
                                  " as in the records before"));
  }
  if constexpr (requires { record.attributes; }) {
    if (options.attributes != 0 && record.attributes != options.attributes) {
      throw DataError(merit::concat(
          record.source.text(), ": field 'scores': found ratings of ", record.attributes,
          record.attributes == 1 ? " attribute" : " attributes", ", expected ", options.attributes,
          ", one a score of the head; the head attributes takes as many as there are --merge-weights"));
    }
  }
  ExampleNote note;
  if (options.notes) {
    note.source = record.source;
    note.subset = subset_of(object, options.subset_field);
    if (!options.subset_field.empty()) ++set.subsets[note.subset];
    note.prompt = shown_prompt(record);
    note.split_key = record.form == RecordForm::features ? record.source.text() : split_key(record);
    fill(record, note);
    if constexpr (std::is_same_v<Record, OutcomeRecord>) {
      if (options.wants_steps) {
        for (std::string& step : as_steps(record, options.tokenize).completions)
          note.texts.push_back(std::move(step));
      }
    }
  }
  if (auto example = example_of(record, tokenizer, options, set.counts)) {
    if constexpr (std::is_same_v<ExampleOf<Record>, PreferenceExample>) {
      if (!options.margins) example->margin = 0;
    }
    if (store != nullptr) return store->add(*example);
    std::get<std::vector<ExampleOf<Record>>>(set.examples).push_back(std::move(*example));
    if (options.notes) set.notes.push_back(std::move(note));
  }
}

/// Reads one file into the set.
template <class Record>
void read_file(const std::string& file, const AnyTokenizer& tokenizer, const RecordSetOptions& options,
               RecordSet& set, StoredExamples<ExampleOf<Record>>* store, Index& width, FileRemarks& remarks) {
  RecordSource reader(file, options.source);
  while (true) {
    try {
      const auto object = reader.next();
      if (!object) break;
      ++remarks.read;
      if (options.on_record) options.on_record(remarks.read);
      remarks.unread.add(*object, options.kind, options.subset_field);
      read_one<Record>(*object, reader.position(), tokenizer, options, set, store, width);
    } catch (const DataError& error) {
      if (options.source.on_error == OnError::stop) throw;
      if (options.side != SplitSide::held_out) set.unread.add(reader.position(), error.what());
    }
  }
  remarks.add(reader);
}

}  // namespace detail::record_set

MERIT_INLINE void require_no_pipe(const std::vector<std::string>& files) {
  std::error_code ignored;
  for (const std::string& given : files) {
    const std::string file = weighted_file(given).path;
    if (!std::filesystem::is_fifo(file, ignored)) continue;
    throw DataError(file + ": found a pipe, expected a file, as its records are read more than once");
  }
}

MERIT_INLINE RecordSet read_record_set(const std::vector<std::string>& files, const AnyTokenizer& tokenizer,
                                       const RecordSetOptions& asked) {
  RecordSet set;
  set.kind = asked.kind;
  RecordSetOptions options = asked;
  if (options.notes && !options.store.empty())
    throw UsageError("read_record_set: notes are of examples that are held, and these are to be stored");
  if (options.wants_steps && options.kind != RecordKind::steps && options.kind != RecordKind::outcome) {
    throw ConfigError("the model scores steps, which records of the kind " + name_of_kind(options.kind) +
                      " do not have; it is evaluated on those of: steps, outcome");
  }
  if (options.kind == RecordKind::steps && options.tokenize.step_scale == StepScale::automatic) {
    options.tokenize.step_scale = step_scale_in(files, options.source);
  }
  Index width = 0;
  detail::record_set::FileRemarks remarks;
  detail::record_set::with_record(options.kind, [&]<class Record>(Record) {
    using Stored = StoredExamples<ExampleOf<Record>>;
    set.examples.emplace<std::vector<ExampleOf<Record>>>();
    Stored* store = nullptr;
    if (!options.store.empty()) {
      const auto stored = std::make_shared<StoredExampleSet>(std::in_place_type<Stored>, options.store);
      store = &std::get<Stored>(*stored);
      set.stored = stored;
    }
    for (const std::string& file : files) {
      const WeightedFile own = weighted_file(file);
      set.files += (set.files.empty() ? "" : ", ") + own.path;
      const Index before = set.size();
      detail::record_set::read_file<Record>(file, tokenizer, options, set, store, width, remarks);
      const SetPart part{set.size() - before, own.epochs};
      set.parts.push_back(part);
      if (part.epochs != 1 && options.side != SplitSide::held_out) {
        remarks.of_files.push_back(merit::concat(own.path, ": an epoch visits ", visits_of(part),
                                                 " records of ", part.examples, ", as epochs=", part.epochs,
                                                 " says"));
      }
    }
  });
  if (std::ranges::all_of(set.parts, [](const SetPart& part) { return part.epochs == 1; })) set.parts.clear();
  if (std::ranges::all_of(files, [](const std::string& file) { return weighted_file(file).weight == 0; }))
    throw ConfigError(concat(set.files, ": every weight is 0, expected one above 0"));
  for (Index i = 0; i < remarks.renamed.size(); ++i) {
    if (remarks.renamed[i] == 0) refuse_rename(options.source.rename[i], set.files);
  }
  if (remarks.given != 0 && remarks.without_scores == remarks.given) {
    throw ConfigError(concat("--margin scores: no record of ", set.files,
                             " has score_chosen and score_rejected, or preference_strength, or a margin"));
  }
  set.remarks = std::move(remarks.of_files);
  for (const std::string& sentence : remarks.unread.sentences())
    set.remarks.push_back(set.files + ": " + sentence);
  for (const std::string& line : set.unread.lines()) set.remarks.push_back(line);
  if (set.size() == 0) {
    std::string why = set.account();
    if (options.side == SplitSide::kept) why += " The split of prompts held out all.";
    if (options.side == SplitSide::held_out) why += " The split of prompts held out none.";
    if (remarks.not_selected != 0) why += concat(" --select left out ", remarks.not_selected, '.');
    for (const std::string& remark : set.remarks) why += ' ' + remark + '.';
    throw DataError(set.files + ": no record to use. " + why);
  }
  if (!options.subset_field.empty() && set.subsets.size() == 1 &&
      set.subsets.contains(detail::record_set::no_subset)) {
    throw DataError(set.files + ": no record has the field '" + options.subset_field +
                    "', which names the subsets to report by");
  }
  return set;
}

MERIT_INLINE TrainOptions with_parts_of(const RecordSet& set, TrainOptions options) {
  if (!set.parts.empty()) options.parts = set.parts;
  return options;
}

MERIT_INLINE void require_preferences(const RecordSet& set, const std::string& what) {
  const Index kept = set.counts.kept;
  if (kept == 0 || set.counts.all_tied < kept) return;
  throw DataError(concat(set.files, ": found ", kept, kept == 1 ? " record that ties" : " records that tie",
                         " all completions, expected at least one in which one is better, ", what));
}

MERIT_INLINE RankingMargin ranking_margin(const std::string& name, RecordKind kind) {
  const auto strength = [](const StrengthMargin& table) -> RankingMargin {
    return [table](double, double, Index by) { return table({.strength = by}); };
  };
  if (name.empty() || name == "none") return {};
  if (name == "strength:llama2_small") return strength(StrengthMargin::llama2_small());
  if (name == "strength:llama2_large") return strength(StrengthMargin::llama2_large());
  if (name.starts_with("rating:")) {
    if (kind != RecordKind::ratings) {
      throw ConfigError("--margin is " + name + ", but records of the kind " + name_of_kind(kind) +
                        " have no ratings");
    }
    double scale = 0;
    const std::string number = name.substr(7);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), scale);
    if (error == std::errc{} && end == number.data() + number.size()) {
      return [margin = RatingMargin{scale}](double better, double worse, Index) {
        return margin({.chosen_rating = better, .rejected_rating = worse});
      };
    }
  }
  throw ConfigError("--margin is \"" + name + "\", expected for records of the kind " + name_of_kind(kind) +
                    " one of: none, rating:SCALE, strength:llama2_small, strength:llama2_large");
}

MERIT_INLINE void remove_margins(RecordSet& set) {
  for (auto& example : std::get<std::vector<PreferenceExample>>(set.examples)) example.margin = 0;
}

MERIT_INLINE void join_conversations(RecordSet& set) {
  if (!set.parts.empty())
    throw ConfigError(set.files +
                      ": found epochs of files whose conversations are to be joined, expected none");
  if (join_conversations(std::get<std::vector<RankingExample>>(set.examples)) != 0) set.notes.clear();
}

MERIT_INLINE Index feature_width_in(const std::string& file, RecordKind kind,
                                    const RecordSourceOptions& source) {
  return detail::record_set::with_record(kind, [&]<class Record>(Record) {
    RecordReader<Record> reader(std::filesystem::path(file), {}, source);
    const auto record = reader.next();
    if (!record) throw DataError(file + ": there is no record");
    check_form(record->form, true, record->source);
    return detail::feature_width(*record);
  });
}

MERIT_INLINE Index attributes_in(const std::string& file, const RecordSourceOptions& source) {
  require_no_pipe({file});
  RatingsReader reader(std::filesystem::path(file), {}, source);
  const auto record = reader.next();
  return record ? record->attributes : 1;
}

MERIT_INLINE StepScale step_scale_in(const std::vector<std::string>& files,
                                     const RecordSourceOptions& source) {
  require_no_pipe(files);
  const std::vector<std::filesystem::path> paths(files.begin(), files.end());
  return detect_step_scale(paths, source);
}

MERIT_INLINE std::string plain_text(const std::optional<TextOrMessages>& text) {
  if (!text) return "";
  const auto* messages = std::get_if<std::vector<Message>>(&*text);
  return messages != nullptr ? render_plain(*messages) : std::get<std::string>(*text);
}

}  // namespace MERIT_ABI
}  // namespace merit
