// Which fields a request may have: what merit's own requests do not know is refused, what clients of other servers send is not.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/nearest_name.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/unread_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

using FieldNames = std::vector<std::string_view>;

[[noreturn]] inline void refuse_name(std::string_view at, std::string_view name, const FieldNames& known) {
  std::string list;
  for (const std::string_view one : known) list += concat(list.empty() ? "" : ", ", one);
  const std::string nearest = nearest_name(name, known);
  throw DataError(concat(at, ": found the field ", quote(name), ", expected one of: ", list,
                         nearest.empty() ? std::string() : concat(" (did you mean ", nearest, "?)")));
}

/// Refuses a request in merit's own form with a field that is none of these. One that holds null counts as absent.
inline void refuse_unknown(const OrderedJson& body, const FieldNames& known) {
  for (const auto& [name, value] : body.items()) {
    if (value.is_null() || name == "model" || std::ranges::find(known, name) != known.end()) continue;
    refuse_name("the request", name, known);
  }
}

/// Refuses a record with a field that none of its kind has, but for `also`, which the request around it has.
inline void refuse_unknown_in_record(const OrderedJson& record, const std::string& at,
                                     const FieldNames& also = {}) {
  UnreadFields unread;
  unread.add_to_score(record);
  for (const auto& [name, count] : unread.fields()) {
    if (std::ranges::find(also, name) != also.end()) continue;
    FieldNames known{"prompt",
                     "prompt_ids",
                     "completion",
                     "completion_ids",
                     "completion_features",
                     "completions",
                     "completions_ids",
                     "messages",
                     "chosen",
                     "rejected",
                     "response_a",
                     "response_b",
                     "labels",
                     "tools",
                     "chat_template_kwargs",
                     "completions_features"};
    known.insert(known.end(), also.begin(), also.end());
    refuse_name(at, name, known);
  }
}

/// What clients of vLLM, Text Embeddings Inference, Cohere, Jina and OpenRLHF send beside what is read of it. It changes no
/// score here: what is too long is cut or dropped as the model's card says.
inline const FieldNames& sent_by_clients() {
  static const FieldNames names{"model",
                                "user",
                                "request_id",
                                "priority",
                                "cache_salt",
                                "task",
                                "dimensions",
                                "normalize",
                                "embed_dtype",
                                "endianness",
                                "truncate",
                                "truncation",
                                "truncation_side",
                                "padding",
                                "truncation_direction",
                                "add_special_tokens",
                                "truncate_prompt_tokens",
                                "mm_processor_kwargs",
                                "media_io_kwargs",
                                "max_chunks_per_doc",
                                "max_tokens_per_doc",
                                "labels",
                                "metadata"};
  return names;
}

/// Of a request in the form of another server: refuses a field that is none of these, nor known to be sent, but a letter or two
/// from one of these; any other is left, as those servers leave it, whose clients send new ones with each version.
inline void refuse_misspelt(const OrderedJson& body, const FieldNames& known) {
  const FieldNames& sent = sent_by_clients();
  for (const auto& item : body.items()) {
    const std::string& name = item.key();
    const auto is_nearly = [&](std::string_view one) {
      return edit_distance(name, one) <= (name.size() < 8 ? 1u : 2u);
    };
    if (item.value().is_null() || std::ranges::find(known, name) != known.end() ||
        std::ranges::find(sent, name) != sent.end() || std::ranges::none_of(known, is_nearly))
      continue;
    refuse_name("the request", name, known);
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
