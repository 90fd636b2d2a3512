// The tokenizer and the chat template of a folder or a file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "merit/run/model_text.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The tokenizer and the chat template of a folder, or of a GGUF file; nothing where there are none. Throws
/// DataError about what is malformed.
std::optional<ModelText> read_model_text(const std::filesystem::path& place);

/// A tokenizer by what its user calls it: a name that make_tokenizer() knows, or a folder with the files of
/// one.
ModelText text_named(const std::string& name);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/read_model_text_body.hpp"
#endif
