// Any bytes as a chat template and, behind a zero byte, a user's message: it renders, or is refused with a
// merit::Error.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/template_fuzz.cpp
//   -lutf8proc
//   ./a.out -max_len=2048 -timeout=5 CORPUS
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "merit/templates/chat_template.hpp"

using namespace merit;

namespace {

Value values() {
  Value::List numbers = {3, 1, 2.5};
  const Value call =
      Value::object({{"name", "add"}, {"arguments", Value::object({{"b", 2}, {"a", Value()}})}});
  return Value::object(
      {{"n", 7}, {"s", "Grüße, World"}, {"xs", std::move(numbers)}, {"d", call}, {"f", -0.5}, {"t", true}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const Value variables = values();
  std::string_view source(reinterpret_cast<const char*>(bytes), size);
  std::string said = "What is 2 + 2?";
  if (const auto zero = source.find('\0'); zero != source.npos) {
    said = source.substr(zero + 1);
    source = source.substr(0, zero);
  }
  ChatTemplate::Settings settings;
  settings.tokens = {{"bos_token", "<s>"}};
  settings.clock = [] { return std::time_t{1767268800}; };
  settings.max_steps = 20'000;
  settings.max_depth = 60;
  settings.max_output = 1 << 16;
  try {
    const ChatTemplate chat(std::string(source), "template", settings);
    const Message messages[] = {
        {"system", "Be brief.", {}},
        {"user", said, {}},
        {"assistant", "4",
         Value::object({{"role", "assistant"}, {"content", "4"}, {"tool_calls", Value::List{variables}}})}};
    RenderOptions options;
    options.variables = variables;
    options.add_generation_prompt = (size & 1) != 0;
    options.continue_final_message = !options.add_generation_prompt && (size & 2) != 0;
    const auto rendered = chat.render_with_spans(messages, options);
    if (rendered.text.size() > settings.max_output) std::abort();
    for (const auto& [begin, end] : rendered.generated) {
      if (begin > end) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
