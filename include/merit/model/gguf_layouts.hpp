// How llama.cpp lays out the tensors of each architecture: what it calls them, and which rows lie elsewhere.
//
// In files of some architectures the rows of each head's queries and keys are interleaved (row i of the first half, row i
// of the second, …), because their rotary embedding turns neighbours; the matrices that GPT-2 has as (in, out) are (out, in);
// GPT-NeoX's queries, keys and values, joined head by head, are joined as three blocks, and InternLM2's are three tensors;
// experts of a layer are one tensor of three dimensions; and to the weights of Gemma's norms 1 is added.
#pragma once

#include <array>
#include <cstdlib>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

struct GgufName {
  std::string_view in_gguf, published;
};

/// Parts of a layer as Llama has them.
inline constexpr GgufName gguf_llama_parts[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};
inline constexpr GgufName gguf_llama_tops[] = {{"token_embd", "model.embed_tokens"},
                                               {"output_norm", "model.norm"},
                                               {"output", "lm_head"},
                                               {"cls.output", "score"}};
/// What differs from them where norms stand behind blocks: Gemma 2 and 3, OLMo 2.
inline constexpr GgufName gguf_norms_behind[] = {{"post_attention_norm", "post_attention_layernorm"},
                                                 {"ffn_norm", "pre_feedforward_layernorm"},
                                                 {"post_ffw_norm", "post_feedforward_layernorm"}};
inline constexpr GgufName gguf_phi3_parts[] = {{"attn_qkv", "self_attn.qkv_proj"},
                                               {"ffn_up", "mlp.gate_up_proj"}};
/// The router; experts are found by `gguf_expert`.
inline constexpr GgufName gguf_expert_parts[] = {{"ffn_gate_inp", "mlp.gate"}};

inline constexpr GgufName gguf_internlm2_parts[] = {
    {"attn_norm", "attention_norm"}, {"attn_output", "attention.wo"}, {"ffn_norm", "ffn_norm"},
    {"ffn_gate", "feed_forward.w1"}, {"ffn_up", "feed_forward.w3"},   {"ffn_down", "feed_forward.w2"},
};
inline constexpr GgufName gguf_internlm2_tops[] = {{"token_embd", "model.tok_embeddings"},
                                                   {"output_norm", "model.norm"},
                                                   {"output", "output"},
                                                   {"cls.output", "score"}};
inline constexpr GgufName gguf_gpt2_parts[] = {
    {"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
    {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"},
};
inline constexpr GgufName gguf_gpt2_tops[] = {{"token_embd", "transformer.wte"},
                                              {"position_embd", "transformer.wpe"},
                                              {"output_norm", "transformer.ln_f"},
                                              {"output", "lm_head"},
                                              {"cls.output", "score"}};
inline constexpr GgufName gguf_neox_parts[] = {
    {"attn_norm", "input_layernorm"},   {"attn_qkv", "attention.query_key_value"},
    {"attn_output", "attention.dense"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_up", "mlp.dense_h_to_4h"},    {"ffn_down", "mlp.dense_4h_to_h"},
};
inline constexpr GgufName gguf_neox_tops[] = {{"token_embd", "gpt_neox.embed_in"},
                                              {"output_norm", "gpt_neox.final_layer_norm"},
                                              {"output", "embed_out"},
                                              {"cls.output", "score"}};
inline constexpr GgufName gguf_bert_parts[] = {
    {"attn_q", "attention.self.query"},
    {"attn_k", "attention.self.key"},
    {"attn_v", "attention.self.value"},
    {"attn_output", "attention.output.dense"},
    {"attn_output_norm", "attention.output.LayerNorm"},
    {"ffn_up", "intermediate.dense"},
    {"ffn_down", "output.dense"},
    {"layer_output_norm", "output.LayerNorm"},
};
/// `cls` is a dense layer and tanh in front of `cls.output`, as BERT's pooler is.
inline constexpr GgufName gguf_bert_tops[] = {{"token_embd", "bert.embeddings.word_embeddings"},
                                              {"position_embd", "bert.embeddings.position_embeddings"},
                                              {"token_types", "bert.embeddings.token_type_embeddings"},
                                              {"token_embd_norm", "bert.embeddings.LayerNorm"},
                                              {"cls", "bert.pooler.dense"},
                                              {"cls.output", "classifier"}};
inline constexpr GgufName gguf_modern_bert_parts[] = {
    {"attn_norm", "attn_norm"}, {"attn_qkv", "attn.Wqkv"}, {"attn_output", "attn.Wo"},
    {"ffn_norm", "mlp_norm"},   {"ffn_up", "mlp.Wi"},      {"ffn_down", "mlp.Wo"},
};
inline constexpr GgufName gguf_modern_bert_tops[] = {{"token_embd", "model.embeddings.tok_embeddings"},
                                                     {"token_embd_norm", "model.embeddings.norm"},
                                                     {"output_norm", "model.final_norm"},
                                                     {"cls", "head.dense"},
                                                     {"cls.norm", "head.norm"},
                                                     {"cls.output", "classifier"}};

/// One architecture.
struct GgufLayout {
  std::string_view architecture;              // "general.architecture"
  std::string_view layers = "model.layers.";  // what published names of layers begin with
  std::span<const GgufName> tops = gguf_llama_tops;
  std::span<const GgufName> own = {};  // parts of layers, before `parts`
  std::span<const GgufName> parts = gguf_llama_parts;
  bool interleaved = false;    // rows of each head's queries and keys
  bool norms_add_one = false;  // their weights are those of the file less 1
  bool transposed = false;     // matrices called c_…
};

inline constexpr std::array<GgufLayout, 16> gguf_layouts{{
    {.architecture = "llama", .interleaved = true},
    {.architecture = "qwen2"},
    {.architecture = "qwen3"},
    {.architecture = "qwen3moe", .own = gguf_expert_parts},
    {.architecture = "gemma", .norms_add_one = true},
    {.architecture = "gemma2", .own = gguf_norms_behind, .norms_add_one = true},
    {.architecture = "gemma3", .own = gguf_norms_behind, .norms_add_one = true},
    {.architecture = "phi3", .own = gguf_phi3_parts},
    {.architecture = "smollm3", .interleaved = true},
    {.architecture = "olmo", .interleaved = true},
    {.architecture = "olmo2", .own = gguf_norms_behind},
    {.architecture = "internlm2",
     .tops = gguf_internlm2_tops,
     .parts = gguf_internlm2_parts,
     .interleaved = true},
    {.architecture = "gptneox",
     .layers = "gpt_neox.layers.",
     .tops = gguf_neox_tops,
     .parts = gguf_neox_parts},
    {.architecture = "gpt2",
     .layers = "transformer.h.",
     .tops = gguf_gpt2_tops,
     .parts = gguf_gpt2_parts,
     .transposed = true},
    {.architecture = "bert",
     .layers = "bert.encoder.layer.",
     .tops = gguf_bert_tops,
     .parts = gguf_bert_parts},
    {.architecture = "modern-bert", .tops = gguf_modern_bert_tops, .parts = gguf_modern_bert_parts},
}};

/// Null where there is none.
inline const GgufLayout* find_gguf_layout(std::string_view architecture) {
  for (const GgufLayout& layout : gguf_layouts) {
    if (layout.architecture == architecture) return &layout;
  }
  return nullptr;
}

/// The counts by which rows are moved.
struct GgufSizes {
  Index heads = 1, kv_heads = 1, experts = 0;
};

/// "blk.3.attn_q.weight" in its parts; nothing where a name is none of a layer.
struct LayerName {
  std::string_view layer, part, ending;  // "3", "attn_q", ".weight"
};
inline std::optional<LayerName> layer_name(std::string_view name, std::string_view prefix) {
  const auto dot = name.rfind('.');
  if (!name.starts_with(prefix) || dot == name.npos) return std::nullopt;
  const auto end = name.find('.', prefix.size());
  if (end == name.npos || end >= dot) return std::nullopt;
  return LayerName{name.substr(prefix.size(), end - prefix.size()), name.substr(end + 1, dot - end - 1),
                   name.substr(dot)};
}

/// Of one of "gate", "up", "down" in the name of experts, "ffn_gate_exps" or "mlp.experts.5.gate_proj"; empty: of none.
inline std::string_view gguf_expert(std::string_view part) {
  for (const std::string_view kind : {"gate", "up", "down"}) {
    if (part.starts_with("ffn_") && part.ends_with("_exps") && part.substr(4, part.size() - 9) == kind)
      return kind;
    if (part.starts_with("mlp.experts.") && part.ends_with("_proj") &&
        part.substr(0, part.size() - 5).ends_with(concat(".", kind)))
      return kind;
  }
  return {};
}

/// The published name of a tensor; its own where it has none. Of experts, that of the first.
inline std::string gguf_published_name(const GgufLayout& layout, std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == name.npos) return std::string(name);
  for (const GgufName& top : layout.tops) {
    if (top.in_gguf == name.substr(0, dot)) return concat(top.published, name.substr(dot));
  }
  const auto parts = layer_name(name, "blk.");
  if (!parts) return std::string(name);
  const std::string at = concat(layout.layers, parts->layer, ".");
  if (const std::string_view kind = gguf_expert(parts->part); !kind.empty())
    return concat(at, "mlp.experts.0.", kind, "_proj", parts->ending);
  if (layout.architecture == "internlm2" && parts->part == "attn_q")
    return concat(at, "attention.wqkv", parts->ending);
  for (const auto names : {layout.own, layout.parts}) {
    for (const GgufName& one : names) {
      if (one.in_gguf == parts->part) return concat(at, one.published, parts->ending);
    }
  }
  return std::string(name);
}

/// The inverse: the name in a GGUF file of a published one, which may lack what all begin with; its own where it has
/// none. Of InternLM2's joined projection, that of the queries.
inline std::string gguf_name(const GgufLayout& layout, const std::string& published) {
  const std::string first(layout.layers.substr(0, layout.layers.find('.') + 1));  // "model."
  for (const std::string& whole : {published, first + published}) {
    const auto dot = whole.rfind('.');
    if (dot == whole.npos) continue;
    for (const GgufName& top : layout.tops) {
      if (top.published == std::string_view(whole).substr(0, dot))
        return concat(top.in_gguf, whole.substr(dot));
    }
    const auto parts = layer_name(whole, layout.layers);
    if (!parts) continue;
    const std::string at = concat("blk.", parts->layer, ".");
    if (const std::string_view kind = gguf_expert(parts->part); !kind.empty())
      return concat(at, "ffn_", kind, "_exps", parts->ending);
    if (layout.architecture == "internlm2" && parts->part == "attention.wqkv")
      return concat(at, "attn_q", parts->ending);
    for (const auto names : {layout.own, layout.parts}) {
      for (const GgufName& one : names) {
        if (one.published == parts->part) return concat(at, one.in_gguf, parts->ending);
      }
    }
  }
  return published;
}

/// Where row `row` of a matrix lies in a file that interleaves the rows of each of `heads` heads.
inline Index interleaved_row(Index row, Index rows, Index heads) {
  const Index head = rows / heads, half = head / 2, within = row % head;
  return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

/// Where the rows of a published tensor lie in a GGUF file.
struct GgufPlace {
  struct Row {
    Index tensor, row;
  };
  std::vector<std::string> tensors;      // one, or InternLM2's three
  Index first = 0;                       // of an expert, the row of its tensor at which it begins
  std::function<Row(Index)> order = {};  // none: one after the other from `first` on
};

/// Of the tensor called `published` with `rows` rows (elements, of a vector). Throws DataError where its rows are not as
/// many as `sizes` say; `where` names the file in it.
inline GgufPlace gguf_place(const GgufLayout& layout, const GgufSizes& sizes, const std::string& published,
                            Index rows, const std::string& where) {
  const std::string name = gguf_name(layout, published);
  GgufPlace place{.tensors = {name}};
  const auto parts = layer_name(name, "blk.");
  if (!parts) return place;
  const auto require_heads = [&](Index heads, Index whole) {
    if (heads != 0 && rows % heads == 0 && rows / heads % whole == 0) return;
    throw DataError(concat(where, ": tensor ", quote(published), " has ", rows, " rows, expected rows for ",
                           heads, " heads of even width"));
  };
  if (layout.architecture == "internlm2" && parts->part == "attn_q") {
    if (sizes.kv_heads == 0 || sizes.heads % sizes.kv_heads != 0 || sizes.heads > rows)
      throw DataError(concat(where, ": tensor ", quote(published), " has ", rows, " rows for ", sizes.heads,
                             " heads of queries and ", sizes.kv_heads,
                             " of keys, expected as many queries for each key"));
    const Index group = sizes.heads / sizes.kv_heads;
    require_heads(sizes.kv_heads * (group + 2), 2);
    const Index width = rows / (sizes.kv_heads * (group + 2)), heads = sizes.heads, kv_heads = sizes.kv_heads;
    for (const char* part : {"k", "v"})
      place.tensors.push_back(concat("blk.", parts->layer, ".attn_", part, parts->ending));
    place.order = [=](Index row) -> GgufPlace::Row {
      const Index head = row / width, within = row % width, in_group = head % (group + 2);
      const Index kv_row = head / (group + 2) * width + within;
      if (in_group == group) return {1, interleaved_row(kv_row, kv_heads * width, kv_heads)};
      if (in_group == group + 1) return {2, kv_row};
      return {
          0, interleaved_row((head / (group + 2) * group + in_group) * width + within, heads * width, heads)};
    };
  } else if (layout.interleaved && (parts->part == "attn_q" || parts->part == "attn_k")) {
    const Index heads = parts->part == "attn_q" ? sizes.heads : sizes.kv_heads;
    require_heads(heads, 2);
    place.order = [=](Index row) -> GgufPlace::Row { return {0, interleaved_row(row, rows, heads)}; };
  } else if (layout.architecture == "gptneox" && parts->part == "attn_qkv") {
    require_heads(sizes.heads, 6);
    const Index width = rows / sizes.heads / 3, hidden = rows / 3;
    place.order = [=](Index row) -> GgufPlace::Row {
      return {0, row / width % 3 * hidden + row / width / 3 * width + row % width};
    };
  } else if (const std::string_view kind = gguf_expert(parts->part); !kind.empty()) {
    constexpr std::string_view mark = ".experts.";
    const std::string number = published.substr(published.find(mark) + mark.size());
    place.first = rows * static_cast<Index>(std::strtoull(number.c_str(), nullptr, 10));
  }
  return place;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
