// Adapters as PEFT writes them: scores, losses and gradients against PEFT's own (tests/golden/generate_adapters.py), what we
// write read back, merged and unmerged, and what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "golden.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/model/adapter_files.hpp"

namespace adapter_files_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

const std::vector<std::string> cases = {"llama_plain",  "llama_dora",     "llama_pattern",  "llama_ranks",
                                        "llama_layers", "gpt2_bias_all",  "gpt2_dora",      "phi3_fused",
                                        "phi3_dora",    "gpt_neox_fused", "internlm2_fused"};

fs::path golden(const std::string& name) {
  return stored("adapters") / name;
}

/// f(model type, folder, the base's expected.json) of the case's backbone.
template <class Backend, class F>
void with_model_of(const fs::path& folder, F f) {
  const fs::path base = base_of(folder);
  const Json expected = read_json(base / "expected.json");
  const BackboneConfig config = read_backbone_config(base);
  const auto with = [&]<class Backbone>(const Backbone& backbone) {
    using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;
    typename Model::Config settings;
    settings.backbone = backbone;
    settings.initial = Initial::from_file;
    settings.adapters = {{.lora = read_lora(folder)}};
    f(settings, expected, [](const typename Model::Config& chosen) { return Model(chosen); });
  };
  if (const auto* llama = std::get_if<Llama>(&config)) {
    with(*llama);
  } else if (const auto* neox = std::get_if<GptNeox>(&config)) {
    with(*neox);
  } else {
    with(std::get<Gpt2>(config));
  }
}

template <class Model>
std::vector<double> scores_of(Model& model, const Packed& packed) {
  const auto found = model.score(packed.view());
  return {found.begin(), found.end()};
}
/// In the order of the sequences.
std::vector<double> in_order(const Packed& packed, const std::vector<double>& rows, Index count) {
  std::vector<double> result;
  for (Index s = 0; s < count; ++s) result.push_back(rows[packed.row(s)]);
  return result;
}

/// The gradient of a tensor of files, put together of the parameters that are its rows; they are added to `found_in`.
template <class B>
std::vector<double> gradient_of(const Parameters<B>& parameters, const std::string& tensor, Index elements,
                                std::set<Index>& found_in) {
  std::vector<double> gradient(elements);
  for (const Index i : parameters.trained()) {
    const ParameterSpec& spec = parameters.spec(i);
    const StoredRows& stored = spec.stored_in;
    // A head is called otherwise by InternLM2.
    if ((stored.present() ? stored.tensor : spec.name) != tensor &&
        !(spec.name == "score.weight" && tensor == "v_head.weight"))
      continue;
    const auto* values = parameters.gradients().data + parameters.offset(i);
    const Index count = parameters.element_count(i), width = count / spec.shape[0];
    for (Index e = 0; e < count; ++e)
      gradient.at(stored.present() ? stored.row(e / width) * width + e % width : e) = values[e];
    found_in.insert(i);
  }
  return gradient;
}

template <class Backend>
void check_case(const std::string& name) {
  CAPTURE(name);
  const fs::path folder = golden(name);
  with_model_of<Backend>(folder, [&](const auto& settings, const Json& base, const auto& make) {
    const Json expected = read_json(folder / "expected.json");
    const auto sequences = golden_sequences(base);
    const auto want = expected.at("scores").template get<std::vector<double>>();
    const Packed packed(sequences);

    auto model = make(settings);
    const LoadReport report = load_model_parameters(folder, model);
    CHECK(report.fresh.empty());
    CHECK(report.unexpected.empty());
    CHECK(relative_error(in_order(packed, scores_of(model, packed), sequences.size()), want) <
          golden_tolerance);
    Json pairs = base;
    pairs["loss"] = expected.at("loss");
    check_step(model, packed, pairs);

    // The gradient of every tensor that PEFT trains, and of no other.
    const AdapterWeights names(folder, nullptr);
    const SafetensorsFile gradients(folder / "gradients.safetensors");
    const auto zero = base.at("zero_gradients").template get<std::vector<std::string>>();
    const auto& parameters = model.parameters();
    std::set<Index> all;
    for (const TensorInfo& tensor : gradients.tensors()) {
      const std::string ours = detail::parameter_of_adapter(tensor.name, "gradients");
      CAPTURE(ours);
      std::vector<double> truth(tensor.elements);
      gradients.read(tensor.name, VectorView<double>(truth));
      const Index before = all.size();
      const std::vector<double> found = gradient_of(parameters, ours, tensor.elements, all);
      REQUIRE(all.size() > before);
      if (std::find(zero.begin(), zero.end(), ours) == zero.end()) {
        CHECK(relative_error(found, truth) < golden_tolerance);
      } else {
        for (const double g : found) CHECK(std::abs(g) < golden_tolerance);
      }
    }

    CHECK(all.size() == parameters.trained().size());

    // What only scores holds the base as its file does, and gives the same.
    auto scoring_settings = settings;
    scoring_settings.scores_only = true;
    auto scoring = make(scoring_settings);
    load_model_parameters(folder, scoring);
    const std::vector<double> unmerged = scores_of(scoring, packed);
    CHECK(relative_error(in_order(packed, unmerged, sequences.size()), want) < golden_tolerance);
    merge_adapter(scoring.parameters());
    CHECK(relative_error(scores_of(scoring, packed), unmerged) < golden_tolerance);
    unmerge_adapter(scoring.parameters());
    CHECK(relative_error(scores_of(scoring, packed), unmerged) < golden_tolerance);
  });
}

TEST_CASE("PEFT's adapters give PEFT's scores, loss and gradients, merged and not") {
  for (const std::string& name : cases) check_case<ReferenceBackend<double>>(name);
}

TEST_CASE("the same in float on two threads") {
  for (const std::string& name : cases) check_case<EigenBackend<float>>(name);
}

TEST_CASE("a saved adapter is PEFT's, reads back to the same bits, and merged it is a whole model") {
  const char* keep = std::getenv("MERIT_WRITE_CHECKPOINTS");
  const TemporaryDirectory scratch;
  for (const std::string& name : cases) {
    CAPTURE(name);
    const fs::path folder = golden(name);
    with_model_of<EigenBackend<float>>(folder, [&](auto settings, const Json& base, const auto& make) {
      Lora& lora = settings.adapters.front().lora;
      lora.base = fs::canonical(base_of(folder)).string();
      auto model = make(settings);
      load_model_parameters(folder, model);
      const auto sequences = golden_sequences(base);
      const Packed packed(sequences);
      const std::vector<double> scores = scores_of(model, packed);
      const fs::path out = keep != nullptr ? fs::path(keep) / name : scratch / name;
      save_model(out, model);
      if (keep != nullptr) {
        write_json(out / "scores.json", {{"sequences", base.at("sequences")},
                                         {"scores", in_order(packed, scores, sequences.size())}});
      }
      CHECK_FALSE(file_exists(out / "config.json"));
      const Lora again_read = read_lora(out);
      if (name == "llama_ranks" ||
          name == "llama_layers") {  // the same said by the names of the maps themselves
        CHECK(again_read.rank_pattern == lora.rank_pattern);
        CHECK(again_read.alpha_pattern == lora.alpha_pattern);
        CHECK(again_read.targets == lora.targets);
      }
      CHECK(again_read == lora);
      const Json ours = read_json(out / "adapter_config.json"),
                 theirs = read_json(folder / "adapter_config.json");
      for (const char* field :
           {"peft_type", "task_type", "r", "lora_alpha", "use_rslora", "use_dora", "bias", "fan_in_fan_out"})
        CHECK(ours.at(field) == theirs.at(field));
      CHECK(ours.at("modules_to_save") == Json{name == "internlm2_fused" ? "v_head" : "score"});
      CHECK(read_model_card(out)->other.at("adapter").at("rank") == 4);
      // The names and bytes of the tensors are PEFT's own.
      const SafetensorsFile written(out / "adapter_model.safetensors"),
          given(folder / "adapter_model.safetensors");
      REQUIRE(written.tensors().size() == given.tensors().size());
      for (const TensorInfo& tensor : given.tensors()) {
        CAPTURE(tensor.name);
        REQUIRE(written.find(tensor.name) != nullptr);
        std::vector<float> a(tensor.elements), b(tensor.elements);
        written.read(tensor.name, VectorView<float>(a));
        given.read(tensor.name, VectorView<float>(b));
        CHECK(a == b);
      }
      auto again = make(settings);
      load_model_parameters(out, again);
      CHECK(scores_of(again, packed) == scores);

      merge_adapter(model.parameters());
      CHECK_THROWS_WITH_AS(
          model.begin_step(),
          "the adapter is merged into the weights: expected unmerge_adapter() before it is trained",
          UsageError);
      const fs::path whole = scratch / (name + "_merged");
      save_model(whole, model);
      CHECK_FALSE(is_adapter(whole));
      auto plain_settings = settings;
      plain_settings.adapters.clear();
      auto plain = make(plain_settings);
      const LoadReport report = load_model_parameters(whole, plain);
      CHECK(report.unexpected.empty());
      CHECK(relative_error(scores_of(plain, packed), scores) < golden_tolerance);
    });
  }
}

/// A copy of a golden adapter, to be changed.
struct Copy {
  TemporaryDirectory scratch;
  fs::path folder;
  Json config;

  explicit Copy(const std::string& name) : folder(scratch / "adapter") {
    fs::copy(golden(name), folder);
    config = read_json(folder / "adapter_config.json");
    config["base_model_name_or_path"] = fs::canonical(base_of(golden(name))).string();
    write();
  }
  void write() const { write_json(folder / "adapter_config.json", config); }
  std::string error_with(const std::string& field, const Json& value) {
    const Json before = config;
    config[field] = value;
    write();
    std::string text = "nothing";
    try {
      read_lora(folder);
    } catch (const DataError& error) {
      text = error.what();
    }
    config = before;
    write();
    CHECK(text.starts_with((folder / "adapter_config.json").string()));
    return text.substr(std::min(text.size(), text.find(": ") + 2));
  }
  /// Its tensors under names that `rename` gives; those without one are left out.
  template <class Rename>
  void rename(const Rename& rename) const {
    std::vector<std::vector<float>> values;
    std::vector<TensorSource> list;
    {
      const SafetensorsFile file(folder / "adapter_model.safetensors");
      for (const TensorInfo& tensor : file.tensors()) {
        const std::string name = rename(tensor.name);
        if (name.empty()) continue;
        values.emplace_back(tensor.elements);
        file.read(tensor.name, VectorView<float>(values.back()));
        list.push_back({name, tensor.shape, {}});
      }
    }
    for (Index i = 0; i < list.size(); ++i) list[i].data = static_cast<const float*>(values[i].data());
    write_safetensors(folder / "adapter_model.safetensors", list);
  }
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != text.npos) text.replace(at, from.size(), to);
  return text;
}

TEST_CASE("modules_to_save is read in either spelling, and adapters with and without their name") {
  for (const char* spelled : {"score.modules_to_save.weight", "score.modules_to_save.default.weight"}) {
    const Copy copy("llama_plain");
    copy.rename([&](const std::string& name) {
      return replaced(replaced(name, "score.weight", spelled), ".weight",
                      name.find("lora_") != name.npos ? ".default.weight" : ".weight");
    });
    const AdapterWeights weights(copy.folder, nullptr);
    CHECK(weights.is_own("score.weight"));
    CHECK(weights.is_own("model.layers.0.mlp.up_proj.lora_A.weight"));
    CHECK(weights.own_names() == AdapterWeights(golden("llama_plain"), nullptr).own_names());
  }
}

TEST_CASE("what an adapter asks for and is not computed is refused by its name") {
  Copy copy("llama_dora");
  CHECK(copy.error_with("peft_type", "IA3") ==
        "field \"peft_type\" is \"IA3\", expected LORA: adapters of other kinds are not computed");
  CHECK(copy.error_with("rank_pattern", {{"q_proj", 0}}) == "lora: rank is 0, expected 1 to 65536");
  CHECK(copy.error_with("rank_pattern", {{"q_proj", "many"}}).starts_with("field \"rank_pattern.q_proj\""));
  CHECK(copy.error_with("rank_pattern", {{"(q_proj", 2}}) ==
        "field \"rank_pattern\" has \"(?:.*\\.)?(?:(q_proj)\", expected a regular expression as ECMAScript "
        "writes it");
  CHECK(copy.error_with("alpha_pattern", {{"q_proj", -1}}).starts_with("lora: alpha is -1"));
  CHECK(copy.error_with("layers_pattern", "layers") ==
        "field \"layers_pattern\" is \"layers\", expected layers_to_transform beside it");
  CHECK(copy.error_with("layers_to_transform", "first").starts_with("field \"layers_to_transform\""));
  for (const char* field : {"lora_bias", "layer_replication", "target_parameters", "trainable_token_indices",
                            "use_qalora", "an_option_to_come"}) {
    CHECK(
        copy.error_with(field, {1}) ==
        concat("field \"", field, "\" is an array of 1, expected nothing: what it asks for is not computed"));
  }
  CHECK(copy.error_with("init_lora_weights", "pissa")
            .starts_with("field \"init_lora_weights\" is \"pissa\", expected true or gaussian"));
  CHECK(copy.error_with("bias", "some") ==
        "field \"bias\" is \"some\", expected one of: none, all, lora_only");
  CHECK(copy.error_with("r", 0) == "lora: rank is 0, expected 1 to 65536");
  CHECK(copy.error_with("target_modules", nullptr) ==
        "field \"target_modules\" is missing, expected names of linear maps");
  CHECK(copy.error_with("target_modules", {"gate_proj"})
            .starts_with("field \"target_modules\" is an array of 1, expected names of maps in "));
  // What says nothing is no option, and names that are none of this model are PEFT's custom.
  copy.config["rank_pattern"] = Json::object();
  copy.config["target_modules"].push_back("query_key_value");
  copy.write();
  CHECK(read_lora(copy.folder).targets == read_lora(golden("llama_dora")).targets);
}

TEST_CASE("layers, exclusions, ranks and alphas are chosen as PEFT chooses them") {
  Copy copy("llama_dora");  // of three layers
  const auto targets = [&](const Json& fields) -> std::vector<std::string> {
    const Json before = copy.config;
    copy.config.update(fields);
    copy.write();
    std::vector<std::string> found;
    try {
      found = read_lora(copy.folder).targets;
    } catch (const DataError& error) {
      found = {error.what()};
    }
    copy.config = before;
    copy.write();
    return found;
  };
  const Index maps = 9;
  const std::string left_out = "leave out";
  for (const Json& all :
       std::vector<Json>{{{"layers_to_transform", {0, 1, 2}}},
                         {{"layers_to_transform", {0, 1, 2}}, {"layers_pattern", "layers"}},
                         {{"layers_to_transform", {2, 1, 0}}, {"layers_pattern", {"h", "layers"}}},
                         {{"exclude_modules", {"o_proj", "proj"}}},
                         {{"exclude_modules", "q_proj"}},
                         {{"target_modules", ".*_proj"}, {"exclude_modules", ".*gate_proj"}}}) {
    CAPTURE(all);
    CHECK(targets(all).size() == maps);
  }
  for (const Json& some : std::vector<Json>{{{"layers_to_transform", 1}},
                                            {{"layers_to_transform", {0, 1, 2}}, {"layers_pattern", "h"}},
                                            {{"exclude_modules", {"v_proj"}}},
                                            {{"exclude_modules", "v_proj"}, {"target_modules", {"q_proj"}}},
                                            {{"exclude_modules", ".*v_proj"}}}) {
    CAPTURE(some);
    REQUIRE(targets(some).size() == 1);
    CHECK(targets(some)[0].find(left_out) != std::string::npos);
  }
  CHECK(targets({{"layers_to_transform", {1}}, {"target_modules", ".*"}})[0].find(
            "expected none beside target_modules that is a regular expression") != std::string::npos);
  // Of keys that fit one map twice the maps are named; what fits none says nothing.
  copy.config["rank_pattern"] = {{"q_proj", 4}, {"elsewhere", 9}};
  copy.config["alpha_pattern"] = {{"1\\.self_attn\\.[qv]_proj", 7}, {"v_proj", 2}};
  copy.write();
  const Lora lora = read_lora(copy.folder);
  CHECK(lora.rank_pattern == std::map<std::string, Index>{{"q_proj", 4}});
  CHECK(lora.alpha_pattern == std::map<std::string, double>{{"model.layers.0.self_attn.v_proj", 2},
                                                            {"model.layers.1.self_attn.q_proj", 7},
                                                            {"model.layers.1.self_attn.v_proj", 7},
                                                            {"model.layers.2.self_attn.v_proj", 2}});
}

TEST_CASE("whatever stands in adapter_config.json, it is read or refused in a sentence that names the file") {
  Copy copy("llama_dora");
  const Json before = copy.config;
  const Json strange[] = {nullptr, false, true, -1, 0, 2.5, 1e300, "", "text", {1}, {"a", 1}, {{"a", 1}}};
  Index refused = 0;
  const auto read = [&] {
    try {
      const Lora lora = read_lora(copy.folder);
      lora.validate();
    } catch (const DataError& error) {
      CHECK(std::string(error.what()).find(copy.folder.string()) == 0);
      ++refused;
    }
  };
  for (const auto& [field, value] : before.items()) {
    for (const Json& one : strange) {
      copy.config = before;
      copy.config[field] = one;
      copy.write();
      read();
    }
    copy.config = before;
    copy.config.erase(field);
    copy.write();
    read();
  }
  CHECK(refused > 100);
  for (const Json& one : strange) {
    write_json(copy.folder / "adapter_config.json", one);
    CHECK_THROWS_AS(read_lora(copy.folder), DataError);
  }
  write_file_atomically(copy.folder / "adapter_config.json", "{\"peft_type\": ");
  CHECK_THROWS_AS(read_lora(copy.folder), DataError);
}

TEST_CASE("an adapter whose tensors are not those of its maps is refused") {
  const auto why = [](const Copy& copy) -> std::string {
    try {
      with_model_of<ReferenceBackend<double>>(copy.folder,
                                              [&](const auto& settings, const Json&, const auto& make) {
                                                auto model = make(settings);
                                                load_model_parameters(copy.folder, model);
                                              });
    } catch (const DataError& error) {
      const std::string text = error.what();
      return text.substr(std::min(text.size(), text.find(": ") + 2));
    }
    return "nothing";
  };
  const std::string b = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";
  {
    const Copy copy("llama_dora");
    copy.rename([&](const std::string& name) { return name == b ? "" : name; });
    CHECK(
        why(copy) ==
        "there is no tensor \"model.layers.1.self_attn.q_proj.lora_B.weight\", expected one of shape [32, 4]");
  }
  {
    const Copy copy("llama_dora");
    copy.rename(
        [&](const std::string& name) { return name == b ? replaced(name, "q_proj", "k_proj") : name; });
    CHECK(why(copy).starts_with("there is no tensor"));
  }
  {
    Copy copy("llama_dora");
    copy.config["target_modules"] = {"q_proj", "v_proj"};
    copy.write();
    CHECK(
        why(copy) ==
        "tensor \"model.layers.0.mlp.down_proj.lora_A.weight\" is of an adapter that the model has not, expected one of the same maps");
  }
  {
    Copy copy("llama_dora");
    copy.config["r"] = 5;
    copy.write();
    CHECK(why(copy).starts_with(
        "tensor \"model.layers.0.self_attn.q_proj.lora_A.weight\" has shape [4, 32], expected [5, 32]"));
  }
  {
    const Copy copy("llama_dora");
    copy.rename([&](const std::string& name) {
      return replaced(name, b, "base_model.model.model.embed_tokens.lora_embedding_A");
    });
    CHECK(why(copy).starts_with(
        "tensor \"base_model.model.model.embed_tokens.lora_embedding_A\" is an adapter of an embedding"));
  }
  {
    const Copy copy("llama_dora");
    copy.rename([&](const std::string& name) { return replaced(name, "base_model.model.", "base."); });
    CHECK(why(copy).find("is none of an adapter, expected a name that begins with base_model.model.") !=
          std::string::npos);
  }
  {
    const Copy copy("llama_dora");
    fs::rename(copy.folder / "adapter_model.safetensors", copy.folder / "adapter_model.bin");
    CHECK(why(copy).starts_with("is a pickle, which may run code and is not read"));
  }
}

TEST_CASE("the base of an adapter is a folder that it names, or that is said") {
  Copy copy("llama_dora");
  const fs::path base = copy.config["base_model_name_or_path"].get<std::string>();
  CHECK(base_of(copy.folder) == base);
  CHECK(base_of(copy.folder, "elsewhere") == "elsewhere");
  CHECK(base_of(base) == base);
  fs::create_directory(copy.folder / "beside");
  copy.config["base_model_name_or_path"] = "beside";
  copy.write();
  CHECK(base_of(copy.folder) == copy.folder / "beside");
  copy.config["base_model_name_or_path"] = "someone/a-model-of-theirs";
  copy.write();
  CHECK_THROWS_WITH_AS(
      base_of(copy.folder),
      doctest::Contains("the base model is \"someone/a-model-of-theirs\", which is no folder here, "
                        "expected one: say where it is with --base"),
      IoError);
  copy.config["base_model_name_or_path"] = copy.folder.string();
  copy.write();
  CHECK_THROWS_WITH_AS(open_weights(copy.folder), doctest::Contains("which is an adapter itself"), DataError);
}

}  // namespace adapter_files_test
