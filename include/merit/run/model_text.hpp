// How a model's text becomes tokens.
#pragma once

#include <memory>
#include <vector>

#include "merit/model/model_card.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How text becomes tokens, and the files that say so.
struct ModelText {
  AnyTokenizer tokenizer = {};
  std::shared_ptr<const ConversationTemplate> conversation = {};  // none: the plain template
  std::vector<SavedFile> files = {};                              // what a saved model keeps of it
  std::vector<Token> ends = {};  // tokens that end a text, of the tokenizer and of the settings of generation
};

}  // namespace MERIT_ABI
}  // namespace merit
