// A backbone that is chosen at run time, as a policy: models of a head and a loss are compiled once for all of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/model/hf_config.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Any of the backbones of `BackboneConfig`, by its numbers. What is refused at compile time for one of them
/// alone, as a head that it cannot carry, is refused by make_model().
struct AnyBackbone {
  BackboneConfig config = {};

  template <class B>
  class Bound;

  std::string_view name() const;
  Index token_limit() const;
  Index position_limit() const;
  Sight sight() const;
  std::optional<Token> pair_separator() const;
  std::optional<Token> uncounted_token() const;
  std::string_view head_name() const;
  bool wants_features() const { return std::holds_alternative<Features>(config); }
  void validate() const;
  /// As which a checkpoint knows it.
  operator const BackboneConfig&() const { return config; }

  friend bool operator==(const AnyBackbone&, const AnyBackbone&) = default;
};

/// The names of a backbone's linear maps inside layers, which adapters are for.
std::vector<std::string> linear_maps(const BackboneConfig& backbone);

template <class B>
class AnyBackbone::Bound {
 public:
  using Forest = typename BackendTypes<B>::Forest;

  Bound(const AnyBackbone& settings, Parameters<B>& parameters)
      : held_(std::visit(
            [&]<class Backbone>(const Backbone& one) -> std::unique_ptr<Interface> {
              return std::make_unique<Held<Backbone>>(one, parameters);
            },
            settings.config)) {}

  Index hidden_width() const { return held_->hidden_width(); }
  Var forward(Tape<B>& tape, const Forest& forest) { return held_->forward(tape, forest); }
  /// Throws ConfigError where the backbone has none.
  ParameterSlice unembedding() const { return held_->unembedding(); }
  double logit_soft_cap() const { return held_->logit_soft_cap(); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual Index hidden_width() const = 0;
    virtual Var forward(Tape<B>& tape, const Forest& forest) = 0;
    virtual ParameterSlice unembedding() const = 0;
    virtual double logit_soft_cap() const = 0;
  };

  template <class Backbone>
  struct Held final : Interface {
    Held(const Backbone& settings, Parameters<B>& parameters) : bound(settings, parameters) {}
    Index hidden_width() const override { return bound.hidden_width(); }
    Var forward(Tape<B>& tape, const Forest& forest) override { return bound.forward(tape, forest); }
    ParameterSlice unembedding() const override {
      if constexpr (unembedding_backbone<Backbone, B>) {
        return bound.unembedding();
      } else {
        throw ConfigError(concat("the backbone ", Backbone::name(), " has no unembedding"));
      }
    }
    double logit_soft_cap() const override {
      if constexpr (requires { bound.logit_soft_cap(); }) {
        return bound.logit_soft_cap();
      } else {
        return 0;
      }
    }

    typename Backbone::template Bound<B> bound;
  };

  std::unique_ptr<Interface> held_;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/any_backbone_body.hpp"
#endif
