// Two trained models that others published: a story teller of the Llama family must tell its known story, and
// a sorter of the GPT-2 family must give PyTorch's activations, stage by stage.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/tolerance.hpp"
#include "stored.hpp"

namespace public_models_test {

using namespace merit;
using Backend = ReferenceBackend<float>;
template <class Backbone>
using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;

template <class M>
void set_parameter(M& model, const std::string& name, const std::vector<float>& values) {
  auto& parameters = model.parameters();
  const Index i = parameters.find(name);
  REQUIRE_MESSAGE(i < parameters.tensor_count(), name);
  REQUIRE_MESSAGE(parameters.element_count(i) == values.size(), name);
  std::copy(values.begin(), values.end(), parameters.values().data + parameters.offset(i));
}

template <class M>
std::vector<float> values_of(M& model, Var v) {
  const auto flat = model.tape().value(v).flat();
  return {flat.begin(), flat.end()};
}

// --- stories260K, in the layout of llama2.c ---------------------------------------------------------------

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : bytes_(read_file(path)) {}

  template <class T>
  T one() {
    T value;
    REQUIRE(at_ + sizeof(T) <= bytes_.size());
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::vector<float> floats(Index count) {
    std::vector<float> values(count);
    REQUIRE(at_ + count * sizeof(float) <= bytes_.size());
    std::memcpy(values.data(), bytes_.data() + at_, count * sizeof(float));
    at_ += count * sizeof(float);
    return values;
  }
  std::string text(Index count) {
    REQUIRE(at_ + count <= bytes_.size());
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

 private:
  std::string bytes_;
  Index at_ = 0;
};

/// Rows of a query or key projection: llama2.c rotates neighbours (2i, 2i+1) of a head, we rotate (i, i +
/// dh/2).
std::vector<float> split_in_halves(const std::vector<float>& weight, Index head_dim, Index cols) {
  std::vector<float> result(weight.size());
  const Index rows = weight.size() / cols;
  for (Index r = 0; r < rows; ++r) {
    const Index head = r / head_dim, place = r % head_dim;
    const Index target = head * head_dim + place / 2 + (place % 2) * head_dim / 2;
    std::copy_n(weight.data() + r * cols, cols, result.data() + target * cols);
  }
  return result;
}

/// llama2.c's tokens of a text after the start token: characters, of which the pair with the best merit is
/// merged until none is left.
std::vector<Token> encoded(const std::string& text, const std::map<std::string, Token>& numbers,
                           const std::vector<float>& merits) {
  std::vector<std::string> pieces;
  for (const char c : text) pieces.emplace_back(1, c);
  while (true) {
    Index best = pieces.size();
    float merit = 0;
    for (Index i = 0; i + 1 < pieces.size(); ++i) {
      const auto merged = numbers.find(pieces[i] + pieces[i + 1]);
      if (merged == numbers.end()) continue;
      if (best < pieces.size() && merits[merged->second] <= merit) continue;
      best = i;
      merit = merits[merged->second];
    }
    if (best == pieces.size()) break;
    pieces[best] += pieces[best + 1];
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<Token> tokens{1};
  for (const std::string& piece : pieces) {
    const auto number = numbers.find(piece);
    const auto byte = static_cast<unsigned char>(piece[0]);
    tokens.push_back(number != numbers.end() ? number->second : Token{byte} + 3);  // bytes follow three marks
  }
  return tokens;
}

TEST_CASE("stories260K tells its story word for word") {
  const auto directory = merit_test::shared_data("models/stories260K");
  if (!directory) return;

  Reader file(*directory / "stories260K.bin");
  Llama llama{.norm_epsilon = 1e-5};
  llama.hidden_size = static_cast<Index>(file.one<std::int32_t>());
  llama.intermediate_size = static_cast<Index>(file.one<std::int32_t>());
  llama.layers = static_cast<Index>(file.one<std::int32_t>());
  llama.heads = static_cast<Index>(file.one<std::int32_t>());
  llama.kv_heads = static_cast<Index>(file.one<std::int32_t>());
  llama.vocabulary_size = static_cast<Index>(file.one<std::int32_t>());
  llama.max_positions = static_cast<Index>(file.one<std::int32_t>());
  const Index d = llama.hidden_size, f = llama.intermediate_size;
  const Index kv = llama.kv_heads * llama.head_width();

  Model<Llama> model({.backbone = llama});
  set_parameter(model, "model.embed_tokens.weight", file.floats(llama.vocabulary_size * d));
  // Each kind of weight for all layers in turn.
  const auto each_layer = [&](const char* name, Index rows, Index cols, bool rotated = false) {
    for (Index i = 0; i < llama.layers; ++i) {
      std::vector<float> weight = file.floats(rows * cols);
      if (rotated) weight = split_in_halves(weight, llama.head_width(), cols);
      set_parameter(model, concat("model.layers.", i, ".", name, ".weight"), weight);
    }
  };
  each_layer("input_layernorm", 1, d);
  each_layer("self_attn.q_proj", d, d, true);
  each_layer("self_attn.k_proj", kv, d, true);
  each_layer("self_attn.v_proj", kv, d);
  each_layer("self_attn.o_proj", d, d);
  each_layer("post_attention_layernorm", 1, d);
  each_layer("mlp.gate_proj", f, d);
  each_layer("mlp.down_proj", d, f);
  each_layer("mlp.up_proj", f, d);
  set_parameter(model, "model.norm.weight", file.floats(d));

  // Greedy decoding takes the best next token each time. So the known story is what it gives exactly if, read
  // in one pass, each token of the story is the best one after those before it.
  Reader tokens(*directory / "tok512.bin");
  tokens.one<std::int32_t>();  // the longest piece
  std::vector<float> merits;
  std::map<std::string, Token> numbers;
  for (Token t = 0; t < llama.vocabulary_size; ++t) {
    merits.push_back(tokens.one<float>());
    numbers.emplace(tokens.text(static_cast<Index>(tokens.one<std::int32_t>())), t);
  }
  std::string text = read_file(*directory / "expected_greedy_200.txt");
  if (text.ends_with('\n')) text.pop_back();  // the file's own
  const std::vector<Token> story = encoded(" " + text, numbers, merits);
  CHECK(story.size() == 201);
  ForestBuilder builder;
  const std::span<const Token> span(story);
  builder.add_tree({&span, 1});
  for (std::uint32_t t = 0; t < builder.token_count(); ++t) builder.want_row(t);
  builder.finish();
  const ForestView<> forest = builder.view();
  model.tape().set_recording(false);
  const Var hidden = model.backbone().forward(model.tape(), forest);
  const Var logits = linear(model.tape(), hidden, model.backbone().unembedding());  // (tokens, V)
  for (Index t = 0; t + 1 < story.size(); ++t) {
    CAPTURE(t);
    const float* row = model.tape().value(logits).row(t);
    CHECK(static_cast<Token>(std::max_element(row, row + llama.vocabulary_size) - row) == story[t + 1]);
  }
}

// --- gpt_nano_sort, in the layout of minGPT ---------------------------------------------------------------

/// {"shape": [...], "data": base64 of little-endian fp32}
std::vector<float> decoded(const Json& tensor) {
  const auto text = tensor.at("data").get<std::string>();
  std::array<int, 256> digit;
  digit.fill(-1);
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (Index i = 0; i < alphabet.size(); ++i)
    digit[static_cast<unsigned char>(alphabet[i])] = static_cast<int>(i);
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = digit[static_cast<unsigned char>(c)];
    if (value < 0) break;  // '=' at the end
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>((bits >> count) & 0xFFu);
    }
  }
  Index size = 1;
  for (const Json& extent : tensor.at("shape")) size *= extent.get<Index>();
  REQUIRE(bytes.size() == 4 * size);
  std::vector<float> values(size);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> transposed(const std::vector<float>& matrix, Index rows, Index cols) {
  std::vector<float> result(matrix.size());
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c) result[c * rows + r] = matrix[r * cols + c];
  }
  return result;
}

void load_sorter(Model<Gpt2>& model, const Json& weights) {
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    const ParameterSpec& spec = model.parameters().spec(i);
    if (spec.name == "score.weight") continue;
    const Json& tensor = weights.at(spec.name);
    std::vector<float> values = decoded(tensor);
    // minGPT's linear layers store (out, in).
    if (spec.shape.size() == 2 && spec.name.find(".h.") != std::string::npos) {
      values = transposed(values, spec.shape[1], spec.shape[0]);
    }
    set_parameter(model, spec.name, values);
  }
}

TEST_CASE("gpt_nano_sort gives PyTorch's activations at every stage") {
  const auto directory = merit_test::shared_data("models/gpt_nano_sort");
  if (!directory) return;
  const Json weights = read_json(*directory / "gpt-nano-sort-model.json");
  const Json partials = read_json(*directory / "gpt-nano-sort-t0-partials.json");
  const Json& numbers = weights.at("config");
  Gpt2 gpt2{.vocabulary_size = numbers.at("vocab_size"),
            .hidden_size = numbers.at("n_embd"),
            .layers = numbers.at("n_layer"),
            .heads = numbers.at("n_head"),
            .max_positions = numbers.at("block_size")};
  const Index d = gpt2.hidden_size;

  // The three sequences as three trees, every token a row.
  const std::vector<float> idx = decoded(partials.at("idx"));
  ForestBuilder builder(Sharing::no);
  for (Index s = 0; s < 3; ++s) {
    std::vector<Token> sequence;
    for (Index t = 0; t < 11; ++t) sequence.push_back(static_cast<Token>(idx[s * 11 + t]));
    const std::span<const Token> span(sequence);
    builder.add_tree({&span, 1});
  }
  for (std::uint32_t t = 0; t < builder.token_count(); ++t) builder.want_row(t);
  builder.finish();
  const ForestView<> forest = builder.view();

  const auto check = [&](const char* stage, const std::vector<float>& found) {
    INFO(stage);
    CHECK(relative_error(found, decoded(partials.at(stage))) < Tolerance<float>::value);
  };

  Model<Gpt2> model({.backbone = gpt2});
  load_sorter(model, weights);
  auto& tape = model.tape();
  auto& parameters = model.parameters();
  const auto p = [&](const std::string& name) {
    return parameters.slice(static_cast<std::uint32_t>(parameters.find(name)));
  };
  tape.set_recording(false);

  // The first block, operation by operation.
  const Var tokens = embedding(tape, forest.tokens, p("transformer.wte.weight"));
  check("tok_emb", values_of(model, tokens));
  const Var x = embedding(tape, forest.tokens, p("transformer.wte.weight"), forest.positions,
                          p("transformer.wpe.weight"));
  check("x", values_of(model, x));
  const std::string at = "transformer.h.0.";
  const Var ln1 = layer_norm(tape, x, p(at + "ln_1.weight"), p(at + "ln_1.bias"), gpt2.norm_epsilon);
  check("ln1", values_of(model, ln1));
  const Var qkv =
      linear(tape, ln1, p(at + "attn.c_attn.weight"), p(at + "attn.c_attn.bias"), {}, Layout::in_out);
  check("qkv", values_of(model, qkv));
  const Index width = d / gpt2.heads;
  const AttentionShape shape{gpt2.heads, gpt2.heads, width, 1.0 / std::sqrt(static_cast<double>(width))};
  const Var y = attention(tape, forest, shape, {}, {qkv, 0, d}, {qkv, d, d}, {qkv, 2 * d, d});
  check("y", values_of(model, y));
  const Var projected =
      linear(tape, y, p(at + "attn.c_proj.weight"), p(at + "attn.c_proj.bias"), {}, Layout::in_out);
  check("yProj", values_of(model, projected));
  const Var h = linear(tape, y, p(at + "attn.c_proj.weight"), p(at + "attn.c_proj.bias"), x, Layout::in_out);
  check("attnResid", values_of(model, h));
  const Var ln2 = layer_norm(tape, h, p(at + "ln_2.weight"), p(at + "ln_2.bias"), gpt2.norm_epsilon);
  check("ln2", values_of(model, ln2));
  const Var fc = linear(tape, ln2, p(at + "mlp.c_fc.weight"), p(at + "mlp.c_fc.bias"), {}, Layout::in_out);
  check("fc", values_of(model, fc));
  const Var activated = activate(tape, fc, gpt2.activation);
  check("gelu", values_of(model, activated));
  const Var mlp =
      linear(tape, activated, p(at + "mlp.c_proj.weight"), p(at + "mlp.c_proj.bias"), {}, Layout::in_out);
  check("mlp", values_of(model, mlp));
  const Var out =
      linear(tape, activated, p(at + "mlp.c_proj.weight"), p(at + "mlp.c_proj.bias"), h, Layout::in_out);
  check("mlpResid", values_of(model, out));
  check("block0", values_of(model, out));

  // The blocks, by models cut off after them: their last norm is of the published block's output.
  for (const Index layers : {1u, 2u}) {
    Gpt2 cut = gpt2;
    cut.layers = layers;
    Model<Gpt2> first(Model<Gpt2>::Config{.backbone = cut});
    load_sorter(first, weights);
    first.tape().set_recording(false);
    const Var hidden = first.backbone().forward(first.tape(), forest);
    const std::vector<float> block = decoded(partials.at(layers == 1 ? "block0" : "block1"));
    const Var published = tape.make(33, d, false);
    std::copy(block.begin(), block.end(), tape.value(published).data);
    const Var normed = layer_norm(tape, published, p("transformer.ln_f.weight"), p("transformer.ln_f.bias"),
                                  gpt2.norm_epsilon);
    INFO("after ", layers, " blocks");
    CHECK(relative_error(values_of(first, hidden), values_of(model, normed)) < Tolerance<float>::value);
  }

  // The whole model. Its unembedding is not the embedding, which our Gpt2 takes: done here.
  tape.reset();
  tape.set_recording(false);
  const Var hidden = model.backbone().forward(tape, forest);
  check("ln_f", values_of(model, hidden));
  const std::vector<float> rows = values_of(model, hidden);
  const std::vector<float> unembedding = decoded(weights.at("lm_head.weight"));
  std::vector<float> logits;
  for (Index r = 0; r < 33; ++r) {
    for (Index v = 0; v < gpt2.vocabulary_size; ++v) {
      double sum = 0;
      for (Index i = 0; i < d; ++i) {
        sum += static_cast<double>(rows[r * d + i]) * static_cast<double>(unembedding[v * d + i]);
      }
      logits.push_back(static_cast<float>(sum));
    }
  }
  check("lm_head", logits);
}

}  // namespace public_models_test
