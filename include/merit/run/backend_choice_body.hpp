// Which backends are in this program: CMake's MERIT_THRUST_HOST and MERIT_DEVICE define what is asked for here.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/run/backend_choice.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::vector<BackendChoice> compiled_backends() {
  std::vector<BackendChoice> list{BackendChoice::eigen};
#ifdef MERIT_RUN_THRUST
  list.push_back(BackendChoice::thrust);
#endif
#ifdef MERIT_RUN_THRUST_OMP
  list.push_back(BackendChoice::thrust_omp);
#endif
  return list;
}

MERIT_INLINE BackendChoice backend_named(std::string_view name) {
  std::string names;
  for (const BackendChoice choice : compiled_backends()) {
    if (name == name_of(choice)) return choice;
    names.append(names.empty() ? "" : ", ").append(name_of(choice));
  }
  throw ConfigError(
      value_named<BackendChoice>(name)
          ? concat("the backend ", name, " is not in this program, which was built with: ", names)
          : concat("there is no backend \"", name, "\", expected one of: ", names));
}

}  // namespace MERIT_ABI
}  // namespace merit
