// What config.json says beside the backbone.
#pragma once

#include <string_view>

#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The part of config.json that the backbone does not decide: the ending of the class in transformers, the
/// numbers of a score, and the type of the weights in the file.
struct HfTask {
  std::string_view class_ending = "ForSequenceClassification";
  Index labels = 1;
  Dtype dtype = Dtype::f32;
};

namespace detail {

/// As PyTorch calls it.
constexpr std::string_view torch_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return "float64";
    case Dtype::f32: return "float32";
    case Dtype::f16: return "float16";
    case Dtype::bf16: return "bfloat16";
    default: return "?";  // quantised types are not written there
  }
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
