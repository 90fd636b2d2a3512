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
  std::vector<std::uint64_t> seeds =
      {};             // one a prompt, in place of `seed`: each has its streams from first_stream on
  bool keep = false;  // the branches stay in the session
  /// Prompt lookup (Saxena 2023): where the last `lookup_match` tokens of a branch stand in its text before, as many as this
  /// that follow there are computed with its next token, and stay as far as they are the ones that are drawn. The branches
  /// are those without it; where a text repeats what stands in its prompt they take fewer steps. 0: none.
  Index lookup = 0;
  Index lookup_match = 2;
};

/// A branch as it was written.
struct Generation {
  std::vector<Token> tokens = {};
  GenerationEnd end = GenerationEnd::limit;
  double log_probability = 0;  // of its tokens, and of the one that ended it, by the model alone
  Index proposed = 0;          // tokens that lookup has proposed
  Index accepted = 0;          // those of them that were drawn
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

/// What followed where the last `match` tokens of a text stood before: the last place that `count` tokens follow, or the first
/// there is; nothing where they stood nowhere.
inline std::span<const Token> looked_up(std::span<const Token> text, Index match, Index count) {
  std::span<const Token> best;
  if (text.size() <= match) return best;
  const std::span<const Token> last = text.last(match);
  for (Index end = text.size(); --end >= match && best.size() < count;) {  // of a place before the last
    if (std::equal(last.begin(), last.end(), text.begin() + static_cast<std::ptrdiff_t>(end - match)))
      best = text.subspan(end, std::min(count, text.size() - end));
  }
  return best;
}

}  // namespace detail

/// Writes behind nodes of a session (infer/session.hpp) whose model's scores are logits of all tokens: that of a
/// LanguageModelHead. The branches that are not ended take their next tokens together, as one forest; those of the first
/// prompt come first. Throws ConfigError on bad options, UsageError for the root, and what the session throws, as for more
/// tokens than the model has positions.
template <class Session>
std::vector<Generation> generate(Session& session, std::span<const SessionNode> prompts,
                                 const GenerateOptions& options = {}, const OnToken& on_token = {}) {
  check_fields(options.sampling);
  if (options.branches == 0) throw ConfigError("generate: branches is 0, expected at least 1");
  if (options.lookup != 0 && options.lookup_match == 0)
    throw ConfigError("generate: lookup_match is 0, expected at least 1");
  if (!options.seeds.empty() && options.seeds.size() != prompts.size())
    throw UsageError(concat("generate: found ", options.seeds.size(), " seeds, expected ", prompts.size()));
  std::vector<Generation> branches(prompts.size() * options.branches);
  if (branches.empty()) return branches;

  // A branch that is not ended: its last token and what is proposed behind it, and in which rows of the session's scores
  // the logits behind each of these are: at first behind the prompt.
  struct Open {
    Index branch, row;
    std::vector<Token> tokens;
  };
  std::vector<std::vector<Token>> texts;
  std::vector<Rng> random;
  std::vector<Open> open;
  for (Index b = 0; b < branches.size(); ++b) {
    texts.push_back(session.tokens(prompts[b / options.branches]));
    const bool own = !options.seeds.empty();
    random.emplace_back(own ? options.seeds[b / options.branches] : options.seed,
                        options.first_stream + (own ? b % options.branches : b));
    if (options.max_tokens != 0) open.push_back({b, b / options.branches, {}});
  }
  const Index positions = session.model().config().backbone.position_limit();
  const Index vocabulary = session.scores_at(prompts).size() / prompts.size();
  std::vector<SessionNode> nodes;  // by row
  while (!open.empty()) {
    const auto all = session.scores();
    std::vector<Open> next;
    for (const auto& [b, row, tokens] : open) {
      Generation& branch = branches[b];
      bool is_open = false;
      Index taken = 1;  // of the tokens
      while (true) {
        const auto logits = all.subspan((row + taken - 1) * vocabulary, vocabulary);
        const std::vector<double> probabilities = token_probabilities(logits, options.sampling, texts[b]);
        const Token token = drawn_token(probabilities, random[b].uniform());
        branch.log_probability += detail::log_probability_of(logits, token);
        if (std::find(options.ends.begin(), options.ends.end(), token) != options.ends.end()) {
          branch.end = GenerationEnd::end_token;
          break;
        }
        branch.tokens.push_back(token);
        texts[b].push_back(token);
        if (on_token && !on_token(b, token)) {
          branch.end = GenerationEnd::stopped;
          break;
        }
        if (branch.tokens.size() == options.max_tokens) break;
        is_open = taken >= tokens.size() || token != tokens[taken];
        if (is_open) break;
        session.disown(std::exchange(branch.node, nodes[row + taken++]));
        ++branch.accepted;
      }
      if (taken < tokens.size()) session.release(nodes[row + taken]);
      if (is_open) next.push_back({b, 0, {branch.tokens.back()}});
    }
    open = std::move(next);
    if (open.empty()) break;
    std::vector<SessionBranch> additions;
    Index rows = 0;
    for (auto& [b, row, tokens] : open) {
      Generation& branch = branches[b];
      Index most = std::min(options.lookup, options.max_tokens - branch.tokens.size() - 1);
      if (positions != 0) most = std::min(most, positions - std::min(positions, texts[b].size()));
      const std::span<const Token> proposed = detail::looked_up(texts[b], options.lookup_match, most);
      tokens.insert(tokens.end(), proposed.begin(), proposed.end());
      branch.proposed += proposed.size();
      row = rows;
      rows += tokens.size();
      additions.push_back(
          {branch.node == SessionNode{} ? prompts[b / options.branches] : branch.node, tokens});
    }
    nodes = session.extend_by_token(additions);
    // Each node goes with the last that stands behind it.
    for (const auto& [b, row, tokens] : open) session.disown(std::exchange(branches[b].node, nodes[row]));
  }
  for (Generation& branch : branches) {
    if (!options.keep && branch.node != SessionNode{}) session.release(std::exchange(branch.node, {}));
  }
  return branches;
}
/// The same of one prompt.
template <class Session>
std::vector<Generation> generate(Session& session, const SessionNode& prompt,
                                 const GenerateOptions& options = {}, const OnToken& on_token = {}) {
  return generate(session, std::span(&prompt, 1), options, on_token);
}

}  // namespace MERIT_ABI
}  // namespace merit
