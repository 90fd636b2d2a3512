// What a program may write over, and metrics that go on after a kill.
#include "merit/jobs/output_place.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>  // mkfifo

#include <filesystem>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/metrics_file.hpp"

namespace output_place_test {

using merit::ConfigError;
using merit::IoError;
using merit_test::contains;
using merit_test::error_of;
using merit_test::put;
namespace fs = std::filesystem;

TEST_CASE("an input, a model's folder and what lies in one are not written over") {
  const merit_test::TemporaryDirectory folder;
  const std::string data = (folder / "data.jsonl").string();
  put(data, "{}");
  fs::create_directory(folder / "model");
  put(folder / "model" / "merit.json", "{}");
  fs::create_symlink(data, folder / "link");
  const merit::OutputInputs inputs{.files = {data}, .folders = {(folder / "model").string() + "/"}};
  merit::check_output("--metrics", (folder / "m.jsonl").string(), inputs);
  for (const fs::path& same : {fs::path(data), folder / "link"}) {
    CHECK(error_of<ConfigError>([&] { merit::check_output("--metrics", same.string(), inputs); }) ==
          "--metrics is " + same.string() +
              ", which is also an input: it would be lost, expected another file");
  }
  CHECK(contains(error_of<ConfigError>([&] {
                   merit::check_output("--report", (folder / "model" / "deep" / "r.html").string(), inputs);
                 }),
                 "which lies in the model's folder"));
  CHECK(contains(error_of<ConfigError>(
                     [&] { merit::check_output("--report", (folder / "model" / "r.html").string(), {}); }),
                 "which lies in a model's folder, expected a file outside it"));
}

TEST_CASE("metrics go to a file, and no pipe is waited for") {
  const merit_test::TemporaryDirectory folder;
  const fs::path pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of<IoError>([&] { merit::check_metrics(pipe.string()); }) ==
        "cannot write " + pipe.string() + ": it exists and is not a regular file");
  CHECK(contains(error_of<IoError>([&] { merit::check_metrics(folder.path().string()); }),
                 "not a regular file"));
  merit::check_metrics("/dev/null");
  merit::check_metrics((folder / "new.jsonl").string());
}

TEST_CASE("files of a model are told from others") {
  for (const char* own :
       {"merit.json", "config.json", "training.json", "model.safetensors", "model-00001-of-00002.safetensors",
        "model.safetensors.index.json", "optimizer.safetensors"}) {
    INFO(std::string(own));
    CHECK(merit::is_of_a_model(own));
  }
  for (const char* other : {"model.txt", "model-1.safetensors", "notes.json", "optimizer"}) {
    INFO(std::string(other));
    CHECK_FALSE(merit::is_of_a_model(other));
  }
  const merit_test::TemporaryDirectory folder;
  put(folder / "merit.json", "{}");
  merit::require_only_a_model(folder.path());
  put(folder / "mine.txt", "x");
  CHECK(merit::foreign_files(folder.path()) == std::vector<std::string>{"mine.txt"});
  CHECK(error_of<IoError>([&] { merit::require_only_a_model(folder.path()); }) ==
        "will not replace " + folder.path().string() +
            ": it holds mine.txt, which would be lost: move it elsewhere");
}

TEST_CASE("metrics are known by their first line, and cut where a run goes on") {
  const merit_test::TemporaryDirectory folder;
  const std::string path = (folder / "m.jsonl").string();
  merit::check_metrics(path);  // not there
  put(path, "a diary\n");
  CHECK(error_of<IoError>([&] { merit::check_metrics(path); }) ==
        "will not replace " + path + ": it holds something else than the metrics of a run");

  {
    merit::MetricsFile metrics(path, std::nullopt);
    metrics.write({{"event", "start"}, {"step", 0}, {"steps", 4}, {"parameters", 1}});
    metrics.write({{"event", "step"}, {"step", 1}});
    metrics.write({{"event", "step"}, {"step", 2}});
  }
  merit::check_metrics(path);
  const std::string two = merit::read_file(path);
  put(path, two + "{\"event\":\"step\",\"st");  // a kill while it was written
  merit::check_metrics(path);
  {
    merit::MetricsFile metrics(path, 1);
    metrics.write({{"event", "resume"}, {"step", 1}});
  }
  const std::string kept = merit::read_file(path);
  CHECK(contains(kept, "\"event\":\"step\",\"step\":1}\n{\"event\":\"resume\""));
  CHECK_FALSE(contains(kept, "\"step\":2"));
  put(path, "{\"event\":\"sta");  // the only line, cut short
  merit::check_metrics(path);
  { const merit::MetricsFile fresh(path, std::nullopt); }
  CHECK(merit::read_file(path).empty());
}

}  // namespace output_place_test
