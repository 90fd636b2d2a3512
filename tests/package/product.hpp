// A product on the Eigen backend, however it comes to this unit.
#pragma once

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/instruction_set.hpp"

namespace {

/// (1 2 3 4) · (5 6 7 8)
float product() {
  using B = merit::EigenBackend<float>;
  B::Handle handle(B{.threads = 1});
  const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
  float out = 0;
  B::product(handle, {.a = {a, 1, 4}, .b = {b, 4, 1}, .out = {&out, 1, 1}});
  return out;
}

}  // namespace
