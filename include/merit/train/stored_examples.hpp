// Examples in a file: a set that is larger than memory, of which the offsets alone are held.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/io/file.hpp"
#include "merit/train/example_source.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::stored_examples {

/// Calls f(field) for every field of a struct of forest/example.hpp, const or not. The bindings name all of them: with
/// one more this does not compile.
template <class Struct, class F>
void for_each_field(Struct& one, const F& f) {
  using T = std::remove_const_t<Struct>;
  const auto each = [&](auto&... fields) { (f(fields), ...); };
  if constexpr (std::is_same_v<T, Sequence>) {
    auto& [tokens, completion_begin, features, step_ends, cut] = one;
    each(tokens, completion_begin, features, step_ends, cut);
  } else if constexpr (std::is_same_v<T, PreferenceExample>) {
    auto& [chosen, rejected, margin, weight, soft_label] = one;
    each(chosen, rejected, margin, weight, soft_label);
  } else if constexpr (std::is_same_v<T, RankedGroup>) {
    auto& [completions, ranks, ratings, attributes, margins, weight] = one;
    each(completions, ranks, ratings, attributes, margins, weight);
  } else if constexpr (std::is_same_v<T, RankingExample>) {
    auto& [groups] = one;
    each(groups);
  } else if constexpr (std::is_same_v<T, OutcomeExample>) {
    auto& [sequence, label, weight] = one;
    each(sequence, label, weight);
  } else if constexpr (std::is_same_v<T, StepLabel>) {
    auto& [bad, neutral, good] = one;
    each(bad, neutral, good);
  } else if constexpr (std::is_same_v<T, StepsExample>) {
    auto& [sequence, labels, weight, labels_before, labels_behind] = one;
    each(sequence, labels, weight, labels_before, labels_behind);
  } else {
    static_assert(std::is_same_v<T, RolloutExample>, "merit: this is no example that can be stored.");
    auto& [sequence, returns, old_values, weight, returns_unseen] = one;
    each(sequence, returns, old_values, weight, returns_unseen);
  }
}

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// Appends a value to bytes as this machine has it: what is written is read by the same process.
struct AppendBytes {
  std::string& bytes;

  template <class T>
  void operator()(const T& value) const {
    if constexpr (std::is_arithmetic_v<T>) {
      append(&value, 1);
    } else if constexpr (is_optional<T>) {
      (*this)(value.has_value());
      if (value) (*this)(*value);
    } else if constexpr (is_vector<T>) {
      (*this)(value.size());
      if constexpr (std::is_arithmetic_v<typename T::value_type>) {
        append(value.data(), value.size());
      } else {
        for (const auto& item : value) (*this)(item);
      }
    } else {
      for_each_field(value, *this);
    }
  }

 private:
  template <class Number>
  void append(const Number* numbers, Index count) const {
    bytes.append(reinterpret_cast<const char*>(numbers), count * sizeof(Number));
  }
};

/// Takes a value from where AppendBytes put it.
struct TakeBytes {
  const char*& at;

  template <class T>
  void operator()(T& value) const {
    if constexpr (std::is_arithmetic_v<T>) {
      take(&value, 1);
    } else if constexpr (is_optional<T>) {
      bool is_there = false;
      (*this)(is_there);
      if (is_there) (*this)(value.emplace());
    } else if constexpr (is_vector<T>) {
      Index count = 0;
      (*this)(count);
      value.resize(count);
      if constexpr (std::is_arithmetic_v<typename T::value_type>) {
        take(value.data(), count);
      } else {
        for (auto& item : value) (*this)(item);
      }
    } else {
      for_each_field(value, *this);
    }
  }

 private:
  template <class Number>
  void take(Number* numbers, Index count) const {
    if (count != 0) std::memcpy(numbers, at, count * sizeof(Number));
    at += count * sizeof(Number);
  }
};

}  // namespace detail::stored_examples

/// Examples of a kind of forest/example.hpp, in a file without a name, which is gone with the process however that ends.
/// Eight bytes of each are in memory. Not for several threads at once.
template <class Example>
class StoredExamples final : public ExampleSource<Example> {
 public:
  /// The file lies in the folder of `beside`, which takes about four bytes a token. Throws IoError.
  explicit StoredExamples(const std::filesystem::path& beside)
      : path_(detail::temporary_beside(detail::resolved(beside))),
        file_(detail::open_file(path_, O_RDWR | O_CREAT | O_EXCL, 0600)) {
    if (!file_.is_open() || ::unlink(path_.c_str()) != 0) detail::throw_io("write", path_, errno);
  }

  /// Appends an example. Throws IoError, as where the disk is full.
  void add(const Example& example) {
    detail::stored_examples::AppendBytes{waiting_}(example);
    ends_.push_back(written_ + waiting_.size());
    constexpr Index block = Index{1} << 20;
    if (waiting_.size() >= block) write();
  }

  Index size() const override { return ends_.size(); }

  /// Throws IoError.
  Example at(Index i) const override {
    const Index begin = i == 0 ? 0 : ends_[i - 1];
    const char* at = waiting_.data() + (begin - written_);  // whole examples are written
    if (begin < written_) {
      bytes_.resize(ends_[i] - begin);
      read(begin);
      at = bytes_.data();
    }
    Example example;
    detail::stored_examples::TakeBytes{at}(example);
    return example;
  }

  /// In the file, or on the way there.
  Index bytes() const { return written_ + waiting_.size(); }

 private:
  void write() {
    for (Index done = 0; done < waiting_.size();) {
      const ssize_t put = ::pwrite(file_.get(), waiting_.data() + done, waiting_.size() - done,
                                   static_cast<off_t>(written_ + done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) detail::throw_io("write", path_, errno);
      done += static_cast<Index>(put);
    }
    written_ += waiting_.size();
    waiting_.clear();
  }

  void read(Index begin) const {
    for (Index done = 0; done < bytes_.size();) {
      const ssize_t got =
          ::pread(file_.get(), bytes_.data() + done, bytes_.size() - done, static_cast<off_t>(begin + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) detail::throw_io("read", path_, got == 0 ? EIO : errno);
      done += static_cast<Index>(got);
    }
  }

  std::filesystem::path path_;
  detail::FileDescriptor file_;
  std::vector<Index> ends_;  // of each example, in bytes
  Index written_ = 0;
  std::string waiting_;        // behind what is written
  mutable std::string bytes_;  // of the example that is read
};

}  // namespace MERIT_ABI
}  // namespace merit
