// The tokenizer and the chat templates of a model folder or a GGUF file, and how they are saved with a model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

class GgufFile;

/// What turns text into tokens in a published model.
struct TextFiles {
  PretrainedTokenizer tokenizer;  // knows its end and its beginning, where the files name them
  std::optional<Token> bos = {}, eos = {}, pad = {}, unk = {};
  /// Every token that ends a text: eos, and the lists of config.json and generation_config.json.
  std::vector<Token> ends = {};
  /// The texts of special tokens by their uses ("bos_token", "eos_token", …), as chat templates know them.
  std::map<std::string, std::string> token_texts = {};
  std::map<std::string, std::string> chat_templates = {};  // by name; the usual one is "default"
  std::filesystem::path folder = {};                       // of the files below; empty for a GGUF file
  std::vector<std::string> files = {};                     // names in the folder of what a saved model keeps
  std::string source = {};                                 // the file that holds the vocabulary
  /// The description of a vocabulary that is not a tokenizer.json, which a saved model gets besides; null
  /// else.
  std::shared_ptr<const Json> description = {};
};

/// What read_text_files looks for, for the error where a folder has none of it.
inline constexpr std::string_view text_files_looked_for =
    "tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, tokenizer.model, spiece.model, "
    "sentencepiece.bpe.model, spm.model, vocab.txt, *.tiktoken, tokenizer.bin, tok512.bin";

/// Reads the tokenizer of a model folder and what stands beside it. Nothing where the folder has no
/// vocabulary that text_files_looked_for lists (a GGUF file is read by text_files_of_gguf). Throws IoError
/// where a file cannot be read, DataError where one is malformed or is something else: a Git LFS pointer,
/// Mistral's tekken.json, a vocabulary whose tokenizer does more than its file says; where the named end or
/// beginning of a sequence is not in the vocabulary.
std::optional<TextFiles> read_text_files(const std::filesystem::path& folder);

/// The same of the vocabulary inside a GGUF file.
TextFiles text_files_of_gguf(const GgufFile& file);

/// The files of a folder in which transformers finds the same tokenizer and chat templates, with their bytes:
/// those of the source as they are, and for a vocabulary without a tokenizer.json one made of its
/// description, with a tokenizer_config.json that says so and the templates of a GGUF file. Throws IoError
/// where one cannot be read.
std::map<std::string, std::string> saved_text_files(const TextFiles& text);

/// Puts them into a folder, and returns their names. Throws IoError.
std::vector<std::string> save_text_files(const TextFiles& text, const std::filesystem::path& to);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/text/text_files_body.hpp"
#endif
