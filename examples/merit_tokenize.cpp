// Shows what a model reads: the text, the tokens and the places of each, of strings and conversations.
#include <cstdio>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "command_line/line_input.hpp"
#include "command_line/options.hpp"
#include "command_line/program.hpp"
#include "command_line/source_flags.hpp"
#include "merit/io/json.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/run/read_model_text.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/templates/plain_template.hpp"
#include "merit/text/text_files.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace {

using merit::Index;
using programs::Output;

constexpr const char* name = "merit_tokenize";

struct Options {
  std::string model;
  std::string file = "-";
  bool json = false;
  bool special = false;
};

/// A line of the input: a string, or an object with messages.
struct Line {
  std::string text;
  bool conversation = false;
};

Line read_line(const merit::OrderedJson& value, const merit::ModelText& model,
               const merit::SourcePosition& at) {
  if (value.is_string()) return {value.get<std::string>(), false};
  if (!value.is_object()) {
    throw merit::DataError(at.text() + ": found " + merit::describe(value) +
                           ", expected a string or an object with 'messages'");
  }
  const merit::ConversationToRender conversation = merit::parse_conversation(value, at);
  static const merit::PlainTemplate plain;
  const merit::ConversationTemplate& with = model.conversation ? *model.conversation : plain;
  Line line{"", true};
  try {
    line.text = with.render(conversation.messages, conversation.options);
  } catch (const merit::DataError& error) {
    throw merit::DataError(at.text() + ": " + error.what());
  }
  try {
    static_cast<void>(with.render_whole(conversation.messages, conversation.options));
  } catch (const merit::DataError& error) {
    programs::say_remarks({at.text() + ": " + error.what()}, name);
  }
  return line;
}

std::string json_line(const Line& line, const merit::PretrainedTokenizer& tokenizer, bool special) {
  std::vector<merit::TokenSpan> spans;
  const auto put = [&](const std::vector<merit::Token>& tokens, Index at) {
    for (const merit::Token id : tokens) spans.push_back({id, at, at});
  };
  const bool around = special && !line.conversation;
  if (around) put(tokenizer.before(), 0);
  tokenizer.encode(line.text, spans);
  if (around) put(tokenizer.after(), line.text.size());
  merit::OrderedJson ids = merit::OrderedJson::array();
  merit::OrderedJson pieces = merit::OrderedJson::array();
  merit::OrderedJson offsets = merit::OrderedJson::array();
  for (const merit::TokenSpan& span : merit::in_code_points(line.text, spans)) {
    ids.push_back(span.id);
    pieces.push_back(tokenizer.piece(span.id));
    offsets.push_back({span.begin, span.end});
  }
  merit::OrderedJson object;
  object["text"] = line.text;
  object["ids"] = std::move(ids);
  object["pieces"] = std::move(pieces);
  object["offsets"] = std::move(offsets);
  return object.dump(-1, ' ', false, merit::OrderedJson::error_handler_t::replace);
}

std::string plain_line(const Line& line, const merit::PretrainedTokenizer& tokenizer, bool special) {
  std::vector<merit::Token> ids;
  const bool around = special && !line.conversation;
  if (around) ids = tokenizer.before();
  tokenizer.encode(line.text, ids);
  if (around) {
    for (const merit::Token id : tokenizer.after()) ids.push_back(id);
  }
  std::string text;
  for (const merit::Token id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

int run(int argc, char** argv) {
  programs::CommandLine command(
      name,
      "Shows the tokens that a published model reads.\n\n"
      "Reads JSON lines: a string, or {\"messages\": […], \"tools\": […], \"add_generation_prompt\": true}, "
      "which\n"
      "goes through the model's chat template as transformers does it; what the template leaves out is said. Writes a line for each: the ids; with --json the text, ids, "
      "pieces and\n"
      "offsets [begin, end) in code points of the text.\n");
  Options options;
  command.text("FILE", options.file, "FILE", "JSON lines; - is the standard input");
  command.text("--model", options.model, "DIR",
               "a folder with a tokenizer, with or without a model; or a GGUF file");
  command.flag("--json", options.json, "write JSON lines");
  command.flag("--special-tokens", options.special,
               "of strings, also the special tokens that the tokenizer puts around a text");
  command.parse(argc, argv);
  if (options.model.empty()) throw merit::ConfigError("--model is missing: a folder with a tokenizer");

  const std::optional<merit::ModelText> model = merit::read_model_text(options.model);
  if (!model) {
    throw merit::DataError(options.model + ": found no tokenizer, expected one of: " +
                           std::string(merit::text_files_looked_for));
  }
  const auto* tokenizer = model->tokenizer.get_if<merit::PretrainedTokenizer>();
  programs::LineFile input(options.file);
  merit::JsonLinesReader reader(input.stream, input.name);
  Output output;
  while (true) {
    if (!input.bytes.line_ready()) output.flush();
    const auto value = reader.next_value();
    if (!value) break;
    const Line line = read_line(*value, *model, reader.position());
    output.line(options.json ? json_line(line, *tokenizer, options.special)
                             : plain_line(line, *tokenizer, options.special));
  }
  output.flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
