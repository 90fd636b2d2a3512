// The version of merit, the name of its inline namespace, and the mark of functions that a device may call.
#pragma once

#define MERIT_VERSION_MAJOR 0
#define MERIT_VERSION_MINOR 1
#define MERIT_VERSION_PATCH 0
#define MERIT_VERSION "0.1.0"

// Everything lives in merit::MERIT_ABI, an inline namespace. Its name changes with the version and with the
// switches that change the code of an inline function, so that translation units built differently can be
// linked into one program without breaking the one-definition rule.
#if defined(MERIT_COMPILED)
#define MERIT_ABI v0_1_compiled
#elif defined(_OPENMP) && defined(EIGEN_USE_BLAS)
#define MERIT_ABI v0_1_omp_blas
#elif defined(_OPENMP)
#define MERIT_ABI v0_1_omp
#elif defined(EIGEN_USE_BLAS)
#define MERIT_ABI v0_1_blas
#else
#define MERIT_ABI v0_1
#endif

// Before a function whose body stands in a file of its own. That file is included with the declaration, unless
// the library merit::compiled_run is linked, which holds the body and defines MERIT_COMPILED_RUN.
#if defined(MERIT_COMPILED_RUN)
#define MERIT_INLINE
#else
#define MERIT_INLINE inline
#endif

// Before a function that a host and a device can both call: it allocates nothing, throws nothing and keeps
// nothing. Only nvcc makes a difference.
#if defined(__CUDACC__)
#define MERIT_CALLABLE __host__ __device__
#else
#define MERIT_CALLABLE
#endif
