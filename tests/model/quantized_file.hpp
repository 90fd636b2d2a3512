// A model in a GGUF file of quantised types, put together from random blocks.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "../io/gguf_file.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/rng.hpp"
#include "merit/io/ggml_types.hpp"

namespace merit_test {

/// What the file is read as.
inline const merit::Llama quantized_llama{.vocabulary_size = 9,
                                          .hidden_size = 256,
                                          .intermediate_size = 512,
                                          .layers = 2,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .head_dim = 64,
                                          .max_positions = 16,
                                          .tied_embedding = true};

/// A file as llama.cpp writes them, whose matrices are random blocks of the types in turn.
class QuantizedFile {
 public:
  explicit QuantizedFile(std::vector<merit::Dtype> types) : types_(std::move(types)) {
    file_.text("general.architecture", "llama");
    number("block_count", 2).number("context_length", 16).number("embedding_length", 256);
    number("feed_forward_length", 512).number("attention.head_count", 4).number("attention.head_count_kv", 2);
    file_.real("llama.attention.layer_norm_rms_epsilon", 1e-5f).real("llama.rope.freq_base", 10000);
    matrix("token_embd", 9, 256);
    norm("output_norm");
    file_.floats("cls.output.weight", {256, 1}, normals(256));
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      norm(layer + "attn_norm");
      norm(layer + "ffn_norm");
      matrix(layer + "attn_q", 256, 256);
      matrix(layer + "attn_k", 128, 256);
      matrix(layer + "attn_v", 128, 256);
      matrix(layer + "attn_output", 256, 256);
      matrix(layer + "ffn_gate", 512, 256);
      matrix(layer + "ffn_up", 512, 256);
      matrix(layer + "ffn_down", 256, 512);
    }
  }

  std::string bytes() const { return file_.bytes(); }

 private:
  struct Numbers {
    QuantizedFile& file;
    Numbers& number(const std::string& name, std::uint32_t value) {
      file.file_.number("llama." + name, value);
      return *this;
    }
  };
  Numbers number(const std::string& name, std::uint32_t value) {
    Numbers numbers{*this};
    return numbers.number(name, value);
  }
  std::vector<float> normals(merit::Index count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(rng_.normal());
    return values;
  }
  void norm(const std::string& name) { file_.floats(name + ".weight", {256}, normals(256)); }
  void matrix(const std::string& name, merit::Index rows, merit::Index cols) {
    const merit::Dtype dtype = types_[next_++ % types_.size()];
    const merit::DtypeLayout layout = merit::layout_of(dtype);
    const merit::detail::QuantizedReader reader = merit::detail::quantized_reader(dtype);
    std::string blocks(merit::stored_bytes(dtype, rows * cols), '\0');
    for (char& byte : blocks) byte = static_cast<char>(rng_.below(256));
    for (merit::Index at = 0; at < blocks.size(); at += layout.bytes) {
      for (merit::Index i = 0; i < reader.scale_count; ++i) {  // numbers of about 0.1
        const auto scale = merit::to_f16(static_cast<float>(2e-4 * (1 + rng_.uniform())));
        std::memcpy(blocks.data() + at + reader.scales[i], &scale, sizeof scale);
      }
    }
    std::uint32_t type = 0;
    for (const merit::GgmlType& known : merit::ggml_types)
      if (known.dtype() == dtype) type = known.number;
    file_.tensor(name + ".weight", {cols, rows}, type, blocks);
  }

  std::vector<merit::Dtype> types_;
  merit::Rng rng_{5};
  merit::Index next_ = 0;
  GgufBytes file_;
};

}  // namespace merit_test
