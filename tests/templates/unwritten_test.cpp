// All that a conversation says is written by a chat template, or refused by the name of what is not.
#include "merit/templates/unwritten.hpp"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/templates/chat_template.hpp"

namespace unwritten_test {

using namespace merit;

using Messages = std::vector<Message>;

// As many published templates are: roles by name, thinking of the last turn alone, names of tools only.
constexpr const char* chatml = R"({%- set ns = namespace(last=0) -%}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor -%}
{%- for m in messages -%}
{%- if m.role == 'user' or m.role == 'system' -%}
<{{ m.role }}>{{ '' + m.content }}
{%- elif m.role == 'assistant' -%}
<assistant>
{%- if m.reasoning_content is string and loop.index0 > ns.last %}({{ m.reasoning_content }}){% endif -%}
{{- m.content.strip() -}}
{%- for call in m.tool_calls or [] %}{% if call.function %}{% set call = call.function %}{% endif -%}
[{{ call.name }} {{ call.arguments if call.arguments is string else call.arguments | tojson }}]
{%- endfor -%}
{%- elif m.role == 'tool' -%}
<tool>{{ m.content }}
{%- endif -%}
{%- endfor -%})";
// A content that is no string is nothing to it.
constexpr const char* strings_only =
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% endif %}{% endfor %}";
constexpr const char* simple = "{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{% endfor %}";
constexpr const char* of_parts =
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}|{% elif p.type == 'image' %}<image>"
    "{% endif %}{% endfor %}{% endif %}{% endfor %}";

Messages talk(std::string_view json) {
  Messages messages;
  const Value list = parse_value(json, "a test");
  for (const Value& whole : *list.list()) messages.push_back({*whole.find("role")->string(), "", whole});
  return messages;
}
std::string rendered(const std::string& source, std::string_view json, const RenderOptions& options = {}) {
  return render_all(ChatTemplate(source, "it"), talk(json), options);
}
std::string refused(const std::string& source, std::string_view json, const RenderOptions& options = {}) {
  try {
    return "rendered " + rendered(source, json, options);
  } catch (const DataError& error) {
    return error.what();
  }
}
std::string not_written(const std::string& what) {
  return "it: " + what +
         " is not written by the chat template: expected a template that writes it, or a conversation "
         "without it";
}

TEST_CASE("a field that the text does not depend on is refused by name, one that says nothing is not") {
  const auto with = [](const std::string& field) {
    return R"([{"role":"user","content":"x"},{"role":"assistant","content":"y",)" + field + "}]";
  };
  const auto named = [](const std::string& field) {
    return not_written("messages[1]." + field + " of the role 'assistant'");
  };
  // The source of the template has the word `name`.
  CHECK(refused(chatml, with(R"("name":"alice")")) == named("name"));
  CHECK(refused(chatml, with(R"("refusal":"No")")) == named("refusal"));
  CHECK(refused(chatml, with(R"("audio":{"data":"UklG"})")) == named("audio.data"));
  CHECK(refused(chatml, with(R"("function_call":{"name":"f","arguments":"{}"})")) ==
        named("function_call.name"));
  CHECK(refused(chatml, with(R"("weight":0.5)")) == named("weight"));
  CHECK(refused(chatml, with(R"("prefix":true)")) == named("prefix"));
  CHECK(refused(simple, with(R"("thinking":"Hm")")) == named("thinking"));
  CHECK(refused(simple, with(R"("tool_calls":[{"type":"function","function":{"name":"f"}}])")) ==
        named("tool_calls[0].function.name"));
  CHECK(
      refused(chatml, R"([{"role":"user","content":"x","tool_calls":[{"name":"f","arguments":{"a":1}}]}])") ==
      not_written("messages[0].tool_calls[0].name of the role 'user'"));
  for (const char* nothing : {R"("name":null)", R"("name":"")", R"("tool_calls":[])", R"("audio":{})"}) {
    CHECK(rendered(chatml, with(nothing)) == "<user>x<assistant>y");
  }
  CHECK(rendered("{{ messages }}", with(R"("name":"al")")).find("'name': 'al'") != std::string::npos);
}

TEST_CASE("ids and the name of a tool's answer are about a message") {
  CHECK(rendered(chatml, R"([{"role":"user","content":"x","id":"7"},{"role":"assistant","content":"",
      "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{"a":1,"ok":true}}}]},
      {"role":"tool","content":"4","name":"f","tool_call_id":"1"}])") ==
        R"(<user>x<assistant>[f {"a": 1, "ok": true}]<tool>4)");
  // What a tool is called with is no id of ours.
  CHECK(
      refused("{% for m in messages %}{{ m.tool_calls[0].function.name }}{% endfor %}",
              R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"id":"7"}}}]}])") ==
      not_written("messages[0].tool_calls[0].function.arguments.id of the role 'assistant'"));
}

TEST_CASE("every call of a message is asked for") {
  CHECK(refused("{% for m in messages %}{{ m.tool_calls[0].name }}{% endfor %}",
                R"([{"role":"assistant","tool_calls":[{"name":"f"},{"name":"g"}]}])") ==
        not_written("messages[0].tool_calls[1].name of the role 'assistant'"));
}

TEST_CASE("a message of a role that the template passes over is refused") {
  const std::string developer =
      R"([{"role":"developer","content":"Be brief."},{"role":"user","content":"x"}])";
  CHECK(refused(chatml, developer) == not_written("messages[0].content of the role 'developer'"));
  CHECK(rendered(simple, developer) == "<developer>Be brief.<user>x");
  CHECK(rendered(chatml, R"([{"role":"developer","content":""},{"role":"user","content":"x"}])") ==
        "<user>x");
  // Messages of role and content alone are asked, too.
  CHECK_THROWS_WITH(render_all(ChatTemplate(chatml, "it"), Messages{{"user", "x"}, {"critic", "Hm."}}, {}),
                    not_written("messages[1].content of the role 'critic'").c_str());
}

TEST_CASE("what is written of the last turn may be left out of earlier ones") {
  CHECK(rendered(chatml, R"([{"role":"user","content":"a"},
      {"role":"assistant","content":"b","reasoning_content":"one"},{"role":"user","content":"c"},
      {"role":"assistant","content":"d","reasoning_content":"two"}])") ==
        "<user>a<assistant>b<user>c<assistant>(two)d");
  // Under two names it is one reasoning.
  CHECK(rendered(chatml, R"([{"role":"user","content":"a"},
      {"role":"assistant","content":"b","reasoning_content":"one","reasoning":"one"}])") ==
        "<user>a<assistant>(one)b");
  CHECK(refused(chatml, R"([{"role":"user","content":"a"},
      {"role":"assistant","content":"b","reasoning_content":"one","reasoning":"two"}])") ==
        not_written("messages[1].reasoning of the role 'assistant'"));
}

TEST_CASE("tools that are not written are refused") {
  const RenderOptions options{.tools = Value::List{Value::object({{"name", "f"}})}};
  const std::string user = R"([{"role":"user","content":"x"}])";
  CHECK(refused(std::string(simple) + "{# tools #}", user, options) == not_written("'tools'"));
  CHECK(rendered(std::string(simple) + "{{ tools[0].name }}", user, options) == "<user>xf");
}

TEST_CASE("parts of text are joined unless the template writes each") {
  const std::string parts =
      R"([{"role":"user","content":[{"type":"text","text":"Hi "},{"type":"text","text":"you"}]}])";
  CHECK(rendered(strings_only, parts) == "<user>Hi you");
  CHECK(rendered(chatml, parts) == "<user>Hi you");
  CHECK(rendered(simple, parts) == "<user>Hi you");  // not as Python prints a list
  CHECK(rendered(of_parts, parts) == "<user>Hi |you|");
  CHECK(rendered(chatml, R"([{"role":"user","content":["Hi ","you"]}])") == "<user>Hi you");
  CHECK(rendered(chatml, R"([{"role":"user","content":[]}])") == "<user>");
}

TEST_CASE("parts that are no text are refused by name") {
  const std::string image =
      R"([{"role":"user","content":[{"type":"text","text":"See"},{"type":"image_url","image_url":{"url":"a"}}]}])";
  const std::string named = "messages[0].content[1].image_url of the role 'user'";
  CHECK(refused(strings_only, image) == not_written(named));
  CHECK(refused(simple, image) == not_written(named));
  CHECK(refused(of_parts, image) == not_written(named));
  CHECK(
      refused(chatml, image).find(named + " is not written by the chat template, which fails with it: it:") !=
      std::string::npos);
  // A part of text that says more, too.
  const std::string more = R"([{"role":"user","content":[{"type":"text","text":"hi","image_url":"a"}]}])";
  for (const char* source : {strings_only, simple, of_parts}) {
    CHECK(refused(source, more) == not_written("messages[0].content[0].image_url of the role 'user'"));
  }
  CHECK(rendered(of_parts, R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"}]}])") ==
        "<user>a|<image>");
  CHECK(refused(of_parts, R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"video"}]}])") ==
        not_written("messages[0].content[1].type of the role 'user'"));
}

TEST_CASE("a content that is null is left out, and else None or empty where the template needs one") {
  const std::string calls =
      R"([{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"name":"f","arguments":{"a":1}}]}])";
  CHECK(rendered(chatml, calls) == R"(<user>x<assistant>[f {"a": 1}])");
  CHECK(refused("{% for m in messages %}{{ '!' if m.content is none else '.' + m.content }}"
                "{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}",
                calls) == R"(rendered .x![{"name": "f", "arguments": {"a": 1}}])");
  // Another failure is told as it is.
  CHECK(refused("{{ messages[1].content }}{{ raise_exception('No.') }}", calls).find("No.") !=
        std::string::npos);
}

TEST_CASE("contents are adapted for records alone: else the text and the failures are transformers'") {
  const auto plainly = [](const char* source, std::string_view json) {
    try {
      return ChatTemplate(source, "it").render(talk(json), {});
    } catch (const DataError&) {
      return std::string("fails");
    }
  };
  const std::string calls =
      R"([{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"name":"f","arguments":{"a":1}}]}])";
  CHECK(plainly(chatml, calls) == "fails");
  CHECK(plainly(simple, calls) == "<user>x<assistant>");
  const std::string parts = R"([{"role":"user","content":[{"type":"text","text":"Hi"}]}])";
  CHECK(plainly(chatml, parts) == "fails");
  CHECK(plainly(simple, parts) == "<user>[{'type': 'text', 'text': 'Hi'}]");
  CHECK(plainly(strings_only, parts) == "<user>");
  CHECK(plainly(of_parts, parts) == "<user>Hi|");
}

TEST_CASE("a kind of conversation is asked for once") {
  Index count = 0;
  const std::string loud = std::string(simple) + "{{ strftime_now('') }}";
  ChatTemplate::Settings settings;
  settings.clock = [&] { return ++count, std::time_t{0}; };
  const ChatTemplate chat(loud, "it", settings);
  const auto renderings = [&](const Messages& messages) {
    count = 0;
    render_all(chat, messages, {});
    return count;
  };
  CHECK(renderings({{"user", "a"}, {"assistant", "b"}}) == 3);
  CHECK(renderings({{"user", "c"}, {"assistant", "d"}}) == 1);
  CHECK(renderings({{"user", "c"}, {"system", "d"}}) > 1);
  CHECK(renderings({{"user", "c"}, {"assistant", ""}}) > 1);
  // One that was refused is refused again.
  const ChatTemplate passing(chatml, "it");
  const Messages critic = {{"user", "x"}, {"critic", "Hm."}};
  CHECK_THROWS_AS(render_all(passing, critic, {}), DataError);
  CHECK_THROWS_AS(render_all(passing, critic, {}), DataError);
}

// Of each content, whatever was rendered before it.
std::string told(const ChatTemplate& chat, std::string_view json) {
  try {
    return "rendered " + render_all(chat, talk(json), {});
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST_CASE("a content that a template leaves out by what it holds is refused, in any order of conversations") {
  const ChatTemplate chat(
      "{% for m in messages %}<{{ m.role }}>{% if m.content|length < 12 %}{{ m.content }}{% endif %}{% endfor %}",
      "it");
  const auto answer = [](const std::string& text) {
    return R"([{"role":"user","content":"Q"},{"role":"assistant","content":")" + text + "\"}]";
  };
  for (int again = 0; again < 2; ++again) {
    CHECK(told(chat, answer("it is fine")) == "rendered <user>Q<assistant>it is fine");
    CHECK(told(chat, answer("it is fine and awful")) ==
          not_written("messages[1].content of the role 'assistant'"));
    // As long as the mark that is tried, so that only its letters tell.
    CHECK(told(chat, answer("it is fine, not")) ==
          not_written("messages[1].content of the role 'assistant'"));
  }
  CHECK(refused("{% for m in messages %}{{ m.content[:8] }}{% endfor %}", answer("it is fine")) ==
        not_written("messages[1].content of the role 'assistant'"));
  CHECK(refused("{% for m in messages %}{{ m.content[3:] }}{% endfor %}", answer("it is fine")) !=
        "rendered  is fine");
}

TEST_CASE("a flag or number beside a content hides it from no one") {
  const ChatTemplate chat(
      "{% for m in messages %}<{{ m.role }}>{% if m.weight != 0 %}{{ m.content }}{% endif %}{% endfor %}",
      "it");
  const ChatTemplate flagged(
      "{% for m in messages %}<{{ m.role }}>{% if not m.hidden %}{{ m.content }}{{ m.name }}{% endif %}{% endfor %}",
      "it");
  const auto with = [](const std::string& fields) {
    return R"([{"role":"user","content":"x"},{"role":"assistant","content":"yes")" + fields + "}]";
  };
  for (int again = 0; again < 2; ++again) {
    CHECK(told(chat, with("")) == "rendered <user>x<assistant>yes");
    CHECK(told(chat, with(R"(,"weight":0)")) == not_written("messages[1].content of the role 'assistant'"));
    CHECK(told(flagged, with(R"(,"name":"n","hidden":false)")) == "rendered <user>x<assistant>yesn");
    CHECK(told(flagged, with(R"(,"name":"n","hidden":true)")) ==
          not_written("messages[1].content of the role 'assistant'"));
  }
  const ChatTemplate names(
      "{% for m in messages %}{{ m.content }}{% if m.shown %}{{ m.name }}{% endif %}{% endfor %}", "it");
  CHECK(told(names, with(R"(,"name":"n","shown":true)")) == "rendered xyesn");
  CHECK(told(names, with(R"(,"name":"n","shown":false)")) ==
        not_written("messages[1].name of the role 'assistant'"));
}

TEST_CASE("a content of an earlier turn is written, too, though it would be of the last") {
  const std::string two = R"([{"role":"user","content":"Q"},{"role":"assistant","content":"it is fine"}])";
  CHECK(refused("{{ messages[-1].role }}: {{ messages[-1].content }}", two) ==
        not_written("messages[0].content of the role 'user'"));
  // Equal contents have a place each.
  const std::string equal = R"([{"role":"user","content":"fine"},{"role":"assistant","content":"fine"}])";
  CHECK(
      refused(
          "{% for m in messages %}{% if loop.last or m.content != 'fine' %}{{ m.content }}{% endif %}{% endfor %}",
          equal) == not_written("messages[1].content of the role 'assistant'"));
  CHECK(refused("{% for m in messages %}<{{ m.content }}>{% endfor %}", equal) == "rendered <fine><fine>");
}

TEST_CASE("a content is known where it is stripped, spelled as JSON, or written in another way") {
  const std::string json =
      R"([{"role":"user","content":" \n a \"b\"\n\tcé \u2003"},{"role":"assistant","content":"xx"}])";
  for (const char* source :
       {"{% for m in messages %}{{ m.content.strip() }}|{% endfor %}",
        "{% for m in messages %}{{ m.content | trim }}|{% endfor %}",
        "{% for m in messages %}{{ m.content | tojson }}|{% endfor %}", "{{ messages | tojson }}",
        "{{ messages }}", "{% for m in messages %}{{ m.content | upper }}|{% endfor %}",
        "{% for m in messages %}{{ m.content | replace('\\n', ' ') }}|{% endfor %}",
        "{% for m in messages|reverse %}{{ m.content }}{% endfor %}"}) {
    CAPTURE(source);
    CHECK(refused(source, json).starts_with("rendered "));
  }
}

TEST_CASE("reasoning within a content is left out of earlier turns alone") {
  const char* last_only =
      "{% for m in messages %}<{{ m.role }}>{% if loop.last %}{{ m.content }}"
      "{% else %}{{ m.content.split('</think>')[-1] }}{% endif %}{% endfor %}";
  const char* never =
      "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}{% endfor %}";
  const std::string earlier =
      R"([{"role":"assistant","content":"<think>hm</think>\n\nyes"},{"role":"user","content":"Q"}])";
  const std::string last =
      R"([{"role":"user","content":"Q"},{"role":"assistant","content":"<think>hm</think>yes"}])";
  CHECK(refused(last_only, earlier) == "rendered <assistant>\n\nyes<user>Q");
  CHECK(refused(last_only, last) == "rendered <user>Q<assistant><think>hm</think>yes");
  CHECK(refused(never, earlier) == not_written("messages[0].content of the role 'assistant'"));
  CHECK(refused(never, last) == not_written("messages[1].content of the role 'assistant'"));
}

TEST_CASE("a turn's text grows also where its fields are kept") {
  Message message = talk(R"([{"role":"user","content":"a","name":"n"}])")[0];
  message.content = "a";
  append_text(message, " b");
  CHECK(message.content == "a b");
  CHECK(*message.whole.find("content")->string() == "a b");
  Message of_list = talk(R"([{"role":"user","content":[{"type":"text","text":"a"}]}])")[0];
  append_text(of_list, " b");
  CHECK(text_of_parts(*of_list.whole.find("content")) == "a b");
}

}  // namespace unwritten_test
