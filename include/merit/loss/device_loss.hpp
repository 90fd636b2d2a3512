// The loop over the units of a loss's targets where scores stay on a device: the same terms, a unit at a time, in parallel.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether a backend runs loops that are given to it, in memory that only it reads.
template <class B>
concept runs_loops = requires(typename B::Handle& handle, Index bytes) {
  { B::staging(handle, bytes) } -> std::same_as<std::byte*>;
};

/// Whether B takes the terms of a loss, or of both of two, where its scores are.
template <class Loss, class B>
inline constexpr bool runs_on_device = runs_loops<B>&& has_device_loop<Loss>;
template <class First, class Second, class B>
inline constexpr bool runs_on_device<JointLoss<First, Second>, B> =
    runs_on_device<First, B>&& runs_on_device<Second, B>;

/// Unit by unit: scores gathered, the term, its slopes. Each unit has room of its own, from `begin` on.
template <class Plain, class View, class Score>
struct DeviceTerms {
  Plain loss;
  View targets;
  const std::uint32_t* begin;  // (units + 1): each unit's first slot
  double normaliser;
  const Score* scores;  // (R, columns)
  Index columns;
  Index scratch_per_score;
  double* gathered;       // (slots)
  double* slopes;         // (slots)
  double* scratch;        // (slots · scratch_per_score)
  std::uint64_t* places;  // (slots): which score it is, then the slot
  double* values;         // (units)

  MERIT_CALLABLE void operator()(Index i) const {
    const auto unit = targets.unit(i);
    const Index first = begin[i], size = unit.size();
    values[i] = 0;
    if (size == 0) return;
    for (Index j = 0; j < size; ++j) {
      const ScorePlace at = unit.place(j);
      const std::uint64_t place = at.row * columns + at.column;
      places[first + j] = place << 32 | (first + j);
      gathered[first + j] = static_cast<double>(scores[place]);
    }
    const UnitLoss part = loss.term(
        unit, normaliser, UnitNumbers{gathered + first, slopes + first, scratch + first * scratch_per_score});
    values[i] = part.factor * part.value;
  }
};

/// gradient[place] += weight · the slopes of a place, added in the order of the units: the first of its slots does it.
template <class Score>
struct AddSlopes {
  const std::uint64_t* places;  // (slots), sorted
  Index slots;
  const double* slopes;
  double weight;
  Score* gradient;

  MERIT_CALLABLE void operator()(Index s) const {
    const std::uint64_t place = places[s] >> 32;
    if (s > 0 && places[s - 1] >> 32 == place) return;
    Score sum = 0;
    for (Index i = s; i < slots && places[i] >> 32 == place; ++i)
      sum += static_cast<Score>(slopes[places[i] & 0xFFFFFFFFu]);
    gradient[place] += static_cast<Score>(weight * static_cast<double>(sum));
  }
};

/// parts[p] = the sum of part p of values, in order.
struct SumLosses {
  static constexpr Index part = 1024;

  const double* values;
  Index count;
  double* parts;

  MERIT_CALLABLE void operator()(Index p) const {
    const Index end = (p + 1) * part < count ? (p + 1) * part : count;
    double sum = 0;
    for (Index i = p * part; i < end; ++i) sum += values[i];
    parts[p] = sum;
  }
};

struct ClearLoss {
  double* loss;

  MERIT_CALLABLE void operator()(Index) const { *loss = 0; }
};

/// *loss += weight · the sum of the parts.
struct AddLoss {
  const double* parts;
  Index count;
  double weight;
  double* loss;

  MERIT_CALLABLE void operator()(Index) const {
    double sum = 0;
    for (Index p = 0; p < count; ++p) sum += parts[p];
    *loss += weight * sum;
  }
};

/// Which DeviceTerms a loss has on a backend.
template <class Loss, class B>
using DeviceTermsOf = DeviceTerms<std::remove_cvref_t<decltype(plain_loss(std::declval<const Loss&>()))>,
                                  typename Loss::Targets::View, typename B::Score>;

/// Working memory of losses on a device, kept between calls.
template <class B>
class DeviceLoss {
 public:
  using Score = typename B::Score;
  using Handle = typename B::Handle;
  using Space = typename B::Space;

  explicit DeviceLoss(Handle& handle) : handle_(&handle) {}
  DeviceLoss(const DeviceLoss&) = delete;
  DeviceLoss& operator=(const DeviceLoss&) = delete;
  ~DeviceLoss() { trim(); }

  /// Gives back working memory.
  void trim() {
    if (block_ != nullptr) B::release(*handle_, block_, size_);
    block_ = nullptr;
    size_ = 0;
  }

  /// *loss = 0
  void begin(double* loss) { B::for_each(*handle_, 1, ClearLoss{loss}); }

  /// gradient += weight · the gradient of a micro-batch's share of the loss, *loss += weight · that share: what evaluate_loss()
  /// gives, but for the order of a sum over more than SumLosses::part units. No gradient: of an empty view. Throws what the
  /// loss's check_columns() throws.
  template <class Loss>
  void add(const Loss& loss, const typename Loss::Targets& targets, double normaliser, double weight,
           MatrixView<const Score, Space> scores, MatrixView<Score, Space> gradient, double* total) {
    if constexpr (requires { loss.check_columns(targets, Index{}); }) {
      loss.check_columns(targets, scores.cols);
    }
    const Index units = targets.unit_count();
    if (units == 0) return;
    auto view = targets.view();
    auto plain = plain_loss(loss);
    Index slots = 0;
    for (Index i = 0; i < units; ++i) slots += targets.unit(i).size();
    if (slots > ~std::uint32_t{0} || scores.rows * scores.cols > ~std::uint32_t{0})
      throw UsageError(concat("a loss reads ", slots, " of ", scores.rows * scores.cols,
                              " scores at once on a device, expected less than 2^32 of each"));

    // What is staged comes first, then what the loops write.
    Index staged = room<std::uint32_t>(units + 1);
    const auto count_list = [&]<class T>(const T*&, Index n) { staged += room<T>(n); };
    for_each_list(view, count_list);
    for_each_list(plain, count_list);
    const Index parts = (units + SumLosses::part - 1) / SumLosses::part;
    const Index scratch = slots * scratch_per_score<Loss>;
    const Index bytes =
        staged + room<double>(units + parts) + room<double>(2 * slots + scratch) + room<std::uint64_t>(slots);
    take(bytes);

    std::byte* const from = B::staging(*handle_, staged);
    std::byte* host = from;
    std::byte* place = block_;
    const auto* const begin = reinterpret_cast<const std::uint32_t*>(place);
    auto* const first = reinterpret_cast<std::uint32_t*>(host);
    first[0] = 0;
    for (Index i = 0; i < units; ++i)
      first[i + 1] = first[i] + static_cast<std::uint32_t>(targets.unit(i).size());
    host += room<std::uint32_t>(units + 1);
    place += room<std::uint32_t>(units + 1);
    const auto stage = [&]<class T>(const T*& list, Index n) {
      static_assert(std::is_trivially_copyable_v<T>);
      if (n != 0) std::memcpy(host, list, n * sizeof(T));
      if (list != nullptr) list = reinterpret_cast<const T*>(place);
      host += room<T>(n);
      place += room<T>(n);
    };
    for_each_list(view, stage);
    for_each_list(plain, stage);
    B::from_host(*handle_, static_cast<const std::byte*>(from), block_, staged);

    auto* const values = reinterpret_cast<double*>(place);
    auto* const gathered = values + room<double>(units + parts) / sizeof(double);
    auto* const places = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(gathered) +
                                                          room<double>(2 * slots + scratch));
    B::for_each(*handle_, units,
                DeviceTermsOf<Loss, B>{plain, view, begin, normaliser, scores.data, scores.cols,
                                       scratch_per_score<Loss>, gathered, gathered + slots,
                                       gathered + 2 * slots, places, values});
    B::for_each(*handle_, parts, SumLosses{values, units, values + units});
    B::for_each(*handle_, 1, AddLoss{values + units, parts, weight, total});
    if (slots == 0 || gradient.empty()) return;
    B::sort(*handle_, places, slots);
    B::for_each(*handle_, slots, AddSlopes<Score>{places, slots, gathered + slots, weight, gradient.data});
  }

 private:
  template <class T>
  static Index room(Index count) {
    return aligned_count<std::byte>(count * sizeof(T));
  }
  template <class Lists, class F>
  static void for_each_list(Lists& lists, const F& f) {
    if constexpr (requires { lists.for_each_list(f); }) lists.for_each_list(f);
  }
  void take(Index bytes) {
    if (bytes <= size_) return;
    if (block_ != nullptr) B::release(*handle_, block_, size_);
    block_ = nullptr;
    size_ = 0;
    const Index larger = bytes + bytes / 4;
    block_ = B::template allocate<std::byte>(*handle_, larger);
    size_ = larger;
  }

  Handle* handle_;
  std::byte* block_ = nullptr;
  Index size_ = 0;
};

/// Of a loss that a host computes: nothing.
struct NoDeviceLoss {
  template <class Handle>
  explicit NoDeviceLoss(Handle&) {}
  void trim() {}
};
template <class Loss, class B>
using DeviceLossOf = std::conditional_t<runs_on_device<Loss, B>, DeviceLoss<B>, NoDeviceLoss>;

}  // namespace MERIT_ABI
}  // namespace merit
