// What a type lacks to be a policy of RewardModel: the first member that is missing or made otherwise, so that
// the compiler can name it.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backend/operations.hpp"
#include "merit/head/head.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The first fault of four types that are to make a model; each has a sentence in CheckPolicies.
enum class PolicyFault : std::uint8_t {
  none,
  order,
  backend_numbers,
  backend,
  backbone_name,
  backbone_limits,
  backbone_bound,
  backbone_width,
  backbone_forward,
  backbone,
  head_name,
  head_meaning,
  head_bound,
  head_forward,
  head_rows,
  head,
  loss_name,
  loss_reads,
  loss_targets,
  loss_normaliser,
  loss_term,
  loss
};

template <class T>
concept has_name = requires {
  { T::name() } -> std::convertible_to<std::string_view>;
};

/// Whether a backend says that it counts in something else than float or double.
template <class B>
concept of_other_numbers = requires {
  typename B::Stat;
  typename B::Score;
}
&&!((std::same_as<typename B::Stat, float> || std::same_as<typename B::Stat, double>)&&(
    std::same_as<typename B::Score, float> || std::same_as<typename B::Score, double>));

template <class B>
concept right_backend = !of_other_numbers<B> && backend<B>;

/// Of the four, which are what: each of them once, but at other places.
template <class Backbone, class Head, class Loss, class Backend>
constexpr bool in_other_order() {
  const auto fits = []<class P, class Q, class R, class B>(std::type_identity<P>, std::type_identity<Q>,
                                                           std::type_identity<R>, std::type_identity<B>) {
    if constexpr (right_backend<B>) {
      return backbone<P, B> && head<Q, B> && loss<R, typename B::Score>;
    } else {
      return false;
    }
  };
  constexpr std::type_identity<Backbone> a;
  constexpr std::type_identity<Head> b;
  constexpr std::type_identity<Loss> c;
  constexpr std::type_identity<Backend> d;
  return fits(b, a, c, d) || fits(a, c, b, d) || fits(c, b, a, d) || fits(b, c, a, d) || fits(c, a, b, d) ||
         fits(b, c, d, a) || fits(a, b, d, c) || fits(a, d, c, b) || fits(d, b, c, a);
}

template <class Backbone, class B>
constexpr PolicyFault backbone_fault() {
  if constexpr (!requires(const Backbone& settings) {
                  { settings.name() } -> std::convertible_to<std::string_view>;
                }) {
    return PolicyFault::backbone_name;
  } else if constexpr (!requires(const Backbone& settings) {
                         { settings.token_limit() } -> std::convertible_to<Index>;
                         { settings.position_limit() } -> std::convertible_to<Index>;
                       }) {
    return PolicyFault::backbone_limits;
  } else if constexpr (!requires {
                         requires std::constructible_from < typename Backbone::template Bound<B>,
                         const Backbone&, Parameters<B>& > ;
                       }) {
    return PolicyFault::backbone_bound;
  } else if constexpr (!requires(const typename Backbone::template Bound<B> bound) {
                         { bound.hidden_width() } -> std::convertible_to<Index>;
                       }) {
    return PolicyFault::backbone_width;
  } else if constexpr (!requires(typename Backbone::template Bound<B> bound, Tape<B> & tape,
                                 const typename BackendTypes<B>::Forest& forest) {
                         { bound.forward(tape, forest) } -> std::same_as<Var>;
                       }) {
    return PolicyFault::backbone_forward;
  } else {
    return backbone<Backbone, B> ? PolicyFault::none : PolicyFault::backbone;
  }
}

/// Whether there are rows() that the library would pass over: not const, or of other arguments.
template <class Head>
concept has_unread_rows = (
                              requires(Head & head, const SequenceShape& sequence, std::vector<Index>& out) {
                                head.rows(sequence, out);
                              } ||
                              requires { &Head::rows; }) &&
                          !requires(const Head& head, const SequenceShape& sequence,
                                    std::vector<Index>& out) {
  head.rows(sequence, out);
};

template <class Head, class B>
constexpr PolicyFault head_fault() {
  if constexpr (!has_name<Head>) {
    return PolicyFault::head_name;
  } else if constexpr (!requires {
                         { Head::meaning } -> std::convertible_to<ScoreMeaning>;
                       }) {
    return PolicyFault::head_meaning;
  } else if constexpr (!constructible_head<Head, B>) {
    return PolicyFault::head_bound;
  } else if constexpr (!requires(typename Head::template Bound<B> bound, Tape<B> & tape, Var hidden) {
                         { bound.forward(tape, hidden) } -> std::same_as<Var>;
                       }) {
    return PolicyFault::head_forward;
  } else if constexpr (has_unread_rows<Head>) {
    return PolicyFault::head_rows;
  } else {
    return head<Head, B> ? PolicyFault::none : PolicyFault::head;
  }
}

template <class Loss, class Score>
constexpr PolicyFault loss_fault() {
  if constexpr (!has_name<Loss>) {
    return PolicyFault::loss_name;
  } else if constexpr (!requires {
                         { Loss::reads } -> std::convertible_to<ScoreMeaning>;
                       }) {
    return PolicyFault::loss_reads;
  } else if constexpr (!requires(typename Loss::Targets & targets) { targets.clear(); }) {
    return PolicyFault::loss_targets;
  } else if constexpr (!requires(const Loss& settings, const typename Loss::Targets& targets) {
                         { is_positive(settings.normaliser(targets)) } -> std::convertible_to<bool>;
                       }) {
    return PolicyFault::loss_normaliser;
  } else if constexpr (!(is_joint_loss<Loss> || term_loss<Loss> || loop_loss<Loss, Score>)) {
    return PolicyFault::loss_term;
  } else {
    return loss<Loss, Score> ? PolicyFault::none : PolicyFault::loss;
  }
}

/// A head that nothing says to be one, or a loss, is named as a whole rather than by its first member.
template <class T>
inline constexpr bool is_meant_as_backbone = requires(const T& settings) {
  settings.token_limit();
}
|| requires(const T& settings) {
  settings.position_limit();
};
template <class T>
inline constexpr bool is_meant_as_head = !requires {
  T::reads;
}
&&!is_meant_as_backbone<T>;
template <class T>
inline constexpr bool is_meant_as_loss = !requires {
  T::meaning;
}
&&!is_meant_as_backbone<T>;

template <class Backbone, class Head, class Loss, class Backend>
constexpr PolicyFault policy_fault() {
  if constexpr (in_other_order<Backbone, Head, Loss, Backend>()) {
    return PolicyFault::order;
  } else if constexpr (of_other_numbers<Backend>) {
    return PolicyFault::backend_numbers;
  } else if constexpr (!backend<Backend>) {
    return PolicyFault::backend;
  } else {
    constexpr PolicyFault first = backbone_fault<Backbone, Backend>();
    constexpr PolicyFault second = head_fault<Head, Backend>();
    constexpr PolicyFault third = loss_fault<Loss, typename Backend::Score>();
    if (first != PolicyFault::none) return is_meant_as_backbone<Backbone> ? first : PolicyFault::backbone;
    if (second != PolicyFault::none) return is_meant_as_head<Head> ? second : PolicyFault::head;
    if (third != PolicyFault::none) return is_meant_as_loss<Loss> ? third : PolicyFault::loss;
    return PolicyFault::none;
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
