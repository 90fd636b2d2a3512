// Which arguments are gone after the call: what keeps a view of them does not take them.
#pragma once

#include <ranges>
#include <type_traits>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// `T`, deduced for a parameter `T&&`, is a container that ends with the call and takes its elements along: a
/// vector that a function returned, but no span and no variable. An overload for it is deleted where a view is
/// kept, so that the mistake does not compile.
template <class T>
concept ends_with_the_call =
    !std::is_lvalue_reference_v<T> && std::ranges::range<T> && !std::ranges::borrowed_range<T>;

}  // namespace MERIT_ABI
}  // namespace merit
