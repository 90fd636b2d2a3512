// Words from a language model, token by token, through a session: many branches of one prompt at once, each its own tokens
// alone.
//
//   using Writer = RewardModel<Llama, LanguageModelHead, LanguageModelLoss>;
//   Session session(model);
//   const SessionNode prompt = session.extend({}, prompt_tokens);
//   const auto answers = generate(session, prompt, {.sampling = {.temperature = 0.7}, .branches = 4, .ends = {eos}});
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/infer/sampling.hpp"
#include "merit/infer/session_types.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Why a branch ended.
enum class GenerationEnd : std::uint8_t {
  end_token,  // one of those that end a text was drawn
  stopped,    // the callback, or a text to stop at, said so
  limit,      // it has as many tokens as it may
};
template <>
inline constexpr std::array<std::string_view, 3> enum_names<GenerationEnd>{"end_token", "stopped", "limit"};

struct GenerateOptions {
  Sampling sampling = {};
  Index branches = 1;            // of each prompt
  Index max_tokens = 256;        // of a branch
  std::vector<Token> ends = {};  // tokens that end a branch; they are not among its tokens
  std::uint64_t seed = 0;  // with the same one branch b is the same again, whatever else is written beside it
  std::uint64_t first_stream = 0;  // of the seed, of branch 0; those that follow have the streams that follow
  bool keep = false;               // the branches stay in the session
};

/// A branch as it was written.
struct Generation {
  std::vector<Token> tokens = {};
  GenerationEnd end = GenerationEnd::limit;
  double log_probability = 0;  // of its tokens, and of the one that ended it, by the model alone
  SessionNode node = {};       // where they are kept, up to the last that was computed; the root for none
};

/// Called with each token of each branch as it is drawn; false: the branch ends there, with it.
using OnToken = std::function<bool(Index branch, Token token)>;

namespace detail {

/// log softmax(logits)[token]
template <class Score>
double log_probability_of(std::span<const Score> logits, Token token) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const Score logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[token]) - largest - std::log(sum);
}

}  // namespace detail

/// Writes behind nodes of a session (infer/session.hpp) whose model's scores are logits of all tokens: that of a
/// LanguageModelHead. The branches that are not ended take their next tokens together, as one forest; those of the first
/// prompt come first. Throws ConfigError on bad options, UsageError for the root, and what the session throws, as for more
/// tokens than the model has positions.
template <class AnySessionOf>
std::vector<Generation> generate(AnySessionOf& session, std::span<const SessionNode> prompts,
                                 const GenerateOptions& options = {}, const OnToken& on_token = {}) {
  check_fields(options.sampling);
  if (options.branches == 0) throw ConfigError("generate: branches is 0, expected at least 1");
  std::vector<Generation> branches(prompts.size() * options.branches);
  std::vector<std::vector<Token>> before;  // each prompt's tokens
  for (const SessionNode& prompt : prompts) before.push_back(session.tokens(prompt));
  std::vector<Token> text;
  std::vector<Rng> random;
  for (Index b = 0; b < branches.size(); ++b) {
    random.emplace_back(options.seed, options.first_stream + b);
  }
  if (branches.empty()) return branches;

  // The logits of the next token: at first the prompts'.
  const Index vocabulary = session.scores_at(prompts).size() / prompts.size();
  std::vector<Index> open(branches.size());
  for (Index b = 0; b < open.size(); ++b) open[b] = b;
  for (Index written = 0; written < options.max_tokens && !open.empty(); ++written) {
    const auto all = session.scores();
    std::vector<Index> next;
    for (Index i = 0; i < open.size(); ++i) {
      Generation& branch = branches[open[i]];
      const auto logits = all.subspan((written == 0 ? i / options.branches : i) * vocabulary, vocabulary);
      text = before[open[i] / options.branches];
      text.insert(text.end(), branch.tokens.begin(), branch.tokens.end());
      const std::vector<double> probabilities = token_probabilities(logits, options.sampling, text);
      const Token token = drawn_token(probabilities, random[open[i]].uniform());
      branch.log_probability += detail::log_probability_of(logits, token);
      if (std::find(options.ends.begin(), options.ends.end(), token) != options.ends.end()) {
        branch.end = GenerationEnd::end_token;
        continue;
      }
      branch.tokens.push_back(token);
      if (on_token && !on_token(open[i], token)) {
        branch.end = GenerationEnd::stopped;
        continue;
      }
      next.push_back(open[i]);
    }
    open = std::move(next);
    if (written + 1 == options.max_tokens || open.empty()) break;
    std::vector<SessionBranch> additions;
    for (const Index b : open)
      additions.push_back({written == 0 ? prompts[b / options.branches] : branches[b].node,
                           std::span(&branches[b].tokens.back(), 1)});
    const std::vector<SessionNode> nodes = session.extend(std::span<const SessionBranch>(additions));
    for (Index i = 0; i < open.size(); ++i) {
      session.disown(branches[open[i]].node);  // it goes with what stands behind it
      branches[open[i]].node = nodes[i];
    }
  }
  for (Generation& branch : branches) {
    if (options.keep || branch.node == SessionNode{}) continue;
    session.release(std::exchange(branch.node, {}));
  }
  return branches;
}
/// The same of one prompt.
template <class AnySessionOf>
std::vector<Generation> generate(AnySessionOf& session, const SessionNode& prompt,
                                 const GenerateOptions& options = {}, const OnToken& on_token = {}) {
  return generate(session, std::span(&prompt, 1), options, on_token);
}

}  // namespace MERIT_ABI
}  // namespace merit
