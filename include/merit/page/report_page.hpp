// A report as one HTML page that needs nothing else: no network, no scripts, light and dark.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/page/charts.hpp"
#include "merit/page/page_text.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A piece of a record, a token or a step, with the probability that it is good.
struct ScoredSpan {
  std::string text;
  std::optional<double> score = std::nullopt;  // 0 to 1; nothing: it was not scored
  std::string label = {};                      // what it is known to be; empty: not known
};

/// A record to be shown, coloured piece by piece.
struct ScoredRecord {
  std::string title;  // "right, scored 0.02"
  std::string prompt = {};
  std::vector<ScoredSpan> spans = {};
  bool steps = false;  // each piece on its own line with its score beside it
};

/// The numbers of records to look at first: those a model is most sure and wrong about, those it is most sure
/// and right about, and those it cannot tell.
struct TellingRecords {
  std::vector<Index> wrong, right, uncertain;
};

/// Of probabilities and labels (right from one half up), the `count` most telling of each sort, most telling
/// first, ties in their order. Throws UsageError when the numbers differ.
inline TellingRecords telling_records(std::span<const double> probabilities, std::span<const double> labels,
                                      Index count) {
  if (probabilities.size() != labels.size()) {
    throw UsageError(concat("telling_records: found ", probabilities.size(), " probabilities and ",
                            labels.size(), " labels, expected as many"));
  }
  TellingRecords telling;
  std::vector<Index> order;
  for (Index i = 0; i < probabilities.size(); ++i) {
    if (std::isfinite(probabilities[i])) order.push_back(i);
  }
  const auto sure = [&](Index i) { return std::abs(probabilities[i] - 0.5); };
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return sure(a) < sure(b); });
  telling.uncertain.assign(order.begin(),
                           order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size())));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return sure(a) > sure(b); });
  for (const Index i : order) {
    auto& list = (probabilities[i] >= 0.5) == (labels[i] >= 0.5) ? telling.right : telling.wrong;
    if (list.size() < count) list.push_back(i);
  }
  return telling;
}

/// Collects sections and writes them, in their order. Equal input gives equal bytes.
class ReportPage {
 public:
  ReportPage(std::string title, std::string subtitle)
      : title_(std::move(title)), subtitle_(std::move(subtitle)) {}

  /// A table; numbers in it should be strings from number_text(). The first column heads its row.
  void table(const std::string& title, const std::string& note, const std::vector<std::string>& columns,
             const std::vector<std::vector<std::string>>& rows) {
    begin(title, note);
    detail::append(body_, scroll(title), table_text(columns, rows), "</div>\n");
    end();
  }

  void chart(const LineChart& chart) {
    std::vector<bool> dashed;
    for (const ChartSeries& series : chart.series) dashed.push_back(series.dashed);
    figure(chart.title, chart.note, dashed, draw(chart));
  }
  void chart(const HistogramChart& chart) {
    figure(chart.title, chart.note, std::vector<bool>(chart.classes.size()), draw(chart));
  }

  /// Records with each piece coloured by its score. At most `limit` bytes of a prompt and of a completion are
  /// shown, and what is left out is said.
  void records(const std::string& title, const std::string& note, std::span<const ScoredRecord> records,
               Index limit = 6000) {
    begin(title, note);
    detail::append(body_, "<p class=\"scale\"><span class=\"piece\" style=\"", colour(0),
                   "\">bad 0</span><span class=\"piece\" style=\"", colour(0.25),
                   "\">0.25</span><span class=\"piece\">0.5</span><span class=\"piece\" style=\"",
                   colour(0.75), "\">0.75</span><span class=\"piece\" style=\"", colour(1),
                   "\">1 good</span></p>\n");
    if (records.empty()) body_ += "<p class=\"none\">There is none.</p>\n";
    for (const ScoredRecord& record : records) write(record, limit);
    end();
  }

  std::string html() const {
    std::string page;
    detail::append(page,
                   "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
                   "<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                   "<meta name=\"color-scheme\" content=\"light dark\"/>\n",
                   mark, "\n<title>", escaped(title_), "</title>\n<style>\n", style,
                   "</style>\n</head>\n<body>\n<main>\n<header><h1>", escaped(title_), "</h1>\n<p>",
                   escaped(subtitle_), "</p></header>\n", body_, "</main>\n</body>\n</html>\n");
    return page;
  }

  /// Stands in the head of every page, which tells ours from others.
  static constexpr std::string_view mark = R"(<meta name="generator" content="merit"/>)";

  /// Throws IoError; the page appears whole or not at all.
  void write_to(const std::filesystem::path& path) const { write_file_atomically(path, html()); }

 private:
  // Okabe and Ito's colours, which people who see colours differently tell apart; lighter in the dark.
  static constexpr std::string_view style =
      R"(:root { --page: #fdfdfc; --card: #ffffff; --ink: #1d2126; --soft: #5b6470; --line: #e3e5e8; --grid: #eceef0;
  --c0: #0072b2; --c1: #d55e00; --c2: #007f5c; --c3: #b1508c; --c4: #a67c00; --c5: #4a6fe3; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1b1f24; --ink: #e6e8eb; --soft: #9aa4af; --line: #2e343b; --grid: #272c32;
  --c0: #56b4e9; --c1: #ff9d5c; --c2: #3ecf9f; --c3: #e59bc7; --c4: #f0c24b; --c5: #93aaff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 4px; }
header p, .note, .none { color: var(--soft); margin: 0 0 12px; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin: 22px 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 0 6px 18px; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child { text-align: left; padding-left: 0; font-weight: 500; }
thead th { color: var(--soft); font-weight: 500; font-size: 0.85rem; }
tbody tr:last-child > * { border-bottom: 0; }
figure { margin: 0; }
svg { display: block; width: 100%; min-width: 480px; height: auto; font-family: inherit; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; } .dashed { stroke-dasharray: 2 6; }
.band { stroke: none; opacity: 0.16; } .bars { stroke-width: 1.5; fill-opacity: 0.22; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; padding: 0; margin: 0 0 10px; font-size: 0.9rem; }
.legend svg { display: inline-block; width: 26px; min-width: 26px; height: 10px; margin-right: 7px; vertical-align: middle; }
details { margin-top: 12px; font-size: 0.9rem; } summary { color: var(--soft); cursor: pointer; }
.record { border-top: 1px solid var(--line); padding: 14px 0 4px; margin-top: 14px; }
.record h3 { font-size: 0.95rem; margin: 0 0 6px; }
.prompt, .text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 8px; }
.prompt { color: var(--soft); border-left: 3px solid var(--line); padding-left: 12px; font-size: 0.92rem; }
.text, .steps { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.88rem; line-height: 1.7; }
.steps { list-style: none; padding: 0; margin: 0; }
.steps li { display: flex; gap: 12px; align-items: baseline; margin: 3px 0; }
.steps .said { flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 5px; padding: 2px 8px; }
.steps .figure { min-width: 5.5em; text-align: right; font-variant-numeric: tabular-nums; color: var(--soft); }
.piece { border-radius: 3px; padding: 1px 0; } .scale { font-size: 0.85rem; display: flex; flex-wrap: wrap; gap: 4px; margin: 0; }
.scale .piece { padding: 1px 10px; }
.cut { color: var(--soft); font-size: 0.85rem; }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); }
svg .c3 { stroke: var(--c3); } svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); }
.dot.c0, .band.c0, .bars.c0 { fill: var(--c0); } .dot.c1, .band.c1, .bars.c1 { fill: var(--c1); } .dot.c2, .band.c2, .bars.c2 { fill: var(--c2); }
.dot.c3, .band.c3, .bars.c3 { fill: var(--c3); } .dot.c4, .band.c4, .bars.c4 { fill: var(--c4); } .dot.c5, .band.c5, .bars.c5 { fill: var(--c5); }
svg .band { stroke: none; }
.piece, .said, svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media print { body { background: none; } section { break-inside: avoid; } }
@media (max-width: 520px) { main { padding: 24px 12px 60px; } section { padding: 16px 14px; } svg text { font-size: 13.5px; } }
)";

  void begin(const std::string& title, const std::string& note) {
    detail::append(body_, "<section>\n<h2>", escaped(title), "</h2>\n");
    if (!note.empty()) detail::append(body_, "<p class=\"note\">", escaped(note), "</p>\n");
  }
  void end() { body_ += "</section>\n"; }

  /// Opens what may be wider than a small screen; it can be reached and moved with the keyboard.
  static std::string scroll(const std::string& title) {
    std::string text;
    detail::append(text, "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"", escaped(title),
                   "\">");
    return text;
  }

  static std::string table_text(const std::vector<std::string>& columns,
                                const std::vector<std::vector<std::string>>& rows) {
    std::string text = "<table>\n<thead><tr>";
    for (const std::string& column : columns)
      detail::append(text, "<th scope=\"col\">", escaped(column), "</th>");
    text += "</tr></thead>\n<tbody>\n";
    for (const auto& row : rows) {
      text += "<tr>";
      for (Index i = 0; i < row.size(); ++i) {
        detail::append(text, i == 0 ? "<th scope=\"row\">" : "<td>", escaped(row[i]),
                       i == 0 ? "</th>" : "</td>");
      }
      text += "</tr>\n";
    }
    return text + "</tbody>\n</table>";
  }

  void figure(const std::string& title, const std::string& note, const std::vector<bool>& dashed,
              const Drawing& drawing) {
    begin(title, note);
    if (drawing.svg.empty()) {
      body_ += "<p class=\"none\">There are no numbers to draw.</p>\n";
      return end();
    }
    body_ += "<figure>\n<ul class=\"legend\">";
    for (Index i = 0; i < drawing.names.size(); ++i) {
      body_ += concat("<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"line c", i % 6,
                      dashed[i] ? " dashed" : "", "\" x1=\"2\" x2=\"24\" y1=\"5\" y2=\"5\"/></svg>",
                      escaped(drawing.names[i]), "</li>");
    }
    detail::append(body_, "</ul>\n", scroll(title), "\n", drawing.svg,
                   "</div>\n<details><summary>The numbers</summary>", scroll(title + ": the numbers"),
                   table_text(drawing.columns, drawing.rows), "</div></details>\n</figure>\n");
    end();
  }

  /// Orange for bad, blue for good, nothing between; see-through, so that it fits light and dark.
  static std::string colour(double score) {
    const double strength = std::min(1.0, std::abs(2 * score - 1)) * 0.6;
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "background:rgba(%s,%.2f)", score < 0.5 ? "224,96,0" : "0,122,204",
                  strength);
    return buffer;
  }

  static std::string attributes_of(const ScoredSpan& span) {
    std::string text;
    const bool scored = span.score && std::isfinite(*span.score);
    if (scored) detail::append(text, " style=\"", colour(std::clamp(*span.score, 0.0, 1.0)), "\"");
    std::string title = scored ? number_text(*span.score, 3) : "not scored";
    if (!span.label.empty()) detail::append(title, ", ", span.label);
    detail::append(text, " title=\"", escaped(title), "\"");
    return text;
  }

  static std::string cut_note(Index bytes) {
    return concat("<p class=\"cut\">", bytes, " more bytes are not shown.</p>\n");
  }

  void write(const ScoredRecord& record, Index limit) {
    detail::append(body_, "<article class=\"record\">\n<h3>", escaped(record.title), "</h3>\n");
    if (!record.prompt.empty()) {
      const std::string_view shown = head_of(record.prompt, limit);
      detail::append(body_, "<p class=\"prompt\"><bdi dir=\"auto\">", escaped(shown), "</bdi></p>\n");
      if (shown.size() < record.prompt.size()) body_ += cut_note(record.prompt.size() - shown.size());
    }
    body_ += record.steps ? "<ol class=\"steps\">\n" : "<p class=\"text\"><bdi dir=\"auto\">";
    Index room = limit;
    Index hidden = 0;
    // Consecutive pieces may split one character: they are then joined to the piece that ends it.
    std::string held;
    for (Index i = 0; i < record.spans.size(); ++i) {
      const ScoredSpan& span = record.spans[i];
      // The first piece without room is cut, and what follows is left out.
      const std::string_view text = hidden != 0 ? std::string_view() : head_of(span.text, room);
      room -= text.size();
      hidden += span.text.size() - text.size();
      if (text.empty() && hidden != 0) continue;
      if (record.steps) {
        detail::append(body_, "<li><span class=\"said\"", attributes_of(span), "><bdi dir=\"auto\">",
                       escaped(text), "</bdi></span><span class=\"figure\">",
                       (span.score ? escaped(number_text(*span.score, 3)) : std::string("–")),
                       (span.label.empty() ? "" : "<br/>"), escaped(span.label), "</span></li>\n");
        continue;
      }
      held += text;
      if (i + 1 < record.spans.size() && ends_inside_a_character(held)) continue;
      detail::append(body_, "<span class=\"piece\"", attributes_of(span), ">", escaped(held), "</span>");
      held.clear();
    }
    hidden += held.size();  // of a character that is not shown whole
    body_ += record.steps ? "</ol>\n" : "</bdi></p>\n";
    if (hidden != 0) body_ += cut_note(hidden);
    body_ += "</article>\n";
  }

  /// Whether a text is UTF-8 but for a character that has begun and not ended.
  static bool ends_inside_a_character(std::string_view text) {
    const Index valid = first_invalid_utf8(text);
    const Index rest = text.size() - valid;
    if (rest == 0 || rest > 3) return false;
    const auto lead = static_cast<unsigned char>(text[valid]);
    if (lead > 0xF4) return false;
    const Index length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
    for (Index i = valid + 1; i < text.size(); ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xC0u) != 0x80u) return false;
    }
    return rest < length;
  }

  std::string title_;
  std::string subtitle_;
  std::string body_;
};

}  // namespace MERIT_ABI
}  // namespace merit
