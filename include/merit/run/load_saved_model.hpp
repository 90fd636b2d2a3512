// The weights of a checkpoint: the model that it describes, and what loading tells.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "merit/model/load_options.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/backend_choice.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What loading did not do, a sentence each. `head` is the model's.
inline std::vector<std::string> remarks_of(const LoadReport& report, const AnyHead& head,
                                           const std::filesystem::path& from) {
  std::vector<std::string> remarks;
  if (!report.other_head.empty()) {
    remarks.push_back(concat("the head of ", from.string(), " is ", report.other_head, ", the model's is ",
                             name_of(head), " and starts anew"));
  }
  const auto list = [&](const std::vector<std::string>& names, const char* what) {
    if (names.empty()) return;
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    remarks.push_back(concat(what, ": ", text));
  };
  list(report.fresh, "not taken from the checkpoint, so they start anew");
  list(report.unexpected, "in the checkpoint but of no use to this model");
  return remarks;
}

/// LoadOptions::on_progress in megabytes, of what takes long enough to be waited for.
class LoadProgress {
 public:
  LoadProgress(std::function<void(Index total)> begin, std::function<void(Index done)> update)
      : begin_(std::move(begin)), update_(std::move(update)) {}

  void operator()(Index bytes_done, Index bytes_total) {
    constexpr Index megabyte = 1'000'000;
    if (bytes_total < 100 * megabyte) return;
    if (!begun_) begin_(bytes_total / megabyte);
    begun_ = true;
    update_(bytes_done / megabyte);
  }
  bool begun() const { return begun_; }

 private:
  std::function<void(Index)> begin_, update_;
  bool begun_ = false;
};

/// A model that only scores, and what loading did not do.
struct LoadedModel {
  std::unique_ptr<AnyModel> model;
  std::vector<std::string> remarks;
};

/// The model of a checkpoint with its weights. `threads` 0: all. Throws as make_model() and
/// load_model_parameters() do.
LoadedModel load_saved_model(const SavedModel& saved, int threads = 0,
                             const std::function<void(Index bytes_done, Index bytes_total)>& on_progress = {},
                             BackendChoice backend = BackendChoice::eigen);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/load_saved_model_body.hpp"
#endif
