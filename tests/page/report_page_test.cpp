// The report page: text that may hold anything, numbers, ticks, charts, and what is picked to be shown. What
// it looks like is tests/report_page's.
#include "merit/page/report_page.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace report_page_test {

using namespace merit;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Index count(const std::string& text, const std::string& what) {
  Index found = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
  return found;
}
bool contains(const std::string& text, const std::string& what) {
  return text.find(what) != text.npos;
}

TEST_CASE("a page's text is escaped: no markup, no control characters, no broken UTF-8") {
  CHECK(escaped("<b>\"a\" & b</b>") == "&lt;b&gt;&quot;a&quot; &amp; b&lt;/b&gt;");
  CHECK(escaped("a\tb\nc\x01") == "a\tb\nc\xEF\xBF\xBD");
  CHECK(escaped("a\r\nb\rc\r") == "a\nb\nc\n");
  CHECK(escaped("\xEF\xBF\xBE|\xEF\xBF\xBF|\xEF\xBF\xBC") == "\xEF\xBF\xBD|\xEF\xBF\xBD|\xEF\xBF\xBC");
  CHECK(escaped("\xC3\xA9") == "\xC3\xA9");
  CHECK(escaped("a\xC3") == "a\xEF\xBF\xBD");
  CHECK(escaped("\xFFz\x80") == "\xEF\xBF\xBDz\xEF\xBF\xBD");
}

TEST_CASE("a text is cut between characters") {
  CHECK(head_of("abc", 5) == "abc");
  CHECK(head_of("a\xC3\xA9z", 2) == "a");
  CHECK(head_of("a\xC3\xA9z", 3) == "a\xC3\xA9");
}

TEST_CASE("numbers are written as people read them") {
  CHECK(number_text(0.5) == "0.5");
  CHECK(number_text(0.9126) == "0.913");
  CHECK(number_text(-0.0001) == "-1.00e-04");
  CHECK(number_text(0) == "0");
  CHECK(number_text(-0.0) == "0");
  CHECK(number_text(1200, 0) == "1200");
  CHECK(number_text(1e9) == "1.00e+09");
  CHECK(number_text(not_a_number) == "–");
}

TEST_CASE("ticks are round, evenly apart, and reach over the numbers") {
  CHECK(nice_ticks(0, 1).size() == 6);
  CHECK(nice_ticks(0, 1)[1] == doctest::Approx(0.2));
  CHECK(nice_ticks(0.13, 0.87).front() <= 0.13);
  CHECK(nice_ticks(0.13, 0.87).back() >= 0.87);
  CHECK(nice_ticks(3, 3).size() >= 2);
  CHECK(nice_ticks(0, 0).size() >= 2);
  for (const double scale : {1e-6, 0.3, 7.0, 1234.5, 1e8}) {
    for (const Index wanted : {Index{3}, Index{5}, Index{8}}) {
      const auto ticks = nice_ticks(-0.37 * scale, scale, wanted);
      CHECK(ticks.front() <= -0.37 * scale + 1e-8 * scale);
      CHECK(ticks.back() >= scale - 1e-8 * scale);
      CHECK(ticks.size() >= 3);
      CHECK(ticks.size() <= wanted + 3);
      const double step = ticks[1] - ticks[0];
      const double mantissa = step / std::pow(10.0, std::floor(std::log10(step) + 1e-9));
      CHECK(
          (std::abs(mantissa - 1) < 1e-6 || std::abs(mantissa - 2) < 1e-6 || std::abs(mantissa - 5) < 1e-6));
    }
  }
}

TEST_CASE("numbers that are all but equal get an axis around them") {
  const double below = std::nextafter(1.0, 0.0);
  CHECK(nice_ticks(below, 1).size() <= 12);
  CHECK(nice_ticks(1e9, 1e9 + 1e-3, 8).size() <= 12);
  CHECK(widened(0.2, 0.3) == std::pair(0.2, 0.3));
  const Drawing line = draw(LineChart{"t", "", "", "", {{"a", {1, 2}, {below, 1}}}});
  CHECK(contains(line.svg, ",134.0 626.0,134.0\""));
  CHECK_FALSE(draw(HistogramChart{"t", "", "", {{"a", {below, 1}}}}).svg.empty());
}

TEST_CASE("neighbouring ticks read differently at any size") {
  for (const double size : {1e-12, 3e-7, 1e-3, 0.7, 42.0, 12345.0, 1.6e7, 3e11, 1e250}) {
    for (const double from : {-0.3, 0.0, 0.6, 0.999}) {
      const std::vector<std::string> texts = tick_texts(nice_ticks(from * size, size, 8));
      for (Index i = 1; i < texts.size(); ++i) CHECK(texts[i] != texts[i - 1]);
      for (const std::string& text : texts) CHECK(text.size() <= 12);
    }
  }
  CHECK(tick_texts({-0.5, 0, 0.5}) == std::vector<std::string>{"-0.5", "0", "0.5"});
  CHECK(tick_texts({1e7, 1.2e7}) == std::vector<std::string>{"1.0e+07", "1.2e+07"});
}

TEST_CASE("a line stands where its numbers are, and breaks where there is none") {
  ChartSeries series{"a", {0, 1, 2, 3, 4}, {0, 1, not_a_number, 1, 0}};
  const Drawing drawing = draw(LineChart{"t", "", "x", "y", {series}});
  CHECK(count(drawing.svg, "<polyline") == 2);
  // x from 0 to 4 between 58 and 626, y from 0 to 1 between 254 and 14.
  CHECK(contains(drawing.svg, "points=\"58.0,254.0 200.0,14.0\""));
  CHECK(contains(drawing.svg, "points=\"484.0,14.0 626.0,254.0\""));
  CHECK(drawing.rows.size() == 4);
  CHECK(drawing.columns == std::vector<std::string>{"series", "x", "y"});
  CHECK(drawing.names == std::vector<std::string>{"a (1 of 5 are no numbers)"});
}

TEST_CASE("a point between two gaps is a dot, and a series without numbers is said") {
  const Drawing drawing = draw(LineChart{
      "t", "", "", "", {{"a", {1, 2, 3, 4}, {1, not_a_number, 2, not_a_number}}, {"b"}, {"c", {1}, {1}}}});
  CHECK(count(drawing.svg, "<circle class=\"dot c0\"") == 2);
  CHECK(drawing.names == std::vector<std::string>{"a (2 of 4 are no numbers)", "b (no numbers)", "c"});
  const Drawing far = draw(LineChart{"t", "", "", "", {{"a", {1, 2}, {-1e308, 1.6e308}}}});
  CHECK(far.svg.empty());
}

TEST_CASE("a mark's area grows with what is behind it, and the table tells how much that is") {
  ChartSeries series{.name = "a", .x = {1, 2, 3}, .y = {1, 2, 3}, .dots = true, .counts = {100, 25, 0}};
  const Drawing drawing = draw(LineChart{"t", "", "x", "y", {series}});
  CHECK(count(drawing.svg, " r=\"7.0\"") == 1);
  CHECK(count(drawing.svg, " r=\"4.5\"") == 1);
  CHECK(count(drawing.svg, " r=\"2.0\"") == 1);
  CHECK(drawing.columns == std::vector<std::string>{"series", "x", "y", "count"});
  CHECK(drawing.rows[1] == std::vector<std::string>{"a", "2", "2", "25"});
  series.counts = {0, 0, 0};
  CHECK(count(draw(LineChart{"t", "", "", "", {series}}).svg, " r=\"3.5\"") == 3);
}

TEST_CASE("intervals are bands, one point is a dot, and what cannot be drawn is not") {
  ChartSeries series{"a", {1, 2}, {0.5, 0.6}, {0.4, 0.5}, {0.6, 0.9}};
  const Drawing band = draw(LineChart{"t", "", "x", "y", {series}});
  CHECK(count(band.svg, "<polygon class=\"band c0\"") == 1);
  CHECK(band.rows[1] == std::vector<std::string>{"a", "2", "0.6", "0.5", "0.9"});
  CHECK(count(draw(LineChart{"t", "", "", "", {{"one", {1}, {2}}}}).svg, "<circle") == 1);
  CHECK(draw(LineChart{"t", "", "", "", {}}).svg.empty());
  CHECK(draw(LineChart{"t", "", "", "", {{"none", {1, not_a_number}, {not_a_number, 3}}}}).svg.empty());
  CHECK_THROWS_WITH_AS(
      draw(LineChart{"t", "", "", "", {{"a", {1, 2}, {1}}}}),
      "chart: series \"a\" has 2 x, 1 y and 0 to 0 ends of intervals and 0 counts, expected as many of each",
      UsageError);
}

TEST_CASE("a histogram counts every number once, the largest in the last bin") {
  const HistogramChart chart{"t", "", "score", {{"a", {0, 0.5, 1, 2, not_a_number}}, {"b", {}}}, 4};
  const Drawing drawing = draw(chart);
  REQUIRE(drawing.rows.size() == 4);
  CHECK(drawing.rows[0] == std::vector<std::string>{"a", "0", "0.5", "1"});
  CHECK(drawing.rows[3] == std::vector<std::string>{"a", "1.5", "2", "1"});
  CHECK(count(drawing.svg, "<polygon class=\"bars") == 1);
  CHECK(drawing.names == std::vector<std::string>{"a (1 of 5 are no numbers)", "b (no numbers)"});
  CHECK(draw(HistogramChart{"t", "", "", {{"a", {}}}}).svg.empty());
  CHECK_FALSE(draw(HistogramChart{"t", "", "", {{"a", {3, 3}}}}).svg.empty());
  CHECK_THROWS_AS(draw(HistogramChart{"t", "", "", {{"a", {1}}}, 0}), UsageError);
}

TEST_CASE("the most telling records are the surest mistakes, the surest hits and the closest calls") {
  const std::vector<double> p{0.9, 0.1, 0.55, 0.99, 0.02, not_a_number, 0.45};
  const std::vector<double> y{1, 1, 0, 0, 0, 1, 1};
  const TellingRecords telling = telling_records(p, y, 2);
  CHECK(telling.wrong == std::vector<Index>{3, 1});
  CHECK(telling.right == std::vector<Index>{4, 0});
  REQUIRE(telling.uncertain.size() == 2);
  for (const Index i : telling.uncertain) CHECK((i == 2 || i == 6));
  const std::vector<double> same{0.5, 0.5, 0.5, 0.5};
  CHECK(telling_records(same, std::vector<double>(4, 1.0), 2).uncertain == std::vector<Index>{0, 1});
  CHECK(telling_records({}, {}, 3).wrong.empty());
  CHECK_THROWS_AS(telling_records(p, std::vector<double>{1}, 2), UsageError);
}

TEST_CASE("records show each piece once, say what is left out, and join a character that pieces split") {
  ReportPage page("t", "s");
  ScoredRecord record{"<title>", "a prompt"};
  record.spans = {{"caf", 0.2}, {"\xC3", 0.4}, {"\xA9", 0.9, "right"}, {"\xFF", std::nullopt}, {"end", 1.0}};
  page.records("r", "", std::vector{record});
  const std::string html = page.html();
  CHECK(count(html, "class=\"piece\"") == 5 + 4);  // the scale's, then these
  CHECK(contains(html, "title=\"0.9, right\">\xC3\xA9</span>"));
  CHECK(contains(html, "title=\"not scored\">\xEF\xBF\xBD</span>"));
  CHECK(contains(html, "&lt;title&gt;"));

  ReportPage cut("t", "s");
  record.prompt = std::string(50, 'p');
  record.steps = true;
  record.spans = {{std::string(12, 'a'), 0.5}, {std::string(7, 'b'), 0.5}};
  cut.records("r", "", std::vector{record}, 10);
  CHECK(contains(cut.html(), "40 more bytes are not shown."));
  CHECK(contains(cut.html(), "<p class=\"cut\">9 more bytes are not shown."));
  CHECK(contains(cut.html(), ">aaaaaaaaaa<"));
  CHECK(count(cut.html(), "<li><span class=\"said\"") == 1);

  // Cut inside a character that two pieces hold: nothing of it is shown, and both bytes are counted.
  ReportPage split("t", "s");
  split.records("r", "",
                std::vector{ScoredRecord{"r", "", {{"abc", 0.5}, {"\xC3", 0.5}, {"\xA9", 0.5}, {"d", 0.5}}}},
                4);
  CHECK(contains(split.html(), ">abc</span></bdi>"));
  CHECK(contains(split.html(), "<p class=\"cut\">3 more bytes are not shown."));
}

TEST_CASE("a page without numbers says so, and equal input gives equal bytes") {
  const auto build = [] {
    ReportPage page("title", "subtitle");
    page.chart(LineChart{"nothing", "", "", "", {}});
    page.table("t", "n", {"a", "b"}, {{"x", "1"}});
    page.records("none", "", {});
    return page.html();
  };
  CHECK(build() == build());
  CHECK(contains(build(), "There are no numbers to draw."));
  CHECK(contains(build(), "There is none."));
  CHECK(contains(build(), "<th scope=\"row\">x</th><td>1</td>"));
}

}  // namespace report_page_test
