// The values that a pickle describes, without running any of it: what Python would call is only written down,
// and only under the names that a reader allows. Read are the opcodes of protocol 2 with which torch.save writes
// dicts of tensors. Format: https://docs.python.org/3/library/pickletools.html.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// One value; others in it are named by their numbers in the pickle.
struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    real,
    text,
    name,
    tuple,
    list,
    dict,
    persistent,
    call
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // of boolean and integer
  double real = 0;
  std::string text = {};  // of text; of a name "module.name"
  std::vector<std::uint32_t> items =
      {};  // of a dict key, value, key, …; of persistent its id; of a call the name, the arguments
};

/// One pickle, read to its end.
class Pickle {
 public:
  /// `where` begins each error. Names outside `allowed` are refused. Throws DataError for an opcode that is not
  /// read, for what is truncated or inconsistent, and for more than 4 million values.
  Pickle(std::string_view bytes, std::span<const std::string_view> allowed, std::string where);

  const PickleValue& root() const { return values_[root_]; }
  const PickleValue& at(std::uint32_t number) const { return values_[number]; }
  std::uint32_t value_count() const { return static_cast<std::uint32_t>(values_.size()); }
  /// How many bytes it took.
  Index size() const { return at_; }

  /// "an integer", "a call of torch._utils._rebuild_tensor_v2": for errors.
  std::string described(const PickleValue& value) const;

 private:
  using Kind = PickleValue::Kind;

  void run();
  bool step(unsigned char opcode);  // false at the end

  [[noreturn]] void fail(const std::string& what) const;
  std::string_view take(Index count);
  std::string_view line();
  template <class Integer>
  Integer number();

  std::uint32_t add(PickleValue value);
  void push(PickleValue value) { stack_.push_back(add(std::move(value))); }
  void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }
  std::uint32_t pop();
  std::vector<std::uint32_t> pop_to_mark();
  void push_tuple(Index count);
  void remember(std::uint32_t place);
  void recall(std::uint32_t place);
  PickleValue& top(Kind kind, const char* expected);
  void call();
  void build();

  std::string_view bytes_;
  std::span<const std::string_view> allowed_;
  std::string where_;
  Index at_ = 0;
  std::vector<PickleValue> values_;
  std::vector<std::uint32_t> stack_;
  std::vector<Index> marks_;  // heights of the stack
  std::vector<std::uint32_t> memo_;
  std::uint32_t root_ = 0;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/pickle_body.hpp"
#endif
