// A model from one format and type to another: a folder of safetensors (or pytorch_model.bin) or a GGUF file in, a
// folder of safetensors or a GGUF file out. No number passes through a model: tensors are renamed, reordered and
// rounded, and what stands beside them is carried along.
//
// A GGUF file made of a folder holds, beside llama.cpp's own entries:
//   tokenizer.huggingface.json   tokenizer.json, as the GGUF specification names it; llama.cpp itself reads none, but
//   tokenizer.ggml.*             the same as it has it, where it has such a tokenizer
//   merit.file.NAME              each other text file that says what the model is or how it reads text: config.json, merit.json,
//                                generation_config.json, files of the tokenizer, chat templates; what else lies there is left out
//   ARCH.classifier.output_labels, ARCH.pooling_type = 4 (rank), and the tensor cls.output.weight [and .bias]:
//                                a linear head, as llama.cpp has that of a reranker; other heads keep their names
// so that merit reads it as it read the folder, and a folder made of it again is the same to the bit; but that Gemma's
// norms, to whose weights llama.cpp adds 1, lose what is below 2^-24 of 1 (nothing, of bfloat16 of usual sizes), and a RoBERTa comes back
// as the BERT that it is in the file, whose scores are the same but where a text holds the pad itself. Written are
// the architectures of model/gguf_layouts.hpp; a setting that a file cannot say, and that llama.cpp would take for another, is an
// error before anything is written.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/run/convert_report.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct ConvertOptions {
  /// The type of matrices; nothing: as they are, or in a folder made of a GGUF file, which has no quantised types,
  /// as config.json says. In a GGUF file vectors are F32, in a folder of this type too.
  std::optional<Dtype> type = {};
  /// `from` is an adapter, which is merged into its base: at `base`, or where the adapter says.
  bool merge = false;
  std::filesystem::path base = {};
};

/// Converts the model `from`, or an adapter and its base as one model, to `to`, a GGUF file if its name ends in .gguf (in letters of any case), else a folder, which must not be there.
/// A merged classifier that was a language model has no unembedding any more: its class in transformers reads none.
/// Throws ConfigError for a model or a type that the format cannot say, DataError for a GGUF file whose tensors are not those that
/// its metadata says, IoError and DataError as reading and writing
/// do; then nothing is left at `to`.
ConvertReport convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                            const ConvertOptions& options = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/convert_model_body.hpp"
#endif
