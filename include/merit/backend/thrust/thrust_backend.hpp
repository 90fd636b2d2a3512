// The device backend: an NVIDIA GPU, and the same functors on the host, by Thrust. Here is the list, in the
// order of operations.hpp; it needs neither CUDA nor Thrust. The bodies are in thrust_backend_body.hpp and what
// it includes, compiled once into a library: merit::device for CudaSystem, merit::thrust_host for the others.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/precision.hpp"
#include "merit/backend/thrust/system.hpp"
#include "merit/fwd.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// What a system works with: its memory, its threads or its stream. Defined in the libraries, each made of these
/// settings.
template <class System>
class Machine;
struct MachineSettings {
  int device = 0;
  int threads = 0;
  std::string product_plans;
};

}  // namespace detail::device

/// How much memory a device has, and how much of it is free, in bytes; a total of 0: nobody knows.
struct DeviceMemory {
  Index free = 0;
  Index total = 0;
};

/// How many GPUs CUDA finds on this machine; 0 also without a driver. In merit::device.
int gpu_count();

/// What a program holds of a system. One thread of control uses a handle at a time. CudaSystem: a stream and
/// what its products need; throws Error where the device cannot be used, in one sentence.
template <class System>
class ThrustHandle {
 public:
  using Machine = detail::device::Machine<System>;

  template <class Precision>
  explicit ThrustHandle(const ThrustBackend<Precision, System>& settings)
      : ThrustHandle(
            detail::device::MachineSettings{settings.device, settings.threads, settings.product_plans}) {}
  ThrustHandle(const ThrustHandle&) = delete;
  ThrustHandle& operator=(const ThrustHandle&) = delete;
  ~ThrustHandle();

  Machine& machine() { return *machine_; }

 private:
  explicit ThrustHandle(const detail::device::MachineSettings& settings);

  std::unique_ptr<Machine> machine_;
};

/// Results depend neither on timing nor on the number of threads. The memory of every system is a device's, so
/// that nobody above the waist can read it, the host's own included.
template <class Precision, class System>
struct ThrustBackend {
  using Activation = typename Precision::Activation;
  using Stat = float;
  using Score = float;
  using Space = DeviceSpace;
  using ScoreBackend = ThrustBackend<Single, System>;
  using Handle = ThrustHandle<System>;
  using Machine = typename Handle::Machine;

  int device = 0;   // CudaSystem: which of the machine's GPUs
  int threads = 0;  // OmpSystem: how many threads an operation may use; 0: all that OpenMP gives
  /// CudaSystem: a file. The algorithms of each product's shape are then timed, and the fastest is kept in the file and taken
  /// from it by who opens it next, who has the same bits (of several ranks each times by itself); without it cuBLASLt's first
  /// proposal is taken, the same each time.
  std::string product_plans = {};

  using Matrix = MatrixView<Activation, Space>;
  using ConstMatrix = MatrixView<const Activation, Space>;
  using StatMatrix = MatrixView<Stat, Space>;
  using ConstStatMatrix = MatrixView<const Stat, Space>;
  using Vector = VectorView<Stat, Space>;
  using ConstVector = VectorView<const Stat, Space>;
  using Weight = WeightView<Space>;
  using Indices = VectorView<const std::uint32_t, Space>;
  using Forest = ForestView<Space>;

  static std::string_view name() { return System::name; }

  // --- memory

  /// A forest on the device, in one block, with what the gradients of embeddings need: the tokens and the
  /// positions, each in ascending order beside their places.
  class Batch {
   public:
    Batch() = default;
    Batch(Batch&& other) noexcept { swap(other); }
    Batch& operator=(Batch&& other) noexcept {
      swap(other);
      return *this;
    }
    ~Batch();
    operator const Forest&() const { return view_; }  // NOLINT: what a batch is

   private:
    friend ThrustBackend;
    void swap(Batch& other) noexcept {
      std::swap(machine_, other.machine_);
      std::swap(block_, other.block_);
      std::swap(view_, other.view_);
    }

    Machine* machine_ = nullptr;
    std::byte* block_ = nullptr;
    Forest view_;
  };
  static Batch prepare(Handle& h, const ForestView<HostSpace>& forest);

  template <class Element>
  static Element* allocate(Handle& h, Index n) {
    static_assert(std::is_trivially_copyable_v<Element>);
    if (n > ~Index{0} / sizeof(Element)) throw std::bad_alloc();
    return reinterpret_cast<Element*>(allocate_bytes(h, n * sizeof(Element)));
  }
  template <class Element>
  static void release(Handle& h, Element* block, Index) {
    release_bytes(h, reinterpret_cast<std::byte*>(block));
  }
  template <class Element>
  static void to_host(Handle& h, const Element* from, Element* to, Index n) {
    bytes_to_host(h, reinterpret_cast<const std::byte*>(from), reinterpret_cast<std::byte*>(to),
                  n * sizeof(Element));
  }
  template <class Element>
  static void from_host(Handle& h, const Element* from, Element* to, Index n) {
    bytes_from_host(h, reinterpret_cast<const std::byte*>(from), reinterpret_cast<std::byte*>(to),
                    n * sizeof(Element));
  }
  static void wait(Handle& h);
  static DeviceMemory memory(Handle& h);

  // --- loops that are given to it (loss/device_loss.hpp)

  /// f(i) for each i below n, in any order. The libraries have it for the functors of our own losses.
  template <class F>
  static void for_each(Handle& h, Index n, const F& f);
  /// Ascending.
  static void sort(Handle& h, std::uint64_t* numbers, Index n);
  /// Host memory from which a copy does not wait for what was issued before, until the next call.
  static std::byte* staging(Handle& h, Index bytes);

  template <class T>
  static void fill(Handle& h, VectorView<T, Space> v, std::type_identity_t<T> value) {
    fill_numbers(h, MatrixView<T, Space>{v.data, 1, v.size}, number<float>(value));
  }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to);
  static void widen(Handle& h, ConstMatrix from, StatMatrix to);
  static void narrow(Handle& h, ConstStatMatrix from, Write write, Matrix to);
  static void round_weights(Handle& h, ConstVector from, const WeightRounding& rounding,
                            VectorView<Bf16, Space> to);

  // --- products
  static void linear(Handle& h, const LinearArguments<ThrustBackend>& a);
  static void weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write, StatMatrix out);
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out);

  // --- norms
  static void rms_norm(Handle& h, const RmsNormArguments<ThrustBackend>& a);
  static void rms_norm_backward(Handle& h, const RmsNormBackwardArguments<ThrustBackend>& a);
  static void layer_norm(Handle& h, const LayerNormArguments<ThrustBackend>& a);
  static void layer_norm_backward(Handle& h, const LayerNormBackwardArguments<ThrustBackend>& a);

  // --- positions
  static void rotary(Handle& h, const RotaryArguments<ThrustBackend>& a);

  // --- rows
  static void gather_rows(Handle& h, const Weight& table, Indices ids, Write write, Matrix out);
  template <class T>
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, MatrixView<T, Space> out) {
    scatter_add_numbers(h, rows, ids, out);
  }

  // --- attention over a forest
  static Index attention_scratch(Handle&, const Forest&, const AttentionShape&) { return 0; }
  static void attention(Handle& h, const AttentionArguments<ThrustBackend>& a);
  /// Room for a number of each query and head.
  static Index attention_backward_scratch(Handle&, const Forest& forest, const AttentionShape& shape) {
    return forest.token_count() * shape.heads;
  }
  static void attention_backward(Handle& h, const AttentionBackwardArguments<ThrustBackend>& a);

  static Index relative_attention_scratch(Handle&, const Forest&, Index) { return 0; }
  static void relative_attention(Handle& h, const RelativeAttentionArguments<ThrustBackend>& a);
  static void relative_attention_backward(Handle& h,
                                          const RelativeAttentionBackwardArguments<ThrustBackend>& b);

  // --- experts
  static void route(Handle& h, const RouteArguments<ThrustBackend>& a);
  static void route_backward(Handle& h, const RouteBackwardArguments<ThrustBackend>& a);
  static void scale_rows(Handle& h, ConstMatrix x, Indices places,
                         VectorView<const Activation, Space> weights, Matrix out);
  static void scale_rows_backward(Handle& h, const ScaleRowsBackwardArguments<ThrustBackend>& a);

  // --- elementwise
  static void glu(Handle& h, ActivationFunction function, ConstMatrix gate_up, Matrix out);
  static void glu_backward(Handle& h, const GluBackwardArguments<ThrustBackend>& a);
  static void scale(Handle& h, const ScaleArguments<ThrustBackend>& a);
  static void activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y);
  static void activate_backward(Handle& h, const ActivateBackwardArguments<ThrustBackend>& a);
  static Index path_mean_scratch(Handle&, const Forest&, Index) { return 0; }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch);
  static void path_mean_backward(Handle& h, const PathMeanBackwardArguments<ThrustBackend>& a);

  // --- losses
  static void next_token_loss(Handle& h, const NextTokenLossArguments<ThrustBackend>& a);

  // --- the trained weights
  static double sum_of_squares(Handle& h, ConstVector v);
  static void adamw(Handle& h, const AdamWArguments<ThrustBackend>& a);
  static void momentum(Handle& h, const MomentumArguments<ThrustBackend>& a);
  static void adafactor(Handle& h, const AdafactorArguments<ThrustBackend>& a);
  static void product(Handle& h, const ProductArguments<ThrustBackend>& a);

 private:
  // What is written to is named by its type where it may be either: activations or statistics.
  static void fill_numbers(Handle& h, const Weight& to, float value);
  static void scatter_add_numbers(Handle& h, ConstMatrix rows, Indices ids, const Weight& to);
  static std::byte* allocate_bytes(Handle& h, Index bytes);
  static void release_bytes(Handle& h, std::byte* block);
  static void bytes_to_host(Handle& h, const std::byte* from, std::byte* to, Index bytes);
  static void bytes_from_host(Handle& h, const std::byte* from, std::byte* to, Index bytes);
};

}  // namespace MERIT_ABI
}  // namespace merit
