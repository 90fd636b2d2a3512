// The options of a program: declared by their names, read from the command line or from a file of options.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "program.hpp"

namespace programs {

/// What is wrong with the text of a value; empty: nothing.
using Check = std::function<std::string(const std::string&)>;

/// How an option of several values is given.
enum class Several { words, one_each, commas };

/// The options of a program with their places. CLI11 reads them, in options.cpp alone: its header takes longer to
/// compile than a program.
class CommandLine {
 public:
  /// The help begins with `description`.
  CommandLine(const char* program, const std::string& description);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// The heading under which the help lists the options that follow.
  void group(const std::string& name) { group_ = name; }

  // Each declares an option by its names ("--name", several with commas between them; without dashes it is an
  // argument), the place of its value, what the help calls the value and what it says. What the place holds is the
  // default, and the help shows it. The place must stay where it is.

  void text(const std::string& names, std::string& value, const std::string& type, std::string_view help,
            const Check& check = {});
  void texts(const std::string& names, std::vector<std::string>& value, const std::string& type,
             std::string_view help, Several several = Several::words, const Check& check = {});
  void flag(const std::string& names, bool& value, std::string_view help);
  template <class T>
  void number(const std::string& names, T& value, std::string_view help, const Check& check = is_number<T>) {
    declare_number(names, std::is_floating_point_v<T> ? "X" : "N", help, merit::concat(value), check,
                   [&value](const std::string& text) { value = *number_from<T>(text); });
  }
  /// The same of a number that has no default.
  void number(const std::string& names, std::optional<double>& value, std::string_view help,
              const Check& check) {
    declare_number(names, "X", help, "", check,
                   [&value](const std::string& text) { value = number_from<double>(text); });
  }

  /// Reads the command line. Throws merit::ConfigError with one sentence, or HelpShown.
  void parse(int argc, char** argv);

  /// Whether the option "--name" was given.
  bool given(const std::string& name) const;
  /// The options that were given, by their first names, in the order in which they were declared.
  std::vector<std::string> all_given() const;

  /// What each option is set to, as text and by its first name: what was given, or else the default.
  std::map<std::string, std::vector<std::string>> settings() const;

  /// The option of one of its names, by its first; nothing where there is none.
  std::optional<std::string> find(const std::string& name) const;

  /// Gives an option its values, as if they stood on the command line. Throws merit::ConfigError that begins with
  /// `where`.
  void give(const std::string& name, const std::vector<std::string>& values, const std::string& where);

  /// "--name", and the option that was probably meant by it.
  std::string with_meant(std::string_view name) const;

 private:
  void declare_number(const std::string& names, const char* type, std::string_view help,
                      const std::string& usual, const Check& check,
                      const std::function<void(const std::string&)>& set);

  struct Parser;  // CLI11's
  std::unique_ptr<Parser> parser_;
  std::string group_;
};

}  // namespace programs
