// Norms: a row at a time, and the gradients of their weights, which are sums over rows, a column at a time.
#pragma once

#include <cmath>

#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

template <class B>
struct RmsNormRow {
  RmsNormArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto* const x = a.x.row(i);
    float squares = 0;
    for (Index j = 0; j < a.x.cols; ++j) squares += number<float>(x[j]) * number<float>(x[j]);
    const float r = 1.0f / std::sqrt(squares / static_cast<float>(a.x.cols) + static_cast<float>(a.epsilon));
    const float offset = static_cast<float>(a.weight_offset);
    for (Index j = 0; j < a.x.cols; ++j)
      put(a.y.row(i)[j], number<float>(x[j]) * r * (offset + a.weight.data[j]), Write::assign);
    if (!a.rstd.empty()) a.rstd.data[i] = r;
  }
};

/// With n = x · rstd and g = dy · (weight_offset + weight):  dx = rstd · (g − n · mean(g · n)).
template <class B>
struct RmsNormBackwardRow {
  RmsNormBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto *const x = a.x.row(i), *const dy = a.dy.row(i);
    const float r = a.rstd.data[i], offset = static_cast<float>(a.weight_offset);
    float mean = 0;  // of g · n
    for (Index j = 0; j < a.x.cols; ++j)
      mean += number<float>(dy[j]) * (offset + a.weight.data[j]) * (number<float>(x[j]) * r);
    mean /= static_cast<float>(a.x.cols);
    for (Index j = 0; j < a.dx.cols; ++j) {
      const float g = number<float>(dy[j]) * (offset + a.weight.data[j]);
      put(a.dx.row(i)[j], r * (g - number<float>(x[j]) * r * mean), a.write);
    }
  }
};

/// dweight += dy · n, summed over rows in their order, in double.
template <class B>
struct RmsNormWeightColumn {
  RmsNormBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index j) const {
    double sum = 0;
    for (Index i = 0; i < a.x.rows; ++i) {
      sum += static_cast<double>(number<float>(a.dy.row(i)[j]) *
                                 (number<float>(a.x.row(i)[j]) * a.rstd.data[i]));
    }
    a.dweight.data[j] += static_cast<float>(sum);
  }
};

template <class B>
struct LayerNormRow {
  LayerNormArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto* const x = a.x.row(i);
    const float width = static_cast<float>(a.x.cols);
    float mean = 0;
    for (Index j = 0; j < a.x.cols; ++j) mean += number<float>(x[j]);
    mean /= width;
    float squares = 0;
    for (Index j = 0; j < a.x.cols; ++j) {
      const float apart = number<float>(x[j]) - mean;
      squares += apart * apart;
    }
    const float rstd = 1.0f / std::sqrt(squares / width + static_cast<float>(a.epsilon));
    for (Index j = 0; j < a.x.cols; ++j) {
      const float n = (number<float>(x[j]) - mean) * rstd;
      const float y = a.weight.empty() ? n : n * a.weight.data[j];
      put(a.y.row(i)[j], a.bias.empty() ? y : y + a.bias.data[j], Write::assign);
    }
    if (!a.stats.empty()) {
      a.stats.data[i] = mean;
      a.stats.data[a.x.rows + i] = rstd;
    }
  }
};

/// With n = (x − mean) · rstd and g = dy · weight:  dx = rstd · (g − mean(g) − n · mean(g · n)).
template <class B>
struct LayerNormBackwardRow {
  LayerNormBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const auto *const x = a.x.row(i), *const dy = a.dy.row(i);
    const float center = a.stats.data[i], rstd = a.stats.data[a.x.rows + i];
    const float width = static_cast<float>(a.x.cols);
    float mean = 0, mean_product = 0;  // of g, of g · n
    const auto slope = [&](Index j) {
      return a.weight.empty() ? number<float>(dy[j]) : number<float>(dy[j]) * a.weight.data[j];
    };
    for (Index j = 0; j < a.x.cols; ++j) {
      const float g = slope(j);
      mean += g;
      mean_product += g * ((number<float>(x[j]) - center) * rstd);
    }
    mean /= width;
    mean_product /= width;
    for (Index j = 0; j < a.dx.cols; ++j) {
      const float g = slope(j);
      const float n = (number<float>(x[j]) - center) * rstd;
      put(a.dx.row(i)[j], rstd * (g - mean - n * mean_product), a.write);
    }
  }
};

/// dweight += dy · n and dbias += dy, summed over rows in their order, in double.
template <class B>
struct LayerNormWeightColumn {
  LayerNormBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index j) const {
    double of_weight = 0, of_bias = 0;
    for (Index i = 0; i < a.x.rows; ++i) {
      const float dy = number<float>(a.dy.row(i)[j]);
      const float n = (number<float>(a.x.row(i)[j]) - a.stats.data[i]) * a.stats.data[a.x.rows + i];
      of_weight += static_cast<double>(dy * n);
      of_bias += static_cast<double>(dy);
    }
    if (!a.dweight.empty()) a.dweight.data[j] += static_cast<float>(of_weight);
    if (!a.dbias.empty()) a.dbias.data[j] += static_cast<float>(of_bias);
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
