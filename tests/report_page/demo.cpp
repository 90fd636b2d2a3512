// Writes a report page with every kind of section: what check_page.py looks at in a browser.
#include <cmath>
#include <cstdio>
#include <limits>

#include "merit/core/rng.hpp"
#include "merit/page/report_page.hpp"

using namespace merit;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: report_page_demo FILE\n", stderr);
    return 2;
  }
  ReportPage page("A report with every section", "model demo on 1,200 records of made-up.jsonl, 2026-11-22");
  page.table("Summary", "Figures with their 95% intervals, and what reads nothing beside them.",
             {"what", "value", "interval", "note"},
             {{"accuracy", number_text(0.9123), "0.894 to 0.930", "ties count one half"},
              {"longer wins", number_text(0.51), "0.480 to 0.541", "the length alone"},
              {"expected calibration error", number_text(0.031), "0.024 to 0.040", "ten bins"}});

  Rng rng(1);
  ChartSeries loss{"loss"}, smooth{"smoothed"};
  for (int i = 1; i <= 200; ++i) {
    loss.x.push_back(i);
    loss.y.push_back(0.2 + 0.5 * std::exp(-i / 40.0) + 0.03 * rng.normal());
    smooth.x.push_back(i);
    smooth.y.push_back(i < 20 ? std::numeric_limits<double>::quiet_NaN() : 0.2 + 0.5 * std::exp(-i / 40.0));
  }
  page.chart(
      LineChart{"Training", "The loss of each step before its update.", "step", "loss", {loss, smooth}});

  ChartSeries chosen{"chosen by the model"}, chance{"chance"}, oracle{"an oracle"};
  chosen.dots = true;
  chance.dashed = oracle.dashed = true;
  for (int n = 1; n <= 8; ++n) {
    const double y = 0.3 + 0.6 * (1 - std::exp(-(n - 1) / 2.0));
    chosen.x.push_back(n);
    chosen.y.push_back(y);
    chosen.low.push_back(y - 0.03);
    chosen.high.push_back(y + 0.03);
    chance.x.push_back(n);
    chance.y.push_back(0.3);
    oracle.x.push_back(n);
    oracle.y.push_back(1 - std::pow(0.7, n));
  }
  page.chart(
      LineChart{"Best of N", "Over all subsets of n answers.", "n", "right", {chosen, chance, oracle}, 0, 1});

  ChartSeries bins{"the model"}, diagonal{"calibrated", {0, 1}, {0, 1}};
  bins.dots = true;
  diagonal.dashed = true;
  for (int b = 0; b < 10; ++b) {
    bins.x.push_back(0.05 + 0.1 * b);
    bins.y.push_back(std::pow(0.05 + 0.1 * b, 1.3));
    bins.counts.push_back(400 - 70 * b + 7 * b * b);
  }
  page.chart(LineChart{"Reliability", "", "probability said", "share right", {bins, diagonal}, 0, 1});

  HistogramChart histogram{"Scores", "The further apart, the better.", "score"};
  histogram.classes = {{"right"}, {"wrong"}};
  for (int i = 0; i < 500; ++i) {
    histogram.classes[0].values.push_back(1.5 + rng.normal());
    histogram.classes[1].values.push_back(-0.5 + rng.normal());
  }
  page.chart(histogram);
  page.chart(LineChart{"Large and small numbers",
                       "Ticks that need many digits.",
                       "tokens",
                       "rate",
                       {{"rate", {1e6, 2e6, 3e6, 4e6}, {3e-7, 9e-7, 8e-7, 2e-7}}, {"none"}}});
  page.chart(LineChart{"Nothing", "A chart without numbers says so.", "x", "y", {}});

  ScoredRecord tokens{"wrong, taken for right: 0.93", "How many legs have <b>two</b> spiders & a dog?"};
  const char* words[] = {"Two ", "spiders ", "have ", "16 ", "legs, ", "a dog ", "5, ", "so ", "21."};
  for (int i = 0; i < 9; ++i) tokens.spans.push_back({words[i], 0.95 - 0.1 * i, i == 6 ? "wrong" : ""});
  ScoredRecord steps{"first error at step 3", "Q: sort 160247 odd first"};
  steps.steps = true;
  steps.spans = {{"1|60247", 0.98, "good"},
                 {"17|6024", 0.96, "good"},
                 {"167|024 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D", 0.08, "bad"},
                 {"1670|24", std::nullopt, ""}};
  page.records("Records to look at", "Each piece in the colour of its score.", std::vector{tokens, steps});
  page.write_to(argv[1]);
  return 0;
}
