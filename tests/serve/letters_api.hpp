// A ScoringApi of the model of letters, and requests to it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

#include "merit/serve/scoring_api.hpp"
#include "merit/templates/chat_template.hpp"
#include "run/letter_model.hpp"

namespace merit_test {

inline merit::SavedModel saved_letters(merit::AnyHead head) {
  merit::SavedModel saved;
  saved.place = "models/letters/";
  saved.head = std::move(head);
  saved.tokenizer = merit::make_tokenizer("bytes");
  saved.tokenize.append_eos = false;
  saved.tokenize.max_tokens = 20;
  saved.tokenize.truncation = merit::Truncation::drop;
  return saved;
}

/// The same with what is too long cut at its end, or of steps with a template for conversations.
inline merit::SavedModel cut_letters(merit::AnyHead head = merit::ScalarHead{}) {
  merit::SavedModel saved = saved_letters(std::move(head));
  saved.tokenize.truncation = merit::Truncation::cut_right;
  return saved;
}
template <int Outputs = 1>
merit::SavedModel saved_steps() {
  merit::SavedModel saved = saved_letters(merit::StepHead<Outputs>{});
  saved.tokenize.step_separator = "\n";
  saved.tokenize.conversation = std::make_shared<merit::ChatTemplate>(
      "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}", "the template");
  return saved;
}

inline merit::ScoringApi letters(merit::SavedModel saved = saved_letters(merit::ScalarHead{}),
                                 merit::ServeOptions options = {}) {
  auto model = std::make_unique<LetterModel>(saved.head, merit::PairwiseLoss{});
  return merit::ScoringApi(merit::Scorer(std::move(saved), std::move(model)), std::move(options));
}

inline merit::Json posted(merit::ScoringApi& api, const char* path, const merit::Json& body,
                          int status = 200) {
  const merit::ServeReply reply = api.answer("POST", path, body.dump());
  CHECK_MESSAGE(reply.status == status, reply.body);
  return merit::Json::parse(reply.body);
}
inline std::string refused(merit::ScoringApi& api, const char* path, const merit::Json& body,
                           int status = 400) {
  return posted(api, path, body, status).at("error").at("message").get<std::string>();
}

}  // namespace merit_test
