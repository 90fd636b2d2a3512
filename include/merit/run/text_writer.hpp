// A language model opened to write text: prompts and conversations in, what follows them out.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/infer/generate.hpp"
#include "merit/infer/session_types.hpp"
#include "merit/records/record.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How text is written. The tokens that end a text are the model's own, as its files name them.
struct WriteOptions {
  Sampling sampling = {};
  Index branches = 1;                   // texts, of each prompt
  Index max_tokens = 256;               // of each
  std::vector<std::string> stops = {};  // a text ends before the first of them
  std::vector<Token> stop_tokens = {};  // beside the model's own ends
  std::uint64_t seed = 0;
  std::uint64_t first_stream = 0;         // of the seed, as of GenerateOptions
  std::vector<std::uint64_t> seeds = {};  // one a prompt, as of GenerateOptions
  Index lookup = 0;  // tokens that prompt lookup proposes at once, as of GenerateOptions; texts are the same
};

struct WrittenText {
  std::string text;  // without special tokens
  std::vector<Token> tokens;
  GenerationEnd end = GenerationEnd::limit;
  double log_probability = 0;
  Index proposed = 0, accepted = 0;  // tokens, by lookup
};

/// Called with each piece of each text as soon as it can no longer be the beginning of a stop.
using OnText = std::function<void(Index branch, std::string_view piece)>;

/// A language model with its tokenizer and chat template, on the host. Made by open_writer(). One thread at a time may use it.
class TextWriter {
 public:
  /// Throws ConfigError for a backbone that has no unembedding.
  explicit TextWriter(SavedModel saved, const OpenOptions& options = {});
  TextWriter(TextWriter&&) noexcept;
  TextWriter& operator=(TextWriter&&) noexcept;
  ~TextWriter();

  /// The assistant's next message of a conversation, as its chat template begins it. Throws DataError for a model without a
  /// template, and for a text that is too long.
  std::vector<WrittenText> write(std::span<const Message> conversation, const WriteOptions& options = {},
                                 const OnText& on_text = {}, const TemplateInputs& inputs = {});
  /// What follows a plain text, with the tokens that the tokenizer puts before one.
  std::vector<WrittenText> write(std::string_view prompt, const WriteOptions& options = {},
                                 const OnText& on_text = {});
  /// What follows some tokens.
  std::vector<WrittenText> write(std::span<const Token> prompt, const WriteOptions& options = {},
                                 const OnText& on_text = {});

  /// What follows each of several prompts, all as one forest, the texts of the first one first. Of prompts that begin with
  /// those of the last call, or go on with what it wrote, that is not computed again: steps of a search, turns of a talk.
  std::vector<WrittenText> write_each(std::span<const std::vector<Token>> prompts,
                                      const WriteOptions& options = {}, const OnText& on_text = {});

  /// The tokens of a conversation as its chat template begins the assistant's next message, or of a plain text; with what is
  /// already written behind it. Throw as write() does.
  std::vector<Token> tokens_of(std::span<const Message> conversation, const TemplateInputs& inputs = {},
                               std::string_view begun = {}) const;
  std::vector<Token> tokens_of(std::string_view prompt, std::string_view begun = {}) const;

  const SavedModel& about() const;
  /// What writing has computed so far.
  SessionCounts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Opens a language model: a directory as transformers writes it, or a GGUF file; also a published one with a head of rewards,
/// which is not read. Throws as open(), and ConfigError for a reward model that merit trained.
///
///   merit::TextWriter writer = merit::open_writer("SmolLM2-135M-Instruct");
///   writer.write(conversation, {.sampling = {.temperature = 0}})[0].text
TextWriter open_writer(const std::filesystem::path& place, const OpenOptions& options = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/text_writer_body.hpp"
#endif
