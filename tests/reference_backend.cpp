// ReferenceBackend, compiled once and optimised for the sanitized tests, whose other code is not (precompiled.cmake).
#include "merit/backend/reference/reference_backend.hpp"

template struct merit::ReferenceBackend<float>;
template struct merit::ReferenceBackend<double>;
