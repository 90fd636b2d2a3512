// What merit_score says of a record: a line of text, or of JSON.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "merit/core/spelled_number.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/io/json.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/saved_model.hpp"

namespace programs {

/// A model, or its base with one of several adapters.
struct Judge {
  std::string adapter;  // empty: there is but one
  const merit::SavedModel& saved;
  merit::Reading reading;
};

/// How scores are written.
struct ScoreLines {
  bool json = false, rows = false, rerank = false;
  merit::RankCut rank_cut = merit::RankCut::last;

  /// `index`: the number of the record in its input, from 0.
  std::string of(const Judge& judge, const merit::RecordScores& record, merit::Index index) const {
    return json ? json_line(judge, record, index) : plain_line(judge, record);
  }

 private:
  using Form = merit::RecordScores::Form;
  using Scored = merit::CompletionScore;

  /// A reward as short as the model's own number, anything computed from it as a double.
  static std::string number(const merit::Reading& reading, double score) {
    const bool raw = !reading.has_rows() && !reading.standardised && !reading.calibrated;
    return raw ? merit::shortest(static_cast<float>(score)) : merit::shortest(score);
  }

  std::string plain_line(const Judge& judge, const merit::RecordScores& record) const {
    std::string text = judge.adapter;
    const auto put = [&](const std::string& item) { text += (text.empty() ? "" : "\t") + item; };
    if (!record.error.empty() || !record.dropped.empty()) {
      put(record.error.empty() ? "dropped: " + record.dropped : "error: " + record.error);
      return text;
    }
    if (rerank) {
      for (const merit::Index i : record.order(rank_cut)) put(std::to_string(i));
      for (merit::Index i = 0; i < record.completions.size(); ++i) {  // behind the order, with the reason
        const std::string& reason = record.completions[i].dropped;
        if (!reason.empty()) put(std::to_string(i) + " dropped: " + reason);
      }
    } else {
      for (const Scored& one : record.completions) {
        put(one.dropped.empty() ? number(judge.reading, one.score) : "dropped: " + one.dropped);
      }
      if (record.first_better) put(merit::shortest(*record.first_better));
    }
    return text;
  }

  static std::string quoted(const std::string& text) {
    return merit::Json(text).dump(-1, ' ', false, merit::Json::error_handler_t::replace);
  }

  /// Written by hand so that a score keeps its shortest text.
  std::string json_line(const Judge& judge, const merit::RecordScores& record, merit::Index index) const {
    std::string text =
        "{\"index\": " + std::to_string(index) + ", \"line\": " + std::to_string(record.source.line);
    if (!judge.adapter.empty()) text += ", \"adapter\": " + quoted(judge.adapter);
    if (!record.error.empty()) return text + ", \"error\": " + quoted(record.error) + '}';
    const auto list = [](const auto& items, const auto& write) {
      std::string inside;
      for (const auto& item : items) inside += (inside.empty() ? "" : ", ") + write(item);
      return "[" + inside + "]";
    };
    const auto score_of = [&](const Scored& one) {
      return one.dropped.empty() ? number(judge.reading, one.score) : std::string("null");
    };
    const auto rows_of = [&](const Scored& one) {
      return list(one.rows, [](double value) { return merit::shortest(value); });
    };
    const bool scores = record.dropped.empty();
    const auto put = [&](const std::string& field, const std::string& value) {
      text += ", \"" + field + "\": " + (scores ? value : "null");
    };
    const std::vector<Scored>& scored = record.completions;
    if (record.form == Form::several) {
      put("scores", scores ? list(scored, score_of) : "");
      if (rows) put("rows", scores ? list(scored, rows_of) : "");
      if (rerank) {
        put("order",
            scores ? list(record.order(rank_cut), [](merit::Index i) { return std::to_string(i); }) : "");
        put("ranks", scores ? list(record.ranks(rank_cut),
                                   [](const std::optional<merit::Index>& rank) {
                                     return rank ? std::to_string(*rank) : std::string("null");
                                   })
                            : "");
      }
    } else {
      const bool pair = record.form != Form::one;
      const std::vector<std::string> fields =
          record.form == Form::pair     ? std::vector<std::string>{"chosen", "rejected"}
          : record.form == Form::judged ? std::vector<std::string>{"response_a", "response_b"}
                                        : std::vector<std::string>{"score"};
      for (merit::Index i = 0; i < fields.size(); ++i) put(fields[i], scores ? score_of(scored[i]) : "");
      if (record.first_better) put(fields[0] + "_better", merit::shortest(*record.first_better));
      for (merit::Index i = 0; rows && i < fields.size(); ++i) {
        put(pair ? fields[i] + "_rows" : "rows", scores ? rows_of(scored[i]) : "");
      }
    }
    if (!scores) return text + ", \"dropped\": " + quoted(record.dropped) + '}';
    put_each(scored, record.form == Form::one, text);
    return text + '}';
  }

  /// What is not so of a completion that was read whole: a value, or for several a list of one each.
  static void put_each(const std::vector<Scored>& scored, bool one, std::string& text) {
    const auto put = [&](const char* field, const auto& is_so, const auto& write) {
      if (std::none_of(scored.begin(), scored.end(), is_so)) return;
      std::string values;
      for (const Scored& each : scored) values += (values.empty() ? "" : ", ") + std::string(write(each));
      text += std::string(", \"") + field + "\": " + (one ? values : "[" + values + "]");
    };
    const auto is_cut = [](const Scored& each) { return each.cut; };
    const auto lost_steps = [](const Scored& each) { return each.cut && each.rows_of != 0; };
    put("cut", is_cut, [](const Scored& each) { return each.cut ? "true" : "false"; });
    put("rows_judged", lost_steps, [](const Scored& each) { return std::to_string(each.rows.size()); });
    put("rows_of", lost_steps, [](const Scored& each) { return std::to_string(each.rows_of); });
    put(
        "dropped", [](const Scored& each) { return !each.dropped.empty(); },
        [](const Scored& each) { return each.dropped.empty() ? std::string("null") : quoted(each.dropped); });
  }
};

}  // namespace programs
