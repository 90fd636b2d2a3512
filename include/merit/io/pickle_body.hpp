// The bodies of pickle.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/pickle.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

MERIT_INLINE Pickle::Pickle(std::string_view bytes, std::span<const std::string_view> allowed,
                            std::string where)
    : bytes_(bytes), allowed_(allowed), where_(std::move(where)) {
  run();
}

MERIT_INLINE void Pickle::run() {
  while (step(number<unsigned char>())) {
  }
  root_ = pop();
  if (!stack_.empty() || !marks_.empty()) fail("ends with more than one value");
  stack_ = {};
  memo_ = {};
}

[[noreturn]] MERIT_INLINE void Pickle::fail(const std::string& what) const {
  throw DataError(concat(where_, ": byte ", at_, " of the pickle: ", what));
}

MERIT_INLINE std::string_view Pickle::take(Index count) {
  if (count > bytes_.size() - at_) {
    fail(concat("truncated: ", count, " bytes are expected, but only ", bytes_.size() - at_, " follow"));
  }
  const std::string_view taken = bytes_.substr(at_, count);
  at_ += count;
  return taken;
}

MERIT_INLINE std::string_view Pickle::line() {
  const auto end = bytes_.find('\n', at_);
  if (end == bytes_.npos) fail("truncated: a line has no end");
  const std::string_view text = take(end - at_);
  take(1);
  return text;
}

template <class Integer>
Integer Pickle::number() {
  Integer value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

MERIT_INLINE std::uint32_t Pickle::add(PickleValue value) {
  constexpr Index limit = Index{1} << 22;
  if (values_.size() == limit) fail(concat("holds more than ", limit, " values"));
  values_.push_back(std::move(value));
  return static_cast<std::uint32_t>(values_.size() - 1);
}

MERIT_INLINE std::uint32_t Pickle::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("takes a value where there is none");
  const std::uint32_t value = stack_.back();
  stack_.pop_back();
  return value;
}

MERIT_INLINE std::vector<std::uint32_t> Pickle::pop_to_mark() {
  if (marks_.empty()) fail("goes back to a mark where there is none");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<std::uint32_t> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

MERIT_INLINE void Pickle::push_tuple(Index count) {
  std::vector<std::uint32_t> items(count);
  for (Index i = count; i-- > 0;) items[i] = pop();
  push({.kind = Kind::tuple, .items = std::move(items)});
}

MERIT_INLINE void Pickle::remember(std::uint32_t place) {
  const std::uint32_t value = pop();
  stack_.push_back(value);
  // Pickles number what they remember from 0 on.
  if (place > memo_.size()) fail(concat("remembers a value under ", place, ", expected ", memo_.size()));
  if (place == memo_.size()) memo_.push_back(value);
  memo_[place] = value;
}

MERIT_INLINE void Pickle::recall(std::uint32_t place) {
  if (place >= memo_.size()) fail(concat("recalls the value ", place, ", which was not remembered"));
  stack_.push_back(memo_[place]);
}

MERIT_INLINE PickleValue& Pickle::top(Kind kind, const char* expected) {
  const std::uint32_t number = pop();
  stack_.push_back(number);
  if (values_[number].kind != kind)
    fail(concat("found ", described(values_[number]), ", expected ", expected));
  return values_[number];
}

MERIT_INLINE void Pickle::call() {
  const std::uint32_t arguments = pop(), name = pop();
  if (values_[name].kind != Kind::name || values_[arguments].kind != Kind::tuple) {
    fail(concat("calls ", described(values_[name]), " with ", described(values_[arguments]),
                ", expected a name and a tuple"));
  }
  if (values_[name].text == "collections.OrderedDict") {
    if (!values_[arguments].items.empty()) fail("an OrderedDict is made of arguments, expected an empty one");
    return push({.kind = Kind::dict});
  }
  push({.kind = Kind::call, .items = {name, arguments}});
}

/// The attributes of an OrderedDict, where PyTorch keeps the versions of its modules: of no use here.
MERIT_INLINE void Pickle::build() {
  const std::uint32_t state = pop();
  const PickleValue& target = top(Kind::dict, "a dict whose attributes are set");
  if (values_[state].kind != Kind::dict) {
    fail(concat("sets attributes of ", described(target), " by ", described(values_[state]),
                ", expected a dict"));
  }
}

MERIT_INLINE bool Pickle::step(unsigned char opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const auto version = number<std::uint8_t>();
      if (version != 2) fail(concat("is of protocol ", +version, ", expected 2, as torch.save writes it"));
      return true;
    }
    case '.': return false;  // STOP
    case '(': marks_.push_back(stack_.size()); return true;
    case 'N': push({}); return true;
    case 0x88: push({.kind = Kind::boolean, .integer = 1}); return true;
    case 0x89: push({.kind = Kind::boolean}); return true;
    case 'J': push_integer(number<std::int32_t>()); return true;
    case 'K': push_integer(number<std::uint8_t>()); return true;
    case 'M': push_integer(number<std::uint16_t>()); return true;
    case 0x8a: {  // LONG1: a length, and so many bytes of two's complement
      const std::string_view digits = take(number<std::uint8_t>());
      if (digits.size() > 8) fail(concat("an integer has ", digits.size(), " bytes, expected at most 8"));
      std::int64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? -1 : 0;
      std::memcpy(&value, digits.data(), digits.size());
      push_integer(value);
      return true;
    }
    case 'G': {  // BINFLOAT, the one that is big-endian
      std::uint64_t bits = 0;
      for (const char digit : take(8)) bits = bits << 8 | static_cast<unsigned char>(digit);
      push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
      return true;
    }
    case 'X': {  // BINUNICODE
      const std::string_view text = take(number<std::uint32_t>());
      if (first_invalid_utf8(text) < text.size()) fail("a text is not UTF-8");
      push({.kind = Kind::text, .text = std::string(text)});
      return true;
    }
    case 'c': {  // GLOBAL
      const std::string_view module = line(), name = line();
      std::string full = concat(module, ".", name);
      if (std::find(allowed_.begin(), allowed_.end(), full) == allowed_.end()) {
        fail(concat("names ", quote(full), ", which is not read: expected a dict of plain tensors"));
      }
      push({.kind = Kind::name, .text = std::move(full)});
      return true;
    }
    case 'Q': {  // BINPERSID
      const std::uint32_t id = pop();
      push({.kind = Kind::persistent, .items = {id}});
      return true;
    }
    case ')': push_tuple(0); return true;
    case 0x85: push_tuple(1); return true;
    case 0x86: push_tuple(2); return true;
    case 0x87: push_tuple(3); return true;
    case 't': push({.kind = Kind::tuple, .items = pop_to_mark()}); return true;
    case ']': push({.kind = Kind::list}); return true;
    case 'a': {  // APPEND
      const std::uint32_t item = pop();
      top(Kind::list, "a list to append to").items.push_back(item);
      return true;
    }
    case 'e': {  // APPENDS
      const std::vector<std::uint32_t> items = pop_to_mark();
      auto& list = top(Kind::list, "a list to append to").items;
      list.insert(list.end(), items.begin(), items.end());
      return true;
    }
    case '}': push({.kind = Kind::dict}); return true;
    case 's': {  // SETITEM
      const std::uint32_t value = pop(), key = pop();
      auto& dict = top(Kind::dict, "a dict to set an item of").items;
      dict.insert(dict.end(), {key, value});
      return true;
    }
    case 'u': {  // SETITEMS
      const std::vector<std::uint32_t> items = pop_to_mark();
      if (items.size() % 2 != 0) fail("sets items of a dict, but the last key has no value");
      auto& dict = top(Kind::dict, "a dict to set items of").items;
      dict.insert(dict.end(), items.begin(), items.end());
      return true;
    }
    case 'R': call(); return true;
    case 'b': build(); return true;
    case 'q': remember(number<std::uint8_t>()); return true;
    case 'r': remember(number<std::uint32_t>()); return true;
    case 'h': recall(number<std::uint8_t>()); return true;
    case 'j': recall(number<std::uint32_t>()); return true;
    default: break;
  }
  --at_;
  fail(concat("has the opcode ", +opcode,
              ", which is not read: torch.save writes none such for a dict of tensors"));
}

MERIT_INLINE std::string Pickle::described(const PickleValue& value) const {
  switch (value.kind) {
    case Kind::none: return "None";
    case Kind::boolean: return value.integer != 0 ? "True" : "False";
    case Kind::integer: return concat("the integer ", value.integer);
    case Kind::real: return concat("the number ", value.real);
    case Kind::text: return concat("the text ", quote(value.text));
    case Kind::name: return value.text;
    case Kind::tuple: return concat("a tuple of ", value.items.size());
    case Kind::list: return concat("a list of ", value.items.size());
    case Kind::dict: return concat("a dict of ", value.items.size() / 2);
    case Kind::persistent: return "a persistent id";
    case Kind::call: return concat("a call of ", values_[value.items[0]].text);
  }
  return "?";
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
