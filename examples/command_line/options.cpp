// The options of a program, read by CLI11.
#include "options.hpp"

#include <CLI/CLI.hpp>

#include "merit/core/error.hpp"
#include "merit/core/nearest_name.hpp"
#include "merit/core/version.hpp"

namespace programs {

namespace {

/// The description of an option, in lines that fit beside the options' names.
std::string wrapped(std::string_view text) {
  constexpr std::size_t width = 76;
  std::string result;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (used != 0) {
      const bool fits = used + 1 + space <= width;
      result += fits ? ' ' : '\n';
      used = fits ? used + 1 : 0;
    }
    result += text.substr(0, space);
    used += space;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return result;
}

}  // namespace

struct CommandLine::Parser {
  CLI::App app;

  Parser(const char* program, const std::string& description) : app(description, program) {}

  /// What all options have in common.
  void finish(CLI::Option* option, const std::string& group, const std::string& type, const Check& check) {
    option->type_name(type);
    if (!group.empty()) option->group(group);
    if (check) option->check(check, "");
  }
};

// Options show their defaults; the help is as wide as a terminal; --version says which merit this is.
CommandLine::CommandLine(const char* program, const std::string& description)
    : parser_(std::make_unique<Parser>(program, description)) {
  CLI::App& app = parser_->app;
  app.option_defaults()->always_capture_default();
  app.get_formatter()->column_width(34);
  app.set_version_flag("--version", app.get_name() + ' ' + MERIT_VERSION, "Print the version and exit");
}
CommandLine::~CommandLine() = default;

void CommandLine::text(const std::string& names, std::string& value, const std::string& type,
                       std::string_view help, const Check& check) {
  parser_->finish(parser_->app.add_option(names, value, wrapped(help)), group_, type, check);
}

void CommandLine::texts(const std::string& names, std::vector<std::string>& value, const std::string& type,
                        std::string_view help, Several several, const Check& check) {
  CLI::Option* option = parser_->app.add_option(names, value, wrapped(help))->default_str("");
  if (several != Several::words) option->allow_extra_args(false);  // the next word may be a file
  if (several == Several::commas) option->delimiter(',');
  parser_->finish(option, group_, type, check);
}

void CommandLine::flag(const std::string& names, bool& value, std::string_view help) {
  CLI::Option* option = parser_->app.add_flag(names, value, wrapped(help));
  if (!group_.empty()) option->group(group_);
}

void CommandLine::declare_number(const std::string& names, const char* type, std::string_view help,
                                 const std::string& usual, const Check& check,
                                 const std::function<void(const std::string&)>& set) {
  CLI::Option* option = parser_->app.add_option(
      names,
      [set](const CLI::results_t& results) {
        set(results.front());
        return true;
      },
      wrapped(help));
  parser_->finish(option->default_str(usual), group_, type, check);
}

void CommandLine::parse(int argc, char** argv) {
  CLI::App& app = parser_->app;
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    app.exit(success);
    throw HelpShown{};
  } catch (const CLI::ExtrasError&) {
    const std::string extra = app.remaining().front();
    throw merit::ConfigError((extra.starts_with('-') ? "there is no option " + with_meant(extra)
                                                     : "unexpected argument \"" + extra + '"') +
                             " (--help lists the options)");
  } catch (const CLI::ParseError& error) {
    throw merit::ConfigError(one_line(error.what()) + " (--help lists the options)");
  }
}

bool CommandLine::given(const std::string& name) const {
  return parser_->app.count(name) != 0;
}

std::vector<std::string> CommandLine::all_given() const {
  std::vector<std::string> names;
  for (const CLI::Option* option : static_cast<const CLI::App&>(parser_->app).get_options()) {
    if (option->count() != 0 && !option->get_lnames().empty())
      names.push_back("--" + option->get_lnames().front());
  }
  return names;
}

std::map<std::string, std::vector<std::string>> CommandLine::settings() const {
  std::map<std::string, std::vector<std::string>> all;
  for (const CLI::Option* option : static_cast<const CLI::App&>(parser_->app).get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string usual = option->get_default_str();
    auto& values = all["--" + option->get_lnames().front()];
    if (option->count() != 0) {
      values = option->results();
    } else if (!usual.empty()) {
      values = {usual};
    }
  }
  return all;
}

std::optional<std::string> CommandLine::find(const std::string& name) const {
  const CLI::Option* option = parser_->app.get_option_no_throw(name);
  if (option == nullptr || option->get_lnames().empty()) return std::nullopt;
  return "--" + option->get_lnames().front();
}

void CommandLine::give(const std::string& name, const std::vector<std::string>& values,
                       const std::string& where) {
  CLI::Option* option = parser_->app.get_option(name);
  try {
    for (const std::string& value : values) option->add_result(value);
    if (option->count() != 0) option->run_callback();
  } catch (const CLI::ParseError& error) {
    throw merit::ConfigError(where + ": " + one_line(error.what()));
  }
}

std::string CommandLine::with_meant(std::string_view name) const {
  std::vector<std::string> names;
  for (const CLI::Option* option : static_cast<const CLI::App&>(parser_->app).get_options()) {
    for (const std::string& one : option->get_lnames()) names.push_back(one);
  }
  const std::size_t begin = std::min(name.find_first_not_of('-'), name.size());
  const std::string meant = merit::nearest_name(name.substr(begin, name.find('=') - begin), names);
  return std::string(name) + (meant.empty() ? "" : ", did you mean --" + meant + "?");
}

}  // namespace programs
