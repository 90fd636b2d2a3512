// A model whose scores are known by hand: that of a letter is its distance from 'm'.
#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace merit_test {

/// Scores the bytes of a text: 'm' is 0, 'n' 1, 'l' −1, and so on, '~' no number. A step is scored by the letter before its
/// separator. The loss of anything is a quarter.
class LetterModel : public merit::AnyModel {
 public:
  LetterModel(merit::AnyHead head, merit::AnyLoss loss)
      : AnyModel({{merit::BagOfTokens{}}, std::move(head), std::move(loss)}),
        back_(meaning() == merit::ScoreMeaning::per_step ? 1 : 0) {}

  std::span<const float> score(const Forest& forest) override {
    scores_.clear();
    for (const std::uint32_t row : forest.rows) {
      const auto letter = forest.tokens[row - back_];
      scores_.push_back(letter == '~' ? std::numeric_limits<float>::quiet_NaN()
                                      : static_cast<float>(letter) - static_cast<float>('m'));
    }
    return scores_;
  }
  std::span<const float> scores() const override { return scores_; }
  double loss_of_scored(const merit::AnyTargets&, const merit::AnyNormaliser&) override { return 0.25; }
  merit::Index outputs() const override { return 1; }
  merit::Index second_outputs() const override { return 1; }
  void begin_step() override { refuse(); }
  void issue(const Forest&, const merit::AnyTargets&, const merit::AnyNormaliser&, merit::Index) override {
    refuse();
  }
  double collect(merit::Index) override { refuse(); }
  void end_step() override { refuse(); }
  merit::Index parameter_count() const override { refuse(); }
  merit::Index trained_parameter_count() const override { refuse(); }
  merit::ModelMemory memory() override { refuse(); }
  merit::LoadReport load(const std::filesystem::path&, const merit::LoadOptions&) override { refuse(); }
  void save(const std::filesystem::path&, const merit::ModelCard&, const merit::SaveOptions&) override {
    refuse();
  }

  std::unique_ptr<merit::AnySession> session(const merit::SessionOptions&) override { refuse(); }
  void load_adapters(std::span<const merit::AdapterPlace>, const merit::LoadOptions&) override { refuse(); }
  void use_adapter(const std::string&) override { refuse(); }
  void merge_adapter() override { refuse(); }
  void unmerge_adapter() override { refuse(); }

 private:
  std::unique_ptr<merit::AnyRun> make_run(const merit::Examples&, const merit::TrainOptions&) override {
    refuse();
  }
  std::unique_ptr<merit::AnyRun> make_run(const merit::StoredExampleSet&,
                                          const merit::TrainOptions&) override {
    refuse();
  }
  [[noreturn]] static void refuse() { throw merit::UsageError("letters have no parameters"); }

  std::uint32_t back_;
  std::vector<float> scores_;
};

/// Lines as records of a kind, without an end of sequence.
inline merit::RecordSet read_lines(merit::RecordKind kind, const std::string& lines,
                                   merit::RecordSetOptions options = {},
                                   const std::string& tokenizer = "bytes") {
  const TemporaryDirectory folder;
  put(folder / "records.jsonl", lines);
  options.kind = kind;
  options.tokenize.append_eos = false;
  options.notes = true;
  return merit::read_record_set({(folder / "records.jsonl").string()}, merit::make_tokenizer(tokenizer),
                                options);
}

}  // namespace merit_test
