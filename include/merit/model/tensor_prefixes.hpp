// What the names of a published backbone's tensors begin with.
#pragma once

#include <string_view>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// What a class with a head puts before the names of its backbone's tensors; the backbone saved alone has none.
inline constexpr std::string_view backbone_prefixes[] = {"model.",      "transformer.", "gpt_neox.",
                                                         "bert.",       "roberta.",     "electra.",
                                                         "distilbert.", "albert.",      "deberta."};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
