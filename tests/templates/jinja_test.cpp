// The language of chat templates: small templates, one or more for each part of it, against what jinja2
// gives.
#include <doctest/doctest.h>

#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/templates/chat_template.hpp"
#include "stored.hpp"

namespace jinja_test {

using namespace merit;

/// templates.json, written by tests/golden/generate_templates.py.
const Value& golden() {
  static const Value value = [] {
    const auto path = merit_test::stored("templates.json");
    return parse_value(read_file(path), path.string());
  }();
  return value;
}

struct Case {
  std::string source;
  const std::string* text;  // nothing: an error
};

void check_group(std::string_view name) {
  const Value* group = golden().find("groups")->find(name);
  REQUIRE(group != nullptr);
  std::vector<Message> messages;
  for (const Value& whole : *golden().find("messages")->list()) messages.push_back({"", "", whole});
  RenderOptions options;
  options.add_generation_prompt = true;
  options.variables = *golden().find("variables");
  ChatTemplate::Settings settings;
  settings.clock = [] {  // noon in whatever zone the tests run
    std::tm noon{};
    noon.tm_year = 126;
    noon.tm_mday = 1;
    noon.tm_hour = 12;
    noon.tm_isdst = -1;
    return std::mktime(&noon);
  };
  for (const Value& entry : *group->list()) {
    const Value::List& parts = *entry.list();
    const std::string& source = *parts[0].string();
    const std::string* expected = parts[1].string();
    CAPTURE(source);
    std::string text;
    std::string error;
    try {
      text = ChatTemplate(source, "it", settings).render(messages, options);
    } catch (const DataError& thrown) {
      error = thrown.what();
    }
    if (expected == nullptr) {
      CHECK(error.starts_with("it:1:") == (source.find('\n') == source.npos));
      CHECK(!error.empty());
    } else {
      CHECK(error == "");
      CHECK(text == *expected);
    }
  }
}

TEST_CASE("jinja: white space around tags") {
  check_group("white space");
}
TEST_CASE("jinja: errors of the source") {
  check_group("errors of the source");
}
TEST_CASE("jinja: literals") {
  check_group("literals");
}
TEST_CASE("jinja: operators") {
  check_group("operators");
}
TEST_CASE("jinja: attributes, items and slices") {
  check_group("access");
}
TEST_CASE("jinja: statements") {
  check_group("statements");
}
TEST_CASE("jinja: macros") {
  check_group("macros");
}
TEST_CASE("jinja: global functions") {
  check_group("globals");
}
TEST_CASE("jinja: filters of text") {
  check_group("filters of text");
}
TEST_CASE("jinja: filters of numbers") {
  check_group("filters of numbers");
}
TEST_CASE("jinja: filters of lists") {
  check_group("filters of lists");
}
TEST_CASE("jinja: JSON") {
  check_group("json");
}
TEST_CASE("jinja: tests") {
  check_group("tests");
}
TEST_CASE("jinja: methods of strings") {
  check_group("methods of strings");
}
TEST_CASE("jinja: whole templates") {
  check_group("whole templates");
}

/// The error of rendering `source`, or what it gives.
std::string rendered(const std::string& source, ChatTemplate::Settings settings = {}) {
  const Message messages[] = {{"user", "x", {}}};
  try {
    return ChatTemplate(source, "it", std::move(settings)).render(messages, {});
  } catch (const DataError& error) {
    return error.what();
  }
}
std::string many(std::string_view text, Index count) {
  std::string result;
  for (Index i = 0; i < count; ++i) result += text;
  return result;
}
void check_ends(const std::string& source, std::string_view part, Index max_steps = 10'000'000) {
  ChatTemplate::Settings settings;
  settings.max_steps = max_steps;
  const std::string text = rendered(source, settings);
  const std::string shown = text.substr(0, 300);
  CAPTURE(source.substr(0, 200));
  CAPTURE(shown);
  CHECK(text.find(part) != text.npos);
}

TEST_CASE("jinja: errors say where and what") {
  CHECK(rendered("a\n  {{ missing.x }}") == "it:2:13: 'missing' is undefined");
  CHECK(rendered("{{ messages[0].nope.x }}") == "it:1:20: 'dict' has no attribute 'nope'");
  CHECK(rendered("{% for x in y %}") ==
        "it:1:17: found the end of the template, expected 'endfor' or 'else'");
  CHECK(rendered("x\n{{ n | nosuch }}") == "it:2:8: there is no filter 'nosuch'");
  CHECK(rendered("{{ raise_exception('Roles must take turns') }}") == "it:1:19: Roles must take turns");
  CHECK(rendered("{{ 1 + 'a' }}") == "it:1:4: values of the types int and str have no '+'");
  CHECK(rendered("{% include 'x' %}") == "it:1:4: the tag 'include' is not supported in chat templates");
  CHECK(rendered("{{ 9223372036854775807 + 1 }}") == "it:1:4: an integer does not fit 64 bits");
}

TEST_CASE("jinja: a source that is nested too deep is refused") {
  constexpr Index deep = 5'000;
  const std::string_view message = "nested deeper than 200 levels";
  check_ends("{{ " + many("(", deep) + "1" + many(")", deep) + " }}", message);
  check_ends("{{ " + many("[", deep) + many("]", deep) + " }}", message);
  check_ends("{{ " + many("not ", deep) + "1 }}", message);
  check_ends("{{ " + many("-", deep) + "1 }}", message);
  check_ends("{{ a" + many(".b", deep) + " }}", message);
  check_ends("{{ a" + many("|string", deep) + " }}", message);
  check_ends("{{ 1" + many(" if 1", deep) + " }}", message);
  check_ends("{{ " + many("1 if 0 else ", deep) + "2 }}", message);
  check_ends(many("{% if 1 %}", deep) + many("{% endif %}", deep), message);
  CHECK(rendered("{{ " + many("1+", 1000) + "1 }}") == "1001");
  CHECK(rendered("{% if 0 %}" + many("{% elif 0 %}", 1000) + "{% else %}x{% endif %}") == "x");
}

TEST_CASE("jinja: a rendering that goes too deep is ended") {
  check_ends("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deeper than 200 levels");
  check_ends("{% macro f() %}{{ [[[[[[[[f()]]]]]]]] }}{% endmacro %}{{ f() }}", "deeper than 1200 levels");
  check_ends("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "deeper than 200 levels");
  const std::string nest =
      "{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}";
  check_ends(nest + "{{ ns.x }}", "nested deeper than 300 levels");
  check_ends(nest + "{{ ns.x | tojson }}", "nested deeper than 300 levels");
  check_ends(nest + "{{ ns.x == [ns.x] }}", "nested deeper than 300 levels");
  check_ends("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "nested deeper than 300 levels");
  check_ends(
      "{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = ns.x | map('string') %}{% "
      "endfor %}"
      "{{ ns.x | list }}",
      "generators are nested deeper");
}

TEST_CASE("jinja: what would take too long or too much memory is ended") {
  const std::string_view steps = "more steps than is allowed";
  // As many steps as it takes to see the limit: with those of the settings each of these takes up to a
  // second.
  const auto ends = [](const std::string& source, std::string_view part) {
    check_ends(source, part, 200'000);
  };
  ends("{{ range(10**9) }}", "a range of 1000000000 values is too long");
  ends("{{ 'a' * 10**9 }}", "a text of more than 67108864 bytes");
  ends("{{ [1] * 10**9 }}", steps);
  ends("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", steps);
  ends("{% set ns = namespace(x='a') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
       steps);
  ends("{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
       steps);
  ends(
      "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "steps");
  ends(
      "{% set ns = namespace(x=(1,)) %}{% for a in range(99) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ "
      "{ns.x: 1} }}",
      steps);
  ends("{{ ('a' * 10000000).split('a') }}", steps);
  ends("{{ '%1000000000d' % 1 }}", "bytes");
  ends("{{ '{:>1000000000}'.format(1) }}", "bytes");
  ends("{{ 'a'.center(10**9) }}", "bytes");
  ends("{{ [1] | batch(10**9, 'x') | list }}", steps);
  ChatTemplate::Settings small;
  small.max_steps = 100;
  small.max_output = 10;
  CHECK(rendered("{{ 'abcdefghij' }}", small) == "abcdefghij");
  CHECK(rendered("{{ 'abcdefghij' }}k", small) == "it:1:1: the template makes a text of more than 10 bytes");
  CHECK(rendered("{% for x in range(99) %}{% endfor %}", small).find("steps") != std::string::npos);
}

}  // namespace jinja_test
