// The element types of GGUF files by their numbers. How those that are read become floats is in
// core/quantized.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One element type of GGUF files.
struct GgmlType {
  std::uint32_t number;  ///< in the file
  std::string_view name;
  Index block_elements;  ///< how many elements lie together, along a row
  Index block_bytes;

  /// The type as merit reads it, if it does.
  constexpr std::optional<Dtype> dtype() const { return dtype_named(name); }
};

/// All types that files of today hold; those that are no Dtype are known by size and name only.
inline constexpr std::array<GgmlType, 34> ggml_types{{
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
}};

static_assert(std::all_of(ggml_types.begin(), ggml_types.end(), [](const GgmlType& type) {
  const auto dtype = type.dtype();
  return !dtype ||
         (layout_of(*dtype).elements == type.block_elements && layout_of(*dtype).bytes == type.block_bytes);
}));

/// The type with a number in files, or null.
constexpr const GgmlType* find_ggml_type(std::uint32_t number) {
  for (const GgmlType& type : ggml_types) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

namespace detail {

/// "F32, F16, Q4_0, …"
inline std::string readable_ggml_types() {
  std::string names;
  for (const GgmlType& type : ggml_types) {
    if (type.dtype()) names.append(names.empty() ? "" : ", ").append(type.name);
  }
  return names;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
