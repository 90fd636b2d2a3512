// What turns a conversation into text: the interface that chat templates and the plain template share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How a conversation is to be rendered, beside its messages. The names are those of transformers'
/// apply_chat_template.
struct RenderOptions {
  bool add_generation_prompt = false;   // end with the header of the assistant's next message
  bool continue_final_message = false;  // leave the last message open, as a text to go on with
  Value tools = {};                     // a list of tools as JSON schemas; none: no tools
  Value variables = {};                 // fields: further variables of the template, such as enable_thinking
  /// Give contents in the form that the template can write, where transformers would fail or print a list as Python
  /// does: parts of text joined, contents that are absent as None or as an empty text.
  bool adapt_contents = false;
};

/// A template of conversations. Several threads may use one object at once.
class ConversationTemplate {
 public:
  virtual ~ConversationTemplate() = default;
  /// Throws DataError where the template cannot render the conversation.
  virtual std::string render(std::span<const Message> messages, const RenderOptions& options) const = 0;
  /// As render(). Throws DataError also for what a conversation says and the text does not, by its name: tools, or a
  /// field of a message. Here: nothing is known of the template.
  virtual std::string render_whole(std::span<const Message> messages, const RenderOptions& options) const {
    return render(messages, options);
  }
  /// "plain", or "chat:" and a hash of the template's text: two templates of one name render alike.
  virtual std::string name() const = 0;
};

/// A text and where in it the completion begins.
struct RenderedText {
  std::string text;
  Index completion_begin = 0;  // bytes; text before it is the prompt
};

namespace detail {

/// `text` for an error message: its last bytes, with what would break a line made visible.
std::string tail_of(std::string_view text);

}  // namespace detail

/// The conversation of a record as text, its contents adapted to the template; throws DataError also for what it says
/// and the template would leave out.
std::string render_all(const ConversationTemplate& with, std::span<const Message> messages,
                       RenderOptions options);

/// A conversation given as prompt and completion apart, rendered together and cut where the prompt's own
/// rendering ends. Where the completion begins with the assistant, the prompt ends in what a generating model
/// would be given, the header of the assistant's message, if the template begins the whole so; else before
/// that header. Throws DataError with both texts where the template renders the prompt alone as something
/// that does not begin the whole.
RenderedText render_apart(const ConversationTemplate& with, std::span<const Message> prompt,
                          std::span<const Message> completion, RenderOptions options = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/templates/conversation_template_body.hpp"
#endif
