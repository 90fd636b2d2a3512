// Language models of ours as judges: what they write, or the logits of two words.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/infer/generate.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/run/text_writer.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/plain_template.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A prompt as the model's chat template writes it, up to the header of the reply and how that begins; by the plain template
/// where the model has none. Throws DataError where it and `more` tokens are longer than the model can be given.
inline std::vector<Token> judge_tokens(const SavedModel& saved, const JudgePrompt& prompt, Index more) {
  static const PlainTemplate plain;
  const RenderOptions options{.add_generation_prompt = true};
  std::vector<Token> tokens;
  std::string text;
  if (const auto& own = saved.tokenize.conversation) {
    text = render_all(*own, prompt.messages, options);
  } else {
    text = plain.render(prompt.messages, options);
    tokens = saved.tokenizer->before();
  }
  saved.tokenizer->encode(text + prompt.reply, tokens);
  if (tokens.size() > saved.tokenize.max_tokens || more > saved.tokenize.max_tokens - tokens.size()) {
    throw DataError(concat("the judge's prompt has ", tokens.size(), " tokens",
                           more == 0 ? "" : concat(" and its reply ", more), ", expected at most ",
                           saved.tokenize.max_tokens));
  }
  return tokens;
}

/// How a model is opened whose logits of the template's two words are read.
inline OpenOptions open_for_words(OpenOptions options, const JudgeTemplate& with) {
  options.head = AnswerLogitHead::name();
  options.head_tokens = {with.words()[1], with.words()[0]};  // worst first
  return options;
}

/// For judge_pair_by_logits() and judge_answer_by_logits(). What a prompt has in common with those before it, as instructions
/// and the question, is computed once.
class LogitJudge {
 public:
  /// The model of open_for_words(). Both must outlive it.
  LogitJudge(AnyModel& model, const SavedModel& saved)
      : saved_(saved), prompts_(model, {.memory_limit = Index{1} << 30}) {}

  /// The two words are those that the model was opened for.
  std::vector<double> operator()(const JudgePrompt& prompt, std::span<const std::string>) {
    const Sequence sequence{.tokens = judge_tokens(saved_, prompt, 0)};
    const Family family{{&sequence}};
    const std::vector<RowScores> rows =
        prompts_.score_families(std::span(&family, 1), sequence.tokens.size());
    return {rows[0].values.at(1), rows[0].values.at(0)};
  }

 private:
  const SavedModel& saved_;
  KeptPrompts prompts_;
};

/// For judge_pair() and judge_answer().
class WritingJudge {
 public:
  /// `options.branches` is the number of samples, and not looked at. The writer must outlive it.
  WritingJudge(TextWriter& writer, WriteOptions options) : writer_(writer), options_(std::move(options)) {}

  /// Replies to one prompt are the same whatever was judged before: the seed is of the prompt too.
  std::vector<JudgeReply> operator()(const JudgePrompt& prompt, Index samples) {
    const std::vector<Token> tokens = judge_tokens(writer_.about(), prompt, options_.max_tokens);
    WriteOptions options = options_;
    options.branches = samples;
    options.seed ^= fnv1a({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(Token)});
    std::vector<JudgeReply> replies;
    for (WrittenText& written : writer_.write(std::span<const Token>(tokens), options)) {
      written_ += written.tokens.size();
      proposed_ += written.proposed;
      accepted_ += written.accepted;
      replies.push_back({prompt.reply + written.text, written.end == GenerationEnd::limit});
    }
    return replies;
  }
  /// Tokens so far: of all replies, those that lookup has proposed, and those of them that were written.
  Index written() const { return written_; }
  Index proposed() const { return proposed_; }
  Index accepted() const { return accepted_; }

 private:
  TextWriter& writer_;
  WriteOptions options_;
  Index written_ = 0, proposed_ = 0, accepted_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
