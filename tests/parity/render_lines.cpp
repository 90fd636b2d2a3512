// Renders conversations by chat templates, for templates.py. Each line of standard input is an object
// {"template", "messages", "tools", "add_generation_prompt", "continue_final_message", "variables",
// "tokens"}; each line of standard output is {"text", "generated"} or {"error"}. The clock stands still.
#include <iostream>
#include <string>
#include <vector>

#include "merit/core/value.hpp"
#include "merit/io/json.hpp"
#include "merit/templates/chat_template.hpp"

namespace {

bool flag(const merit::Value& request, std::string_view name) {
  const merit::Value* value = request.find(name);
  return value != nullptr && value->boolean() != nullptr && *value->boolean();
}

merit::Value field(const merit::Value& request, std::string_view name) {
  const merit::Value* value = request.find(name);
  return value == nullptr ? merit::Value() : *value;
}

merit::Value answer(const merit::Value& request) {
  merit::ChatTemplate::Settings settings;
  settings.clock = [] { return std::time_t{1767268800}; };
  const merit::Value tokens = field(request, "tokens");
  if (tokens.fields() != nullptr) {
    for (const auto& [name, value] : *tokens.fields()) settings.tokens[name] = *value.string();
  }
  merit::RenderOptions options;
  options.add_generation_prompt = flag(request, "add_generation_prompt");
  options.continue_final_message = flag(request, "continue_final_message");
  options.tools = field(request, "tools");
  options.variables = field(request, "variables");
  std::vector<merit::Message> messages;
  const merit::Value given = field(request, "messages");
  if (given.list() == nullptr) throw merit::DataError("a line: expected a list of messages");
  for (const merit::Value& whole : *given.list()) messages.push_back({"", "", whole});
  const merit::ChatTemplate chat(*field(request, "template").string(), "template", settings);
  const auto rendered = chat.render_with_spans(messages, options);
  merit::Value::List generated;
  for (const auto& [begin, end] : rendered.generated) generated.push_back(merit::Value::List{begin, end});
  return merit::Value::object({{"text", rendered.text}, {"generated", generated}});
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    merit::Value result;
    try {
      result = answer(merit::parse_value(line, "a line"));
    } catch (const merit::Error& error) {
      result = merit::Value::object({{"error", std::string(error.what())}});
    }
    std::cout << merit::text_of(result) << "\n";
  }
  std::cout.flush();
}
