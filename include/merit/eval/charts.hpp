// Charts as SVG: lines with bands, and histograms. Colours come from the page's style, so that a chart is
// readable in light and dark.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/page_text.hpp"

namespace merit::inline MERIT_ABI {

/// One line. Points that are not finite are left out, and the line is broken there.
struct ChartSeries {
  std::string name;
  std::vector<double> x = {};
  std::vector<double> y = {};
  std::vector<double> low = {};  // of the interval around each y; empty: none
  std::vector<double> high = {};
  bool dashed = false;  // a reference: chance, an oracle, the diagonal
  bool dots = false;    // a mark at each point
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
};

namespace detail {

/// The plane of a chart: numbers to places, axes and grid.
class ChartPlane {
 public:
  static constexpr double width = 640, height = 300, left = 58, right = 14, top = 14, bottom = 46;

  ChartPlane(double x_low, double x_high, double y_low, double y_high)
      : x_ticks_(nice_ticks(x_low, x_high, 8)), y_ticks_(nice_ticks(y_low, y_high, 5)) {
    // The axis of x ends where its numbers end; ticks outside are not drawn.
    x_low_ = x_low < x_high ? x_low : x_ticks_.front();
    x_high_ = x_low < x_high ? x_high : x_ticks_.back();
  }

  double x(double value) const {
    return left + (value - x_low_) / (x_high_ - x_low_) * (width - left - right);
  }
  double y(double value) const {
    const double low = y_ticks_.front(), high = y_ticks_.back();
    return height - bottom - (value - low) / (high - low) * (height - top - bottom);
  }
  double base() const { return height - bottom; }

  static std::string place(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f", value);
    return buffer;
  }
  std::string point(double px, double py) const { return concat(place(x(px)), ',', place(y(py))); }

  std::string open(const std::string& title) const {
    return concat("<svg viewBox=\"0 0 ", width, " ", height, "\" role=\"img\" aria-label=\"", escaped(title),
                  "\" xmlns=\"http://www.w3.org/2000/svg\">\n");
  }

  std::string axes(const std::string& x_label, const std::string& y_label) const {
    std::string svg;
    const int y_digits = digits_for(y_ticks_);
    for (const double tick : y_ticks_) {
      const std::string at = place(y(tick));
      svg += concat("<line class=\"grid\" x1=\"", left, "\" x2=\"", width - right, "\" y1=\"", at, "\" y2=\"",
                    at, "\"/><text class=\"tick\" x=\"", left - 8, "\" y=\"", at,
                    "\" text-anchor=\"end\" dominant-baseline=\"middle\">", number_text(tick, y_digits),
                    "</text>\n");
    }
    const int x_digits = digits_for(x_ticks_);
    for (const double tick : x_ticks_) {
      if (tick < x_low_ - 1e-9 * (x_high_ - x_low_) || tick > x_high_ + 1e-9 * (x_high_ - x_low_)) continue;
      svg += concat("<text class=\"tick\" x=\"", place(x(tick)), "\" y=\"", base() + 17,
                    "\" text-anchor=\"middle\">", number_text(tick, x_digits), "</text>\n");
    }
    svg += concat("<line class=\"axis\" x1=\"", left, "\" x2=\"", width - right, "\" y1=\"", base(),
                  "\" y2=\"", base(), "\"/>\n");
    if (!x_label.empty()) {
      svg += concat("<text class=\"label\" x=\"", (left + width - right) / 2, "\" y=\"", height - 8,
                    "\" text-anchor=\"middle\">", escaped(x_label), "</text>\n");
    }
    if (!y_label.empty()) {
      svg += concat("<text class=\"label\" transform=\"translate(13 ", (top + base()) / 2,
                    ") rotate(-90)\" text-anchor=\"middle\">", escaped(y_label), "</text>\n");
    }
    return svg;
  }

 private:
  /// Digits behind the point that tell neighbouring ticks apart.
  static int digits_for(const std::vector<double>& ticks) {
    const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
    return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
  }

  std::vector<double> x_ticks_, y_ticks_;
  double x_low_ = 0, x_high_ = 1;
};

inline bool drawable(const ChartSeries& series, Index i) {
  return std::isfinite(series.x[i]) && std::isfinite(series.y[i]);
}

}  // namespace detail

/// Throws UsageError where the lists of a series differ in length.
inline Drawing draw(const LineChart& chart) {
  constexpr double far = std::numeric_limits<double>::infinity();
  double x_low = far, x_high = -far, y_low = far, y_high = -far;
  bool bands = false;
  for (const ChartSeries& series : chart.series) {
    const bool band = !series.low.empty();
    if (series.x.size() != series.y.size() || series.low.size() != series.high.size() ||
        (band && series.low.size() != series.x.size())) {
      throw UsageError(detail::concat("chart: series \"", series.name, "\" has ", series.x.size(), " x, ",
                                      series.y.size(), " y and ", series.low.size(), " to ",
                                      series.high.size(), " ends of intervals, expected as many of each"));
    }
    bands = bands || band;
    for (Index i = 0; i < series.x.size(); ++i) {
      if (!detail::drawable(series, i)) continue;
      x_low = std::min(x_low, series.x[i]);
      x_high = std::max(x_high, series.x[i]);
      y_low = std::min({y_low, series.y[i], band && std::isfinite(series.low[i]) ? series.low[i] : far});
      y_high = std::max({y_high, series.y[i], band && std::isfinite(series.high[i]) ? series.high[i] : -far});
    }
  }
  Drawing drawing;
  drawing.columns = {"series", chart.x_label.empty() ? "x" : chart.x_label,
                     chart.y_label.empty() ? "y" : chart.y_label};
  if (bands) drawing.columns.insert(drawing.columns.end(), {"low", "high"});
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
      if (!std::isfinite(series.low[i]) || !std::isfinite(series.high[i])) continue;
      detail::append(there, (there.empty() ? "" : " "), plane.point(series.x[i], series.high[i]));
      back = plane.point(series.x[i], series.low[i]) + (back.empty() ? "" : " ") + back;
    }
    if (!there.empty()) {
      svg += detail::concat("<polygon class=\"band c", s % 6, "\" points=\"", there, " ", back, "\"/>\n");
    }
  }
  for (Index s = 0; s < chart.series.size(); ++s) {
    const ChartSeries& series = chart.series[s];
    std::string run;
    Index points = 0;
    const auto end_run = [&] {
      if (points >= 2) {
        svg += detail::concat("<polyline class=\"line c", s % 6, series.dashed ? " dashed" : "",
                              "\" points=\"", run, "\"/>\n");
      }
      run.clear();
      points = 0;
    };
    for (Index i = 0; i < series.x.size(); ++i) {
      if (!detail::drawable(series, i)) {
        end_run();
        continue;
      }
      detail::append(run, (points == 0 ? "" : " "), plane.point(series.x[i], series.y[i]));
      ++points;
      if (series.dots || series.x.size() == 1) {
        svg += detail::concat("<circle class=\"dot c", s % 6, "\" cx=\"", plane.place(plane.x(series.x[i])),
                              "\" cy=\"", plane.place(plane.y(series.y[i])), "\" r=\"3.5\"/>\n");
      }
      std::vector<std::string> row{series.name, number_text(series.x[i], 4), number_text(series.y[i], 4)};
      if (bands) {
        row.push_back(series.low.empty() ? "" : number_text(series.low[i], 4));
        row.push_back(series.high.empty() ? "" : number_text(series.high[i], 4));
      }
      drawing.rows.push_back(std::move(row));
    }
    end_run();
  }
  svg += "</svg>\n";
  return drawing;
}

/// Bins of equal width from the smallest to the largest number of all classes; heights are shares of a class.
inline Drawing draw(const HistogramChart& chart) {
  if (chart.bins == 0) throw UsageError("histogram: found 0 bins, expected at least 1");
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const auto& one : chart.classes) {
    for (const double value : one.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  Drawing drawing;
  drawing.columns = {"class", "from", "to", "count"};
  if (low > high) return drawing;
  if (low == high) {
    const double around = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= around;
    high += around;
  }
  const double step = (high - low) / static_cast<double>(chart.bins);
  std::vector<std::vector<double>> shares;
  double highest = 0;
  for (const auto& one : chart.classes) {
    std::vector<double> counts(chart.bins);
    double total = 0;
    for (const double value : one.values) {
      if (!std::isfinite(value)) continue;
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
    std::string outline = plane.point(low, 0);
    for (Index b = 0; b < chart.bins; ++b) {
      const double from = low + step * static_cast<double>(b);
      detail::append(outline, " ", plane.point(from, shares[c][b]), " ",
                     plane.point(from + step, shares[c][b]));
    }
    detail::append(outline, " ", plane.point(high, 0));
    drawing.svg += detail::concat("<polygon class=\"bars c", c % 6, "\" points=\"", outline, "\"/>\n");
  }
  drawing.svg += "</svg>\n";
  return drawing;
}

}  // namespace merit::inline MERIT_ABI
