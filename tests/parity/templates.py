#!/usr/bin/env python3
"""Compares merit's chat templates with transformers': every template with every conversation of a list, the text, the
spans of {% generation %} blocks, and whether there is an error.

    c++ -std=c++20 -O2 -Iinclude tests/parity/render_lines.cpp -o build/render_lines -lutf8proc
    python tests/parity/templates.py --program build/render_lines FOLDER|FILE…

A folder gives all *.jinja in it and below, and the templates in C++ strings of a file named test-chat-template.cpp.
Equal templates are taken once. Needs transformers 5 and jinja2. Exits 1 where anything differs."""

import argparse
import collections
import copy
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

os.environ["TZ"] = "UTC"
time.tzset()
sys.path.pop(0)  # this folder, whose tokenizers.py is not the package
import jinja2  # noqa: E402
from transformers.utils import chat_template_utils as reference  # noqa: E402

NOW = 1767268800  # 1 January 2026, noon


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


reference.datetime = FixedDate
# Some published templates use this filter, which other programs than transformers give them.
jinja2.filters.FILTERS["from_json"] = json.loads

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def function(name, description, properties, **more):
    return {"type": "function", "function": {"name": name, "description": description, **more, "parameters": {
        "type": "object", "properties": properties, "required": list(properties)[:1]}}}


WEATHER = function("get_weather", "The weather at a place, \"now\" or later; <b>not</b> of the past.\nIn Celsius & co.", {
    "place": {"type": "string", "description": "A town, such as Zürich"},
    "day": {"type": "integer", "description": "Days from today", "default": 0, "minimum": -1.5},
    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}})
SEARCH = function("search", "Finds pages", {
    "words": {"type": "array", "items": {"type": "string"}, "description": "What to look for"},
    "filters": {"type": "object", "properties": {"year": {"type": ["integer", "null"]}, "any": {"type": "boolean"}}, "required": []},
    "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "nullable": True}}, strict=True)
BARE = {"type": "function", "function": {"name": "stop", "description": "Ends it", "parameters": {"type": "object", "properties": {}}}}
ODD = {"name": "flat_tool", "description": "A tool without the wrapper", "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}}}
RETURNING = {"type": "function", "function": {"name": "sum", "description": "Adds", "parameters": {"type": "object", "properties": {
    "b": {"type": "number", "description": "second"}, "a": {"type": "number", "description": "first"}}, "required": ["b", "a"]},
    "return": {"type": "number", "description": "the sum"}}}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def system(content="You are a careful assistant."):
    return said("system", content)


def user(content="What is 2 + 2?", **more):
    return said("user", content, **more)


def assistant(content="It is 4.", **more):
    return said("assistant", content, **more)


def called(name, arguments, id=None, **more):
    return {**({"id": id} if id else {}), "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def conversations():
    """(name, messages, what else is given) of each."""
    call = called("get_weather", {"place": "Zürich", "day": 1, "unit": "celsius"}, "abcdef123")
    text_call = called("get_weather", '{"place": "Zürich", "day": 1}', "abcdef123")
    bare_call = {"name": "search", "arguments": {"words": ["a", "\"b\""], "limit": None, "filters": {"year": 2024, "any": True}}}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"degrees\": 21.5}"}
    weather = [user("How is the weather in Zürich tomorrow?"), assistant("", tool_calls=[call]), result]
    two_turns = [user(), assistant(), user("And times three?"), assistant("12."), user("Thanks! 🙂")]
    hostile = "  Quotes ' \" and <tags> & \\n backslash\\ \n\n\tnew lines {{ braces }} {% tag %} 日本語 🙂 \u00a0 e\u0301  "
    prompt = {"add_generation_prompt": True}
    tools = {"tools": [WEATHER, SEARCH]}
    yield "one question", [user()], {}
    yield "one question, prompt", [user()], prompt
    yield "system", [system(), user()], prompt
    yield "answered", [system(), user(), assistant()], {}
    yield "answered, prompt", [system(), user(), assistant()], prompt
    yield "turns", two_turns, prompt
    yield "turns with system, no prompt", [system(), *two_turns], {}
    yield "system not first", [user(), assistant(), system("Be short."), user()], prompt
    yield "two systems", [system(), system("Be short."), user()], {}
    yield "system alone", [system()], prompt
    yield "nothing", [], prompt
    yield "assistant first", [assistant("Hello!"), user("Hi"), assistant("How can I help?")], {}
    yield "assistant alone", [assistant("Hello!")], {}
    yield "users in a row", [user("One."), user("Two.")], prompt
    yield "developer", [said("developer", "Speak plainly."), user(), assistant()], prompt
    yield "unknown role", [user(), said("critic", "Hm."), assistant()], {}
    yield "hostile text", [system(hostile), user(hostile), assistant(hostile), user(hostile)], prompt
    yield "hostile end", [user("x"), assistant(hostile)], {}
    yield "empty", [system(""), user(""), assistant("")], {}
    yield "white space", [system(" \n"), user(" a\n\n b "), assistant("\n x \n")], prompt
    yield "None content", [user("x"), assistant(None, tool_calls=[bare_call])], {**tools, **prompt}
    yield "no content", [user("x"), {"role": "assistant", "tool_calls": [call]}], {}
    yield "parts", [system(), user([{"type": "text", "text": "What is this? "}, {"type": "image"}, {"type": "text", "text": "And that?"}]),
                    assistant([{"type": "text", "text": "A cat."}])], prompt
    yield "image parts", [user([{"type": "image", "image": "a.png"}, {"type": "image_url", "image_url": {"url": "http://x/y"}},
                                {"type": "text", "text": "Which?"}, {"type": "video", "video": "v"}, {"type": "audio"}])], prompt
    yield "tools, not used", [system(), user(), assistant()], {**tools, **prompt}
    yield "tools, no system", [user("Weather?")], {"tools": [WEATHER, BARE], **prompt}
    yield "odd tools", [user("Weather?")], {"tools": [ODD, RETURNING]}
    yield "no tools", [user("Weather?")], {"tools": []}
    yield "tool call", weather, {**tools, **prompt}
    yield "tool call and answer", [system(), *weather, assistant("21.5 degrees."), user("Thanks")], {**tools, **prompt}
    yield "text arguments", [user("w"), assistant("Let me see.", tool_calls=[text_call]), result, assistant("ok")], tools
    yield "several calls", [user("w"), assistant("", tool_calls=[call, called("search", {}, "ghijkl456")]), result,
                            {"role": "tool", "name": "search", "tool_call_id": "ghijkl456", "content": "nothing <found>\n"}], {**tools, **prompt}
    yield "bare call", [user("w"), assistant("I call.", tool_calls=[bare_call]), said("tool", "done", name="search"), assistant("ok"), user("?")], tools
    yield "tool content of parts", [user("w"), assistant("", tool_calls=[call]),
                                    {"role": "tool", "tool_call_id": "abcdef123", "content": [{"type": "text", "text": "sunny"}]}], {**tools, **prompt}
    yield "tool content a dict", [user("w"), assistant("", tool_calls=[call]),
                                  {"role": "tool", "name": "get_weather", "content": {"z": 1, "a": [True, None, 1.5e-7, 1e22, "é"]}}], {**tools, **prompt}
    yield "reasoning", [user(), assistant("It is 4.", reasoning_content="Two and\ntwo. "), user("Sure?"),
                        assistant("Yes.", reasoning_content="I checked.")], prompt
    yield "reasoning of tool use", [user("w"), assistant("", reasoning="Look it up.", tool_calls=[call]), result,
                                    assistant("Done", thinking="Well.")], {**tools}
    yield "think tags", [user(), assistant("<think>\nHm.\n</think>\n\nIt is 4."), user("Sure?"), assistant("<think></think>Yes")], {"enable_thinking": True}
    yield "no thinking", [system(), user()], {**prompt, "enable_thinking": False, "thinking": False, "reasoning_effort": "low"}
    yield "thinking", [system("/no_think Hello"), user("x /think")], {**prompt, "enable_thinking": True, "thinking": True,
                                                                      "reasoning_effort": "high", "thinking_budget": 512}
    yield "names", [user("Hi", name="Ann"), assistant("Ho", name="bot", weight=0), user("Ha", name="")], {}
    yield "variables", [user()], {**prompt, "date_string": "1 May 2026", "builtin_tools": ["browser"], "tools_in_user_message": False,
                                  "documents": [{"title": "T", "text": "Some text"}, {"title": "U", "text": "More"}],
                                  "model_identity": "I am merit.", "custom_tools": [WEATHER], "keep_past_thinking": True}
    yield "continued", [user(), assistant("It is")], {"continue_final_message": True}
    yield "continued with space", [system(), user(), assistant("  It is \n")], {"continue_final_message": True}
    yield "continued part", [user(), assistant([{"type": "text", "text": "It is"}, {"type": "image"}])], {"continue_final_message": True}
    yield "content a number", [user(5), assistant(1.0)], {}


def templates_of(path):
    """(name, source) of all templates at `path`."""
    files = [path] if path.is_file() else sorted(path.rglob("*.jinja")) + sorted(path.rglob("test-chat-template.cpp"))
    for file in files:
        text = file.read_bytes().decode("utf-8")
        if file.suffix != ".cpp":
            yield str(file), text
            continue
        literal = re.compile(r'template_str\s*=\*/\s*((?:R"(\w*)\((?:.|\n)*?\)\2"|"(?:[^"\\]|\\.)*"|\s)+)')
        for number, match in enumerate(literal.finditer(text)):
            parts = re.findall(r'R"(\w*)\(((?:.|\n)*?)\)\1"|"((?:[^"\\]|\\.)*)"', match.group(1))
            source = "".join(raw if raw else json.loads(f'"{plain}"'.replace("\\'", "'")) for _, raw, plain in parts)
            yield f"{file}#{number}", source


def expected_of(source, messages, given):
    given = copy.deepcopy(given)
    if not messages:  # refused by apply_chat_template, which is around what is called here
        return {"error": "ValueError: an empty conversation"}
    messages = reference._normalize_chat_messages(copy.deepcopy(messages))
    continued = given.pop("continue_final_message", False)
    try:
        texts, spans = reference.render_jinja_template(
            conversations=[messages], chat_template=source, return_assistant_tokens_mask=not continued,
            continue_final_message=continued, **{**TOKENS, **given})
        return {"text": texts[0], **({} if continued else {"generated": [list(span) for span in spans[0]]})}
    except RecursionError:
        raise
    except Exception as error:  # whatever a template may run into
        return {"error": f"{type(error).__name__}: {error}"}


def in_code_points(rendered):
    data = rendered["text"].encode()
    return {**rendered, "generated": [[len(data[:end].decode()) for end in span] for span in rendered["generated"]]}


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("--program", required=True)
    parser.add_argument("--show", type=int, default=10, help="how many differences are printed")
    parser.add_argument("--errors", action="store_true", help="print the errors of both, too")
    options = parser.parse_args()

    reference.logger.setLevel("ERROR")
    sources = {}
    for path in options.paths:
        for name, source in templates_of(path):
            sources.setdefault(hashlib.sha256(source.encode()).hexdigest(), (name, source))
    talks = list(conversations())
    print(f"{len(sources)} templates, {len(talks)} conversations")
    counts, shown = collections.Counter(), 0
    for name, source in sources.values():
        lines = []
        for _, messages, given in talks:
            given = dict(given)
            line = {"template": source, "messages": messages, "tokens": TOKENS}
            for key in ("tools", "add_generation_prompt", "continue_final_message"):
                if key in given:
                    line[key] = given.pop(key)
            lines.append(json.dumps({**line, "variables": given}, ensure_ascii=False))
        done = subprocess.run([options.program], input="\n".join(lines) + "\n", capture_output=True, encoding="utf-8", check=True)
        answers = [json.loads(answer) for answer in done.stdout.split("\n")[:-1]]
        if len(answers) != len(lines):
            raise SystemExit(f"{name}: {len(lines)} lines in, {len(answers)} out")
        for (title, messages, given), mine in zip(talks, answers):
            theirs = expected_of(source, messages, given)
            if "error" in theirs or "error" in mine:
                kind = "errors in both" if "error" in theirs and "error" in mine else "an error in one"
            else:
                mine = in_code_points(mine)
                kind = "equal" if all(mine[key] == theirs[key] for key in theirs) else "different"
            counts[kind] += 1
            if options.errors and kind == "errors in both":
                print(f"{name}, {title}\n  ours   {mine['error'][:300]}\n  theirs {theirs['error'][:300]}")
            if kind in ("equal", "errors in both") or shown == options.show:
                continue
            shown += 1
            print(f"{name}, {title}: {kind}")
            if kind == "different" and mine["text"] != theirs["text"]:
                at = max(0, first_difference(mine["text"], theirs["text"]) - 40)
                print(f"  ours   {mine['text'][at:at + 120]!r}\n  theirs {theirs['text'][at:at + 120]!r}")
            else:
                print(f"  ours   {json.dumps(mine)[-300:]}\n  theirs {json.dumps(theirs)[-300:]}")
    print(dict(counts))
    return 1 if counts["different"] or counts["an error in one"] else 0


if __name__ == "__main__":
    sys.exit(main())
