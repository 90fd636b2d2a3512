// What every program here does alike: numbers of the command line, one sentence for an error, exit codes, and
// output that ends quietly when its reader goes away.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"

namespace programs {

/// Exit codes besides 0.
inline constexpr int failed = 1;         // data, files or the system
inline constexpr int misused = 2;        // options that are unknown, malformed or contradict each other
inline constexpr int interrupted = 130;  // by Ctrl-C or a request to terminate

/// The reader of our output has gone: nothing is left to do, and nothing is wrong.
struct ReaderGone {};

/// The command line asked for help, which has been printed.
struct HelpShown {};

/// `text` on one line.
inline std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

/// The descriptors 0 to 2, where they are closed at the start, lead nowhere: otherwise the next file to be opened
/// would take their number, and messages would be written into it.
inline void open_standard_streams() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(number, F_GETFD) != -1 || errno != EBADF) continue;
    (void)!::open("/dev/null",
                  number == STDIN_FILENO ? O_RDONLY : O_WRONLY);  // takes the lowest number: this one
  }
}

/// Threads that have nothing to do sleep: spinning, as is usual, they take the processor from whatever else runs
/// and wait for each other many times as long. OpenMP reads its environment when it is loaded, so the program
/// begins anew, once; what the user has set stays.
inline void let_threads_sleep(char** argv) {
  for (const char* set : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}) {
    if (std::getenv(set) != nullptr) return;
  }
  if (::setenv("OMP_WAIT_POLICY", "passive", 1) == 0) ::execv("/proc/self/exe", argv);  // where there is one
}

/// Runs `body`: what it returns, or the exit code of what it throws, of which say() is told in a line.
inline int exit_code(const std::function<int()>& body, const std::function<void(std::string_view)>& say) {
  try {
    return body();
  } catch (const HelpShown&) {
    return 0;
  } catch (const ReaderGone&) {
    return 0;
  } catch (const merit::ConfigError& error) {
    say(error.what());
    return misused;
  } catch (const std::bad_alloc&) {
    say("there is not enough memory");
  } catch (const std::exception& error) {
    say(error.what());
  }
  return failed;
}

/// Runs `body` and turns what it throws into one line on stderr and an exit code.
inline int run(const char* name, char** argv, const std::function<int()>& body) {
  open_standard_streams();
  let_threads_sleep(argv);
  std::signal(SIGPIPE, SIG_IGN);  // a write to a closed pipe is an error and not the end of the process
  std::signal(SIGXFSZ, SIG_IGN);  // and so is one beyond the size that files may have (ulimit -f)
  return exit_code(body, [name](std::string_view what) {
    std::fprintf(stderr, "%s: %s\n", name, merit::visible(one_line(std::string(what))).c_str());
  });
}

/// The number that all of `text` spells; nothing when it spells none.
template <class T>
std::optional<T> number_from(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return stop == text.data() + text.size() && error == std::errc{} ? std::optional(value) : std::nullopt;
}

/// Checks of the text of an option that is a number: what is wrong with it, or nothing.
template <class T>
std::string is_number(const std::string& text) {
  if (number_from<T>(text)) return "";
  if constexpr (std::is_floating_point_v<T>) {
    return "found " + text + ", expected a number";
  } else {
    return "found " + text + ", expected a whole number from 0 to " +
           std::to_string(std::numeric_limits<T>::max());
  }
}
/// The same of a number in whose place a word may stand.
template <class T>
std::string is_number_or(const char* word, const std::string& text) {
  const std::string wrong = text == word ? "" : is_number<T>(text);
  return wrong.empty() ? wrong : wrong + ", or " + word;
}
inline std::string is_probability(const std::string& text) {
  const std::optional<double> value = number_from<double>(text);
  return value && *value >= 0 && *value <= 1 ? "" : "found " + text + ", expected a probability from 0 to 1";
}

/// The standard output. Throws ReaderGone when nobody reads it any more, IoError when it cannot be written.
class Output {
 public:
  void line(const std::string& text) {
    check(std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fputc('\n', stdout) != EOF);
  }
  void flush() { check(std::fflush(stdout) == 0); }

 private:
  static void check(bool good) {
    if (good) return;
    if (errno == EPIPE) throw ReaderGone{};
    throw merit::IoError("cannot write the standard output: " + std::generic_category().message(errno));
  }
};

/// `arguments` as a shell reads them back: bytes that a terminal would act on as bash's $'\xNN'.
inline std::string shell_text(const std::vector<std::string>& arguments) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  std::string text;
  for (const std::string& argument : arguments) {
    if (!text.empty()) text += ' ';
    if (!argument.empty() && argument.find_first_not_of(plain) == argument.npos) {
      text += argument;
      continue;
    }
    if (merit::visible(argument) != argument) {
      std::string escaped;
      for (const char c : argument)
        escaped += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
      text += merit::concat("$'", merit::visible(escaped), '\'');
      continue;
    }
    text += '\'';
    for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += '\'';
  }
  return text;
}

/// Text in which \n, \t and \\ stand for a line feed, a tab and a backslash.
inline std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next != 'n' && next != 't' && next != '\\') {
      result += text[i];
      continue;
    }
    result += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
    ++i;
  }
  return result;
}

}  // namespace programs
