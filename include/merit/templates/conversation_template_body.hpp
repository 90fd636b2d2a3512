// The bodies of conversation_template.hpp.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE std::string tail_of(std::string_view text) {
  constexpr Index limit = 160;
  std::string shown = text.size() > limit ? "\"..." : "\"";
  Index begin = text.size() > limit ? text.size() - limit : 0;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0u) == 0x80u) ++begin;
  for (const char c : text.substr(begin)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      shown += "\\n";
    } else if (byte >= 0x20 && byte != 0x7F) {
      shown += c;
    } else {
      shown += '?';
    }
  }
  return shown + '"';
}

}  // namespace detail

MERIT_INLINE std::string render_all(const ConversationTemplate& with, std::span<const Message> messages,
                                    RenderOptions options) {
  options.adapt_contents = true;
  return with.render_whole(messages, options);
}

MERIT_INLINE RenderedText render_apart(const ConversationTemplate& with, std::span<const Message> prompt,
                                       std::span<const Message> completion, RenderOptions options) {
  std::vector<Message> all(prompt.begin(), prompt.end());
  all.insert(all.end(), completion.begin(), completion.end());
  options.add_generation_prompt = false;
  options.adapt_contents = true;
  RenderedText rendered{render_all(with, all, options), 0};
  if (prompt.empty()) return rendered;
  std::string alone;
  for (const bool header : {true, false}) {
    if (header && (completion.empty() || completion.front().role != "assistant")) continue;
    options.add_generation_prompt = header;
    alone = with.render(prompt, options);
    if (!rendered.text.starts_with(alone)) continue;
    rendered.completion_begin = alone.size();
    return rendered;
  }
  const auto differs = static_cast<Index>(
      std::mismatch(alone.begin(), alone.end(), rendered.text.begin(), rendered.text.end()).first -
      alone.begin());
  const auto from = [&](const std::string& text) {
    return detail::tail_of(std::string_view(text).substr(std::min(differs, text.size())).substr(0, 160));
  };
  throw DataError(
      concat("the chat template does not begin a conversation as it renders its prompt alone: after ",
             differs, " equal bytes, ", detail::tail_of(std::string_view(alone).substr(0, differs)),
             ", the prompt goes on with ", from(alone), " and the whole with ", from(rendered.text),
             "; expected a template that keeps what came before"));
}

}  // namespace MERIT_ABI
}  // namespace merit
