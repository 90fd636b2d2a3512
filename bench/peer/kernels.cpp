// Matrix products and attention of the Eigen backend for kernels.py, which times them beside PyTorch's in one
// process: plain functions that Python's ctypes can call.
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/forest/forest.hpp"

namespace {

using namespace merit;
using B = EigenBackend<float>;

/// Attention over one sequence. Rows of `heads` heads, one after another; dq, dk and dv likewise.
struct Attention {
  B::Handle* handle;
  Index heads, kv_heads, head_dim;
  Forest forest;
  std::vector<float> lse, scratch;
};

}  // namespace

extern "C" {

B::Handle* open_handle(int threads) {
  return std::make_unique<B::Handle>(B{.threads = threads}).release();
}

/// out (m, n) = op(a) · op(b), depth k: by_columns 0: a · bᵀ, 1: a · b, 2: aᵀ · b.
void product(B::Handle* handle, int kind, Index m, Index n, Index k, const float* a, const float* b,
             float* out) {
  const MatrixView<float> to{out, m, n};
  if (kind == 2) {
    B::weight_gradient(*handle, MatrixView<const float>{a, k, m}, MatrixView<const float>{b, k, n},
                       Write::assign, to);
  } else {
    const MatrixView<const float> weight{b, kind == 0 ? n : k, kind == 0 ? k : n};
    B::linear(*handle, {.x = MatrixView<const float>{a, m, k},
                        .weight = weight,
                        .transpose = kind == 0 ? Transpose::yes : Transpose::no,
                        .out = to});
  }
}

Attention* open_attention(B::Handle* handle, Index tokens, Index heads, Index kv_heads, Index head_dim) {
  auto made = std::make_unique<Attention>(Attention{handle, heads, kv_heads, head_dim, {}, {}, {}});
  const std::vector<Token> sequence(tokens, 0);
  const std::span<const Token> span(sequence);
  ForestBuilder builder;
  builder.add_tree({&span, 1});
  made->forest = builder.finish();
  made->lse.resize(tokens * heads);
  const AttentionShape shape{heads, kv_heads, head_dim, 1 / std::sqrt(static_cast<double>(head_dim))};
  made->scratch.resize(std::max(B::attention_scratch(*handle, made->forest.view(), shape),
                                B::attention_backward_scratch(*handle, made->forest.view(), shape)));
  return made.release();
}

/// Forward, and backward where dout is given.
void attention(Attention* a, float* q, float* k, float* v, float* out, float* dout, float* dq, float* dk,
               float* dv) {
  const Index tokens = a->forest.token_count();
  const Index wide = a->heads * a->head_dim;
  const Index narrow = a->kv_heads * a->head_dim;
  const AttentionShape shape{a->heads, a->kv_heads, a->head_dim,
                             1 / std::sqrt(static_cast<double>(a->head_dim))};
  const auto view = a->forest.view();
  const MatrixView<float> lse{a->lse.data(), tokens, a->heads};
  B::attention(*a->handle, {.forest = view,
                            .shape = shape,
                            .query_tokens = {},
                            .q = MatrixView<float>{q, tokens, wide},
                            .k = MatrixView<float>{k, tokens, narrow},
                            .v = MatrixView<float>{v, tokens, narrow},
                            .out = MatrixView<float>{out, tokens, wide},
                            .lse = lse,
                            .scratch = a->scratch});
  if (dout == nullptr) return;
  B::attention_backward(*a->handle, {.forest = view,
                                     .shape = shape,
                                     .query_tokens = {},
                                     .q = MatrixView<float>{q, tokens, wide},
                                     .k = MatrixView<float>{k, tokens, narrow},
                                     .v = MatrixView<float>{v, tokens, narrow},
                                     .out = MatrixView<float>{out, tokens, wide},
                                     .lse = lse,
                                     .dout = MatrixView<float>{dout, tokens, wide},
                                     .dq = MatrixView<float>{dq, tokens, wide},
                                     .dk = MatrixView<float>{dk, tokens, narrow},
                                     .dv = MatrixView<float>{dv, tokens, narrow},
                                     .scratch = a->scratch});
}
}
