// Charts as SVG: lines with bands, and histograms. Colours come from the page's style, so that a chart is
// readable in light and dark.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/page/page_text.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One line. Points that are not finite (or beyond 1e300) are left out, which the legend says, and the line
/// is broken there.
struct ChartSeries {
  std::string name;
  std::vector<double> x = {};
  std::vector<double> y = {};
  std::vector<double> low = {};  // of the interval around each y; empty: none
  std::vector<double> high = {};
  bool dashed = false;  // a reference: chance, an oracle, the diagonal
  bool dots = false;    // a mark at each point
  // How many observations are behind each point, for larger and smaller marks; empty: not known.
  std::vector<double> counts = {};
};

struct LineChart {
  std::string title;
  std::string note = {};  // what it shows and how to read it
  std::string x_label = {};
  std::string y_label = {};
  std::vector<ChartSeries> series = {};
  std::optional<double> y_low = std::nullopt;   // the axis reaches at least from here …
  std::optional<double> y_high = std::nullopt;  // … to here
};

/// How often each number occurs, for one class or several over each other.
struct HistogramChart {
  struct Class {
    std::string name;
    std::vector<double> values = {};
  };
  std::string title;
  std::string note = {};
  std::string x_label = {};
  std::vector<Class> classes = {};
  Index bins = 30;
};

/// A finished chart: its drawing and the same numbers as a table.
struct Drawing {
  std::string svg;  // empty: there is nothing to draw
  std::vector<std::string> columns = {};
  std::vector<std::vector<std::string>> rows = {};
  std::vector<std::string> names = {};  // of each series or class, with what was left out of it
};

namespace detail {

/// Whether a number has a place in a chart.
inline bool drawable(double value) {
  return std::abs(value) <= 1e300;
}
inline bool drawable(const ChartSeries& series, Index i) {
  return drawable(series.x[i]) && drawable(series.y[i]);
}

/// A name for the legend, which says what is not drawn.
inline std::string name_of(const std::string& name, Index drawn, Index given) {
  if (drawn == 0) return name + " (no numbers)";
  return drawn == given ? name : concat(name, " (", given - drawn, " of ", given, " are no numbers)");
}

/// The plane of a chart: numbers to places, axes and grid.
class ChartPlane {
 public:
  static constexpr double width = 640, height = 303, right = 14, top = 14, bottom = 49;

  ChartPlane(double x_low, double x_high, double y_low, double y_high)
      : y_ticks_(nice_ticks(y_low, y_high, 5)), y_texts_(tick_texts(y_ticks_)) {
    left_ = std::max(58.0, 26 + digit_width * longest(y_texts_));
    // The axis of x ends where its numbers end; ticks outside are not drawn. As many as have room.
    std::tie(x_low_, x_high_) = widened(x_low, x_high);
    for (Index wanted = 8; wanted > 0; --wanted) {
      x_ticks_ = nice_ticks(x_low_, x_high_, wanted);
      x_texts_ = tick_texts(x_ticks_);
      if (x(x_ticks_[1]) - x(x_ticks_[0]) > digit_width * (longest(x_texts_) + 2)) break;
    }
  }

  double x(double value) const {
    return left_ + (value - x_low_) / (x_high_ - x_low_) * (width - left_ - right);
  }
  double y(double value) const {
    const double low = y_ticks_.front(), high = y_ticks_.back();
    return height - bottom - (value - low) / (high - low) * (height - top - bottom);
  }
  double base() const { return height - bottom; }

  static std::string place(double value) { return digits_of(value, std::chars_format::fixed, 1); }
  std::string point(double px, double py) const { return concat(place(x(px)), ',', place(y(py))); }

  std::string open(const std::string& title) const {
    return concat("<svg viewBox=\"0 0 ", width, " ", height, "\" role=\"img\" aria-label=\"", escaped(title),
                  "\" xmlns=\"http://www.w3.org/2000/svg\">\n");
  }

  std::string axes(const std::string& x_label, const std::string& y_label) const {
    std::string svg;
    for (Index i = 0; i < y_ticks_.size(); ++i) {
      const std::string at = place(y(y_ticks_[i]));
      svg += concat("<line class=\"grid\" x1=\"", place(left_), "\" x2=\"", width - right, "\" y1=\"", at,
                    "\" y2=\"", at, "\"/><text class=\"tick\" x=\"", place(left_ - 8), "\" y=\"", at,
                    "\" text-anchor=\"end\" dominant-baseline=\"middle\">", y_texts_[i], "</text>\n");
    }
    for (Index i = 0; i < x_ticks_.size(); ++i) {
      const double slack = 1e-9 * (x_high_ - x_low_);
      if (x_ticks_[i] < x_low_ - slack || x_ticks_[i] > x_high_ + slack) continue;
      // A long text at the right end would leave the drawing.
      const double half = digit_width * static_cast<double>(x_texts_[i].size()) / 2;
      svg += concat("<text class=\"tick\" x=\"", place(std::min(x(x_ticks_[i]), width - half)), "\" y=\"",
                    base() + 20, "\" text-anchor=\"middle\">", x_texts_[i], "</text>\n");
    }
    svg += concat("<line class=\"axis\" x1=\"", place(left_), "\" x2=\"", width - right, "\" y1=\"", base(),
                  "\" y2=\"", base(), "\"/>\n");
    if (!x_label.empty()) {
      svg += concat("<text class=\"label\" x=\"", place((left_ + width - right) / 2), "\" y=\"", height - 8,
                    "\" text-anchor=\"middle\">", escaped(x_label), "</text>\n");
    }
    if (!y_label.empty()) {
      svg += concat("<text class=\"label\" transform=\"translate(13 ", (top + base()) / 2,
                    ") rotate(-90)\" text-anchor=\"middle\">", escaped(y_label), "</text>\n");
    }
    return svg;
  }

 private:
  static constexpr double digit_width = 8.8;  // of a wide font at 13.5 px, as on phones

  static double longest(const std::vector<std::string>& texts) {
    Index length = 0;
    for (const std::string& text : texts) length = std::max(length, text.size());
    return static_cast<double>(length);
  }

  std::vector<double> x_ticks_, y_ticks_;
  std::vector<std::string> x_texts_, y_texts_;
  double left_ = 0, x_low_ = 0, x_high_ = 1;
};

}  // namespace detail

/// Throws UsageError where the lists of a series differ in length.
inline Drawing draw(const LineChart& chart) {
  constexpr double far = std::numeric_limits<double>::infinity();
  Drawing drawing;
  double x_low = far, x_high = -far, y_low = far, y_high = -far;
  bool bands = false;
  bool counted = false;
  for (const ChartSeries& series : chart.series) {
    const bool band = !series.low.empty();
    if (series.x.size() != series.y.size() || series.low.size() != series.high.size() ||
        (band && series.low.size() != series.x.size()) ||
        (!series.counts.empty() && series.counts.size() != series.x.size())) {
      throw UsageError(concat("chart: series \"", series.name, "\" has ", series.x.size(), " x, ",
                              series.y.size(), " y and ", series.low.size(), " to ", series.high.size(),
                              " ends of intervals and ", series.counts.size(),
                              " counts, expected as many of each"));
    }
    bands = bands || band;
    counted = counted || !series.counts.empty();
    Index drawn = 0;
    for (Index i = 0; i < series.x.size(); ++i) {
      if (!detail::drawable(series, i)) continue;
      ++drawn;
      x_low = std::min(x_low, series.x[i]);
      x_high = std::max(x_high, series.x[i]);
      y_low = std::min({y_low, series.y[i], band && detail::drawable(series.low[i]) ? series.low[i] : far});
      y_high =
          std::max({y_high, series.y[i], band && detail::drawable(series.high[i]) ? series.high[i] : -far});
    }
    drawing.names.push_back(detail::name_of(series.name, drawn, series.x.size()));
  }
  drawing.columns = {"series", chart.x_label.empty() ? "x" : chart.x_label,
                     chart.y_label.empty() ? "y" : chart.y_label};
  if (bands) drawing.columns.insert(drawing.columns.end(), {"low", "high"});
  if (counted) drawing.columns.push_back("count");
  if (x_low > x_high) return drawing;
  if (chart.y_low) y_low = std::min(y_low, *chart.y_low);
  if (chart.y_high) y_high = std::max(y_high, *chart.y_high);

  const detail::ChartPlane plane(x_low, x_high, y_low, y_high);
  std::string& svg = drawing.svg;
  svg = plane.open(chart.title) + plane.axes(chart.x_label, chart.y_label);
  for (Index s = 0; s < chart.series.size(); ++s) {
    const ChartSeries& series = chart.series[s];
    if (series.low.empty()) continue;
    std::string there, back;
    for (Index i = 0; i < series.x.size(); ++i) {
      if (!detail::drawable(series, i) || !detail::drawable(series.low[i]) ||
          !detail::drawable(series.high[i]))
        continue;
      detail::append(there, (there.empty() ? "" : " "), plane.point(series.x[i], series.high[i]));
      back = plane.point(series.x[i], series.low[i]) + (back.empty() ? "" : " ") + back;
    }
    if (!there.empty()) {
      svg += concat("<polygon class=\"band c", s % 6, "\" points=\"", there, " ", back, "\"/>\n");
    }
  }
  for (Index s = 0; s < chart.series.size(); ++s) {
    const ChartSeries& series = chart.series[s];
    std::string run;
    Index points = 0;
    double most = 0;
    for (const double count : series.counts) most = std::max(most, count);
    const auto dot = [&](Index i) {
      // The area of a mark grows with the observations behind it.
      const double share = most > 0 && series.counts[i] > 0 ? series.counts[i] / most : 0;
      const double radius = most > 0 ? 2 + 5 * std::sqrt(share) : 3.5;
      svg += concat("<circle class=\"dot c", s % 6, "\" cx=\"", plane.place(plane.x(series.x[i])), "\" cy=\"",
                    plane.place(plane.y(series.y[i])), "\" r=\"", plane.place(radius), "\"/>\n");
    };
    const auto end_run = [&](Index end) {
      if (points == 1 && !series.dots) dot(end - 1);  // no line leads to it
      if (points >= 2) {
        svg += concat("<polyline class=\"line c", s % 6, series.dashed ? " dashed" : "", "\" points=\"", run,
                      "\"/>\n");
      }
      run.clear();
      points = 0;
    };
    for (Index i = 0; i < series.x.size(); ++i) {
      if (!detail::drawable(series, i)) {
        end_run(i);
        continue;
      }
      detail::append(run, (points == 0 ? "" : " "), plane.point(series.x[i], series.y[i]));
      ++points;
      if (series.dots) dot(i);
      std::vector<std::string> row{series.name, number_text(series.x[i], 4), number_text(series.y[i], 4)};
      if (bands) {
        row.push_back(series.low.empty() ? "" : number_text(series.low[i], 4));
        row.push_back(series.high.empty() ? "" : number_text(series.high[i], 4));
      }
      if (counted) row.push_back(series.counts.empty() ? "" : number_text(series.counts[i], 0));
      drawing.rows.push_back(std::move(row));
    }
    end_run(series.x.size());
  }
  svg += "</svg>\n";
  return drawing;
}

/// Bins of equal width from the smallest to the largest number of all classes; heights are shares of a class.
inline Drawing draw(const HistogramChart& chart) {
  if (chart.bins == 0) throw UsageError("histogram: found 0 bins, expected at least 1");
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  Drawing drawing;
  for (const auto& one : chart.classes) {
    Index drawn = 0;
    for (const double value : one.values) {
      if (!detail::drawable(value)) continue;
      ++drawn;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    drawing.names.push_back(detail::name_of(one.name, drawn, one.values.size()));
  }
  drawing.columns = {"class", "from", "to", "count"};
  if (low > high) return drawing;
  std::tie(low, high) = widened(low, high);
  const double step = (high - low) / static_cast<double>(chart.bins);
  std::vector<std::vector<double>> shares;
  double highest = 0;
  for (const auto& one : chart.classes) {
    std::vector<double> counts(chart.bins);
    double total = 0;
    for (const double value : one.values) {
      if (!detail::drawable(value)) continue;
      ++counts[std::min(chart.bins - 1, static_cast<Index>((value - low) / step))];
      ++total;
    }
    for (Index b = 0; b < chart.bins; ++b) {
      if (counts[b] == 0) continue;
      const double from = low + step * static_cast<double>(b);
      drawing.rows.push_back(
          {one.name, number_text(from, 4), number_text(from + step, 4), number_text(counts[b], 0)});
    }
    for (double& count : counts) {
      count = total > 0 ? count / total : 0;
      highest = std::max(highest, count);
    }
    shares.push_back(std::move(counts));
  }
  const detail::ChartPlane plane(low, high, 0, highest);
  drawing.svg = plane.open(chart.title) + plane.axes(chart.x_label, "share of the class");
  for (Index c = 0; c < shares.size(); ++c) {
    if (std::all_of(shares[c].begin(), shares[c].end(), [](double share) { return share == 0; })) continue;
    std::string outline = plane.point(low, 0);
    for (Index b = 0; b < chart.bins; ++b) {
      const double from = low + step * static_cast<double>(b);
      detail::append(outline, " ", plane.point(from, shares[c][b]), " ",
                     plane.point(from + step, shares[c][b]));
    }
    detail::append(outline, " ", plane.point(high, 0));
    drawing.svg += concat("<polygon class=\"bars c", c % 6, "\" points=\"", outline, "\"/>\n");
  }
  drawing.svg += "</svg>\n";
  return drawing;
}

}  // namespace MERIT_ABI
}  // namespace merit
