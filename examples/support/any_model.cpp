// Heads and losses by name, and the way from a backbone to the file that has its models.
#include "any_model.hpp"

namespace programs {
namespace {

/// Calls f(T{}) for every type of a variant.
template <class Variant, class F, std::size_t... I>
void for_each_type(const F& f, std::index_sequence<I...>) {
  (f(std::variant_alternative_t<I, Variant>{}), ...);
}
template <class Variant, class F>
void for_each_type(const F& f) {
  for_each_type<Variant>(f, std::make_index_sequence<std::variant_size_v<Variant>>());
}

template <class Head>
std::string head_name() {
  return merit::is_joint_head<Head> ? "verifier" : std::string(Head::name());
}

}  // namespace

std::string name_of(const AnyHead& head) {
  return std::visit([]<class Head>(const Head&) { return head_name<Head>(); }, head);
}

std::string name_of(const AnyLoss& loss) {
  return std::visit([](const auto& one) { return std::string(one.name()); }, loss);
}

ScoreMeaning meaning_of(const AnyHead& head) {
  return std::visit([](const auto& one) { return one.meaning; }, head);
}

std::optional<AnyHead> head_named(const std::string& name) {
  std::optional<AnyHead> found;
  for_each_type<AnyHead>([&]<class Head>(const Head& head) {
    if (head_name<Head>() == name) found = head;
  });
  return found;
}

std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head) {
  std::optional<AnyLoss> found;
  std::visit(
      [&]<class Head>(const Head&) {
        for_each_type<AnyLoss>([&]<class Loss>(const Loss& loss) {
          if constexpr (is_compiled<Head, Loss>) {
            if (Loss::name() == name) found = loss;
          }
        });
      },
      head);
  return found;
}

AnyHead head_from(const merit::Json& card_head, const std::string& where) {
  const auto name = merit::require<std::string>(card_head, "name", where);
  std::optional<AnyHead> head = head_named(name == VerifierHead::name() ? "verifier" : name);
  if (!head) {
    std::string names;
    for_each_type<AnyHead>(
        [&]<class Head>(const Head&) { names += (names.empty() ? "" : ", ") + std::string(Head::name()); });
    throw merit::DataError(where + ": the head is \"" + name + "\", expected one of: " + names);
  }
  std::visit([&](auto& one) { merit::read_settings(card_head, where, one); }, *head);
  return *std::move(head);
}

std::unique_ptr<AnyModel> make_model(const merit::BackboneConfig& backbone, const ModelSettings& settings) {
  return std::visit([&](const auto& numbers) { return make_model(numbers, settings); }, backbone);
}

}  // namespace programs
