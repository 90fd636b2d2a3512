// The table of the kernels as this unit is compiled: all that a unit of merit::compiled for one instruction
// set holds.
#pragma once

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/eigen/kernel_table.hpp"
#include "merit/backend/eigen/kernels.hpp"
#include "merit/backend/instruction_set.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

template <class T, class K = Kernels<T>>
inline constexpr KernelTable<T> kernel_table_of_unit{
    .threads = K::threads,
    .working_space = K::working_space,
    .fill = K::fill,
    .copy = K::copy,
    .linear = K::linear,
    .weight_gradient = K::weight_gradient,
    .column_sum = K::column_sum,
    .rms_norm = K::rms_norm,
    .rms_norm_backward = K::rms_norm_backward,
    .layer_norm = K::layer_norm,
    .layer_norm_backward = K::layer_norm_backward,
    .rotary = K::rotary,
    .gather_rows = K::gather_rows,
    .scatter_add_rows = K::scatter_add_rows,
    .attention_scratch = K::attention_scratch,
    .attention = K::attention,
    .attention_backward_scratch = K::attention_backward_scratch,
    .attention_backward = K::attention_backward,
    .relative_attention_scratch = K::relative_attention_scratch,
    .relative_attention = K::relative_attention,
    .relative_attention_backward = K::relative_attention_backward,
    .glu = K::glu,
    .glu_backward = K::glu_backward,
    .activate = K::activate,
    .activate_backward = K::activate_backward,
    .route = K::route,
    .route_backward = K::route_backward,
    .scale_rows = K::scale_rows,
    .scale_rows_backward = K::scale_rows_backward,
    .scale = K::scale,
    .path_mean = K::path_mean,
    .path_mean_backward = K::path_mean_backward,
    .next_token_loss = K::next_token_loss,
    .sum_of_squares = K::sum_of_squares,
    .adamw = K::adamw,
    .momentum = K::momentum,
    .adafactor = K::adafactor,
    .product = K::product,
};

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
