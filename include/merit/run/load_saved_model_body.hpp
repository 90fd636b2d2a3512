// Making the model of a checkpoint.
#pragma once

#include "merit/run/load_saved_model.hpp"
#include "merit/run/make_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE LoadedModel load_saved_model(
    const SavedModel& saved, int threads,
    const std::function<void(Index bytes_done, Index bytes_total)>& on_progress, BackendChoice backend) {
  LoadedModel loaded;
  loaded.model = make_model(saved.backbone, {.head = saved.head,
                                             .loss = saved.loss ? *saved.loss : some_loss(saved.head),
                                             .backend = backend,
                                             .threads = threads,
                                             .initial = Initial::from_file,
                                             .scores_only = true,
                                             .adapters = saved.adapters});
  LoadOptions options = load_options(saved);
  options.on_progress = on_progress;
  loaded.remarks = remarks_of(loaded.model->load(saved.place, options), saved.head, saved.place);
  if (saved.adapter_places.size() > 1) loaded.model->load_adapters(saved.adapter_places, options);
  return loaded;
}

}  // namespace MERIT_ABI
}  // namespace merit
