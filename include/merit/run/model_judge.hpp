// Language models of ours as judges: what they write, or the logits of two words.
#pragma once

#include <algorithm>
#include <compare>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <utility>
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
  /// `options.branches` is the number of samples, and not looked at. `batch_tokens`: how many tokens of expected prompts and
  /// their replies are written as one forest, or those of one prompt. The writer must outlive it.
  WritingJudge(TextWriter& writer, WriteOptions options, Index batch_tokens = 8192)
      : writer_(writer), options_(std::move(options)), batch_tokens_(batch_tokens) {}

  /// Says that the prompt will be asked, in the order of the calls, so that it is written with others. Of one that is too long
  /// nothing is written: that is told where it is asked.
  void expect(const JudgePrompt& prompt, Index samples) {
    Asked asked{.samples = samples};
    try {
      asked.tokens = judge_tokens(writer_.about(), prompt, options_.max_tokens);
    } catch (const DataError&) {
      return;
    }
    asked.reply = prompt.reply;
    if (std::find(expected_.begin(), expected_.end(), asked) != expected_.end()) return;
    waiting_ += size_of(asked);
    expected_.push_back(std::move(asked));
  }
  /// Whether what is expected and not yet written fills a batch.
  bool is_full() const { return waiting_ >= batch_tokens_; }

  /// Replies to one prompt are the same whatever is judged beside it: the seed is of the prompt too.
  std::vector<JudgeReply> operator()(const JudgePrompt& prompt, Index samples) {
    const Asked asked{judge_tokens(writer_.about(), prompt, options_.max_tokens), samples, prompt.reply};
    while (std::find(expected_.begin(), expected_.end(), asked) != expected_.end()) write_next();
    const auto found = written_ahead_.extract(asked);
    return found ? std::move(found.mapped()) : write({asked}).front();
  }
  /// Tokens so far: of all replies, those that lookup has proposed, and those of them that were written.
  Index written() const { return written_; }
  Index proposed() const { return proposed_; }
  Index accepted() const { return accepted_; }

 private:
  struct Asked {
    std::vector<Token> tokens = {};
    Index samples = 1;
    std::string reply = {};  // how it begins

    friend auto operator<=>(const Asked&, const Asked&) = default;
  };
  Index size_of(const Asked& asked) const {
    return asked.tokens.size() + asked.samples * options_.max_tokens;
  }

  /// Writes the next of what is expected, as much as a batch takes.
  void write_next() {
    std::vector<Asked> batch;
    for (Index size = 0; !expected_.empty();) {
      const Index more = size_of(expected_.front());
      const bool alike = batch.empty() || expected_.front().samples == batch.front().samples;
      if (!batch.empty() && (size + more > batch_tokens_ || !alike)) break;
      size += more;
      waiting_ -= more;
      batch.push_back(std::move(expected_.front()));
      expected_.pop_front();
    }
    std::vector<std::vector<JudgeReply>> replies = write(batch);
    for (Index i = 0; i < batch.size(); ++i) written_ahead_[std::move(batch[i])] = std::move(replies[i]);
  }

  std::vector<std::vector<JudgeReply>> write(const std::vector<Asked>& batch) {
    WriteOptions options = options_;
    options.branches = batch.front().samples;
    std::vector<std::vector<Token>> prompts;
    for (const Asked& asked : batch) {
      prompts.push_back(asked.tokens);
      options.seeds.push_back(options.seed ^ fnv1a({reinterpret_cast<const char*>(asked.tokens.data()),
                                                    asked.tokens.size() * sizeof(Token)}));
    }
    std::vector<std::vector<JudgeReply>> replies(batch.size());
    Index number = 0;
    for (const WrittenText& text : writer_.write_each(prompts, options)) {
      written_ += text.tokens.size();
      proposed_ += text.proposed;
      accepted_ += text.accepted;
      const Index prompt = number++ / options.branches;
      replies[prompt].push_back({batch[prompt].reply + text.text, text.end == GenerationEnd::limit});
    }
    return replies;
  }

  TextWriter& writer_;
  WriteOptions options_;
  Index batch_tokens_;
  std::deque<Asked> expected_;
  Index waiting_ = 0;  // tokens of these
  std::map<Asked, std::vector<JudgeReply>> written_ahead_;
  Index written_ = 0, proposed_ = 0, accepted_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
