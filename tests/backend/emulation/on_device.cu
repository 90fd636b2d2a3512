// The kernels' tests on a GPU: the same files, with the machine of cuda_memory.cuh. That nvcc compiles it is a test on a
// machine without one, too.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "backend/emulation/attention_kernels_test.cpp"
#include "backend/emulation/elementwise_kernels_test.cpp"
#include "backend/emulation/fragments_test.cpp"
#include "backend/emulation/next_token_loss_kernel_test.cpp"
#include "backend/emulation/norm_kernels_test.cpp"
#include "backend/emulation/optimizer_kernels_test.cpp"
#include "backend/emulation/row_kernels_test.cpp"
