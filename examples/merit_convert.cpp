// Converts a model between safetensors, GGUF and types; merges an adapter into its base.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <optional>
#include <string>

#include "command_line/options.hpp"
#include "command_line/program.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/dtype.hpp"
#include "merit/run/convert_model.hpp"

namespace {

constexpr const char* name = "merit_convert";

std::optional<merit::Dtype> type_from(std::string text) {
  if (text.empty()) return std::nullopt;
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  const auto type = merit::dtype_named(text);
  if (!type)
    throw merit::ConfigError(
        "--type: found " + text +
        ", expected one of f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k");
  return type;
}

int run(int argc, char** argv) {
  programs::CommandLine command(
      name,
      "Writes a model in another format or type.\n\n"
      "Reads a folder of safetensors or pytorch_model.bin, or a GGUF file; writes a GGUF file where TO ends in\n"
      ".gguf, else a folder of safetensors. Tokenizer, templates and card come along. With --merge FROM is an\n"
      "adapter, and it and its base become one model. Exit codes: 0 done, 1 data or files, 2 options.\n");
  std::string from, to, type, base;
  bool merge = false;
  command.text("FROM", from, "FROM", "folder of a model or of an adapter, or a GGUF file");
  command.text("TO", to, "TO", "a name that is not there yet: a folder, or NAME.gguf");
  command.text(
      "--type", type, "TYPE",
      "of matrices: f32, f16, bf16; in GGUF also q8_0, q6_k, q5_k, q4_k, q3_k, q2_k, q4_0, q4_1, q5_0, q5_1; empty: as "
      "they are, or, of a GGUF file made a folder, as its config.json says");
  command.flag("--merge", merge, "FROM is an adapter: merge it into its base");
  command.text("--base", base, "DIR", "with --merge: where the base is; empty: where the adapter says");
  command.parse(argc, argv);
  if (from.empty() || to.empty())
    throw merit::ConfigError("FROM and TO are missing: a model, and a new name");
  if (command.given("--base") && !merge)
    throw merit::ConfigError("--base is given without --merge, which reads the base of an adapter");
  const merit::ConvertReport report =
      merit::convert_model(from, to, {.type = type_from(type), .merge = merge, .base = base});
  for (const std::string& left : report.left_out) programs::say_remarks({"left out: " + left}, name);
  if (!report.kept.empty()) {
    programs::say_remarks({std::to_string(report.kept.size()) +
                           " matrices keep their type, for their rows are no whole blocks: " +
                           report.kept.front() + (report.kept.size() > 1 ? ", …" : "")},
                          name);
  }
  std::printf("%s: %zu tensors\n", to.c_str(), report.tensors);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
