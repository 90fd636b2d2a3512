// Models of the compiled set, made by what is known at run time.
#pragma once

#include <memory>

#include "merit/model/hf_config.hpp"
#include "merit/run/any_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A model with fresh parameters. Throws ConfigError for what is not in the compiled set, for a backend that is
/// not in the program, and where the backbone cannot carry the head.
std::unique_ptr<AnyModel> make_model(const BackboneConfig& backbone, const ModelSettings& settings);

namespace detail {

/// Of heads that score completions, or tokens, steps and states: each compiled in a unit of its own.
std::unique_ptr<AnyModel> make_completion_model(const BackboneConfig& backbone,
                                                const ModelSettings& settings);
std::unique_ptr<AnyModel> make_row_model(const BackboneConfig& backbone, const ModelSettings& settings);

/// Of any head, on a backend beside Eigen's that the program was built with: in units of their own.
std::unique_ptr<AnyModel> make_thrust_model(const BackboneConfig& backbone, const ModelSettings& settings);
std::unique_ptr<AnyModel> make_thrust_omp_model(const BackboneConfig& backbone,
                                                const ModelSettings& settings);

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/make_completion_model_body.hpp"
#include "merit/run/make_model_body.hpp"
#include "merit/run/make_row_model_body.hpp"
#endif
