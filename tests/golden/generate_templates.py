#!/usr/bin/env python3
"""Writes templates.json: small chat templates of our own, one or more for each part of the language, and what jinja2
makes of them as transformers sets it up. Needs transformers 5 and jinja2.

    python tests/golden/generate_templates.py

A case is [template, text], or [template, null] where there is an error. All see the same conversation and variables."""

import datetime
import json
import os
import pathlib
import sys
import time

os.environ["TZ"] = "UTC"
time.tzset()
import jinja2  # noqa: E402
from transformers.utils import chat_template_utils as reference  # noqa: E402

NOW = 1767268800  # 1 January 2026, noon
jinja2.filters.FILTERS["from_json"] = json.loads


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


reference.datetime = FixedDate

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  What is 2 + 2? <b>\"é\"</b>\n"},
    {"role": "assistant", "content": "4", "tool_calls": [{"id": "a1", "function": {"name": "add", "arguments": {"b": 2, "a": 2.5}}}]},
    {"role": "tool", "name": "add", "content": "{\"sum\": 4}"},
]
VARIABLES = {
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"b": {"type": "number"}, "a": {"type": "number"}}, "items": 1}}}],
    "bos_token": "<s>",
    "none_value": None, "yes": True, "no": False, "n": 7, "f": 2.5, "big": 1e300, "tiny": 1.5e-7, "zero": 0,
    "s": "Hello, World", "empty": "", "u": "Grüße 日本 🙂 e\u0301", "lines": "one\ntwo\n\n three\r\nfour",
    "xs": [3, 1, 2], "names": ["b", "A", "c"], "nested": [[1, 2], [3, [4]]], "d": {"z": 1, "a": [1, None], "items": "own", "m": {"k": "v"}},
    "people": [{"name": "Ann", "age": 30, "city": "Bonn"}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 30, "city": "Bern"}],
    "odd": {"quote's": "say \"hi\"", "tab\t": "\u200b\x00\x7f", "n": None, "b": [True, False]},
}

GROUPS = {
    "white space": [
        "a\n", "a\n\n", "{% if yes %}\nx\n{% endif %}\ny", "  {% if yes %}  x  {% endif %}  \n  y", "a {%- if yes -%} b {%- endif -%} c",
        "a\n  {%- if yes +%}\n b\n{%+ endif %}\nc", "  {{ n }}  \n  {{- n -}}  \n x", "{# a comment #}\nx", "  {# a #}  \n x", "x {#- a -#} y", "x\n  {#+ a +#}\n y",
        "{% raw %}{{ x }}{% y %}{# z #}{% endraw %}", "a\n{% raw %}\n b {% endraw %}\n c", "a {%- raw -%} b {%- endraw -%} c", "x\r\ny\rz\r\n", "{{ 'a\r\nb' }}",
        "{%- for m in messages %}\n  {{ m.role }}\n{%- endfor %}\n", "{% for x in xs -%}\n {{ x }}\n{%- endfor %}!", "  {%- set x = 1 %}\n  {{ x }}", "\n\n{% set x = 1 %}\n\n{{ x }}\n",
        "a{% if yes %}\n\n b{% endif %}", "{{ n }}\n{{ n }}\n", "{{- n +}}", "\u00a0 {%- if yes %}x{% endif %}", "{% set a %}\n x \n{% endset %}[{{ a }}]", "\t{% if yes %}x{% endif %}\n\t{# c #}{{ n }}",
        "a {{ '{{' }} b {{ '%}' }} c", "{ { } } {x} %} }} #}", "{", "a{", "{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "{% if yes %}a{% endif %}{% if yes %}\nb{% endif %}",
    ],
    "errors of the source": [
        "{{", "{{ n", "{% if yes %}", "{% if yes %}x{% endfor %}", "{% endif %}", "{% unknown %}", "{# never", "a{#", "a{% raw %}  ", "a{%- raw -%} ", "a{%", "{% raw %}x", "{{ n }", "{{ 'a }}", "{{ n n }}", "{{ }}", "{{ (n }}", "{{ n) }}",
        "{{ [1, 2 }}", "{{ n | nosuch }}", "{% if no %}{{ n | nosuch }}{% endif %}", "{% if yes %}{{ n | nosuch }}{% endif %}", "{{ n if yes else n | nosuch }}", "{{ n is nosuch }}", "{% if no %}{% for x in xs %}{{ x | nosuch }}{% endfor %}{% endif %}",
        "{% break %}", "{% for x in xs %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", "{% set n %}x", "{% set 1 = 2 %}", "{% set none = 2 %}", "{% for 1 in xs %}{% endfor %}", "{% for loop in xs %}{% endfor %}",
        "{{ f(a=1, a=2) }}", "{{ f(a=1, 2) }}", "{% macro f(a=1, b) %}{% endmacro %}", "{% macro f(a, a) %}{% endmacro %}", "{% call n %}{% endcall %}", "{{ n ! 2 }}", "{{ 'a\\x4' }}", "{{ '\\u12' }}", "{{ a. }}", "{{ .5 }}", "{{ 1 if }}", "{% for x xs %}{% endfor %}", "{% if %}{% endif %}", "{% set x %}{% endset %}{% endset %}", "{% include 'x' %}",
        "{{ n is defined is defined }}", "{{ n is number is string }}", "{{ [1:2] }}", "{{ a b }}", "{% else %}", "{% block a %}{% endblock %}{% block a %}{% endblock %}", "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 00 }}", "{{ 01 }}",
    ],
    "literals": [
        "{{ 'it''s' }} {{ \"a\" 'b' }}", "{{ 'a\\n\\t\\\\\\'\\\"\\x41\\u00e9\\101\\q' }}", "{{ 'a\\\nb' }}", "{{ '\\é' }}", "{{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1E16 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }} {{ 1e100 }} {{ -0.0 }}",
        "{{ true }} {{ True }} {{ none }} {{ None }} {{ false }}", "{{ (1,) }} {{ () }} {{ (1, 'a') }} {{ 1, 2 }}", "{{ [] }} {{ [1, 'a', none,] }}", "{{ {} }} {{ {'a': 1, 2: [3], 'a': 4,} }}", "{{ {1: 'a', true: 'b', 1.0: 'c'} }}", "{{ {[1]: 2} }}", "{{ -5 }} {{ +5 }} {{ --5 }} {{ - 2 ** 2 }}",
        "{{ odd }}", "{{ [u, \"it's\", 'say \"x\"', 'both \\' \"'] }}", "{{ ['\\x00\\x1f\\x7f\\xa0\\u200b\\ufeff\\U000e0001'] }}", "{{ d }} {{ nested }} {{ tools }}", "{{ [none_value, yes, f, big, tiny] }}",
    ],
    "operators": [
        "{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}", "{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 1 / 4 }}", "{{ 1 / 0 }}", "{{ 1.5 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ 1.0 / 3 }} {{ 10 / 4 }} {{ 1e308 * 10 }}",
        "{{ 'a' + 'b' }} {{ 'a' * 3 }} {{ 3 * 'ab' }} {{ 'a' * -1 }}|{{ [1] + [2] }} {{ [0] * 2 }} {{ (1,) + (2,) }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ [1] + (2,) }}", "{{ 'a' - 'b' }}", "{{ 'a' * 'b' }}", "{{ none_value + 1 }}", "{{ yes + yes }} {{ yes * 3 }} {{ -yes }}",
        "{{ 1 ~ 'a' ~ none_value ~ yes ~ 1.0 ~ [1] ~ missing ~ '|' }}", "{{ 1 + 2 ~ 3 }} {{ 1 ~ 2 * 3 }}", "{{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ none == missing }} {{ missing == other }} {{ none == none }}",
        "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 != 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }} {{ 'Z' < 'a' }} {{ 'é' > 'z' }}", "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ [1] < (1,) }}", "{{ {} < {} }}",
        "{{ 1 in xs }} {{ 5 not in xs }} {{ 'W' in s }} {{ 'a' in d }} {{ 'x' in {'x': 1}.keys() }} {{ 1 in (1, 2) }} {{ '' in '' }} {{ 1 in missing }} {{ 2 in range(3) }} {{ not 1 in xs }}", "{{ 1 in 'a' }}", "{{ 1 in none }}", "{{ [] in d }}", "{{ 1 in 5 }}",
        "{{ yes and 'x' }} {{ empty or 'y' }} {{ no or none }} {{ 0 and missing.x }} {{ 1 or missing.x }} {{ not empty }} {{ not not n }} {{ no or no and yes }} {{ not no and no }}", "{{ 'a' if yes }}{{ 'a' if no }}|{{ 'a' if no else 'b' if no else 'c' }} {{ ('a' if no) is defined }}", "{{ ('a' if no).x }}", "{{ 1 if yes else 2, 3 }}",
        "{{ '%s and %d' % ('a', 3) }} {{ '%s' % 'x' }} {{ '%5.2f|%-5s|%05d|%x|%%|%r' % (3.14159, 'ab', 42, 255, 'q') }} {{ '%(a)s' % {'a': 1} }}", "{{ '%d' % 'a' }}", "{{ '%s %s' % ('a',) }}", "{{ '%s' % ('a', 'b') }}", "{{ 'x' % 1 }}", "{{ '%5%' % 1 }}", "{{ '%' % 1 }}", "{{ '%q' % 1 }}", "{{ '%(a)s %s' % {'a': 1} }}", "{{ '%s %(a)s' % {'a': 1} }}", "{{ '%s' % [1, 2] }} {{ '%+d % d %#x %e %g' % (1, 2, 3, 4.5, 1e10) }}",
        "{{ 5 % 3 }} {{ '%c%c' % (65, 'B') }} {{ '%.3s|%5s|%-5s|' % ('abcdef', 'é', 'é') }} {{ '%i' % 3.9 }} {{ '%*d' % (5, 3) }}", "{{ xs % 2 }}", "{{ 2 ** 0.5 }} {{ 4 ** 0.5 }} {{ (-8) ** 2 }}", "{{ 9007199254740993 + 0 }} {{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }}", "{{ 0 ** -1 }}", "{{ yes is true and no is false }} {{ 3 is odd }} {{ -n }} {{ -f }}", "{{ - 'a' }}",
    ],
    "access": [
        "{{ d.z }} {{ d['z'] }} {{ d.m.k }} {{ d['m']['k'] }} {{ d.items is callable }} {{ d['items'] }} {{ d.get('items') }} {{ d.nope is defined }} {{ d['nope'] is defined }} {{ d.nope }}|", "{{ d.nope.x }}", "{{ missing.x }}", "{{ missing['x'] }}", "{{ missing }}|{{ missing | length }}", "{{ missing() }}", "{{ missing + 1 }}", "{{ missing < 1 }}", "{{ -missing }}", "{{ 1 + missing }}", "{{ none.x }}|{{ none['x'] is undefined }}", "{{ none.x.y }}",
        "{{ xs[0] }} {{ xs[-1] }} {{ xs[9] is defined }} {{ xs.0 }} {{ xs['0'] is defined }} {{ s[0] }} {{ s[-1] }} {{ u[6] }} {{ u[9] }} {{ (1, 2)[1] }} {{ range(5)[2] }} {{ xs[true] }} {{ d[none] is defined }} {{ xs[1.0] is defined }} {{ d[[1]] is defined }}", "{{ 'abc'.0 }} {{ nested[1][1][0] }} {{ nested.1.0 }}",
        "{{ xs[1:] }} {{ xs[:-1] }} {{ xs[::-1] }} {{ xs[::2] }} {{ xs[5:] }} {{ xs[-2:] }} {{ xs[:] }} {{ xs[none:2] }} {{ xs[2:0:-1] }}", "{{ s[:5] }}|{{ s[-5:] }}|{{ s[::-1] }}|{{ u[6:8] }}|{{ u[::-1] }}|{{ s[100:] }}|{{ s[3:1] }}|{{ s[1:8:3] }}|{{ (1, 2, 3)[1:] }} {{ range(10)[2:8:3] | list }}", "{{ xs[::0] }}", "{{ d[1:] }}", "{{ missing[1:] }}", "{{ none_value[1:] }}", "{{ xs['a':] }}", "{{ n[1:] }}",
        "{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages | length }} {{ messages[-1].name }} {{ messages[1:] | length }}", "{{ xs.append(4) }}", "{{ xs.pop() }}", "{{ d.update({}) }}", "{{ xs.append is defined }} {{ d.pop is defined }} {{ s.upper is defined }} {{ d.keys is defined }}", "{{ s.__class__ }}", "{{ s.__class__ is defined }}", "{{ ''.__class__.__mro__ }}", "{{ d._x is defined }}", "{{ n.real }} {{ n.imag }} {{ f.real }} {{ n.x is defined }}", "{{ n() }}", "{{ s() }}", "{{ d.get('z') }} {{ d.get('nope') }} {{ d.get('nope', 5) }} {{ d.keys() | list }} {{ d.values() }} {{ d.m.items() }} {{ d.keys() }} {{ d.copy() == d }}", "{{ d.get() }}", "{{ d.get('a', 1, 2) }}",
        "{{ tools[0].function.parameters.items is string }} {{ tools[0].function.parameters['items'] }} {{ d.items() | list | length }}", "{{ xs.index(2) }} {{ xs.count(1) }} {{ (1, 1).count(1) }} {{ xs.copy() }}", "{{ xs.index(9) }}", "{{ d.fromkeys([1, 2], 3) }} {{ dict.fromkeys('ab') }}", "{{ d['m', 'k'] is defined }}", "{{ range.x is defined }}",
    ],
    "statements": [
        "{% if no %}a{% elif zero %}b{% elif n > 5 %}c{% else %}d{% endif %}", "{% if xs and d and s %}t{% endif %}{% if missing %}u{% endif %}{% if [] or {} or '' or 0 or none %}v{% endif %}", "{% for x in xs %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}{% for x in missing %}a{% else %}c{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in 5 %}{% endfor %}",
        "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for a, b in nested %}{{ a }}{{ b }};{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in 'aé🙂' %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }},{% endfor %}",
        "{% for x in xs if x > 1 %}{{ x }}{{ loop.index }}{{ loop.length }}{{ loop.last }};{% else %}no{% endfor %}", "{% for x in xs if x > 9 %}{{ x }}{% else %}none{% endfor %}", "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}|{{ loop.previtem }}|{{ loop.nextitem }};{% endfor %}", "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
        "{% for x in [1, 1, 2] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }} {% endfor %}", "{% for x in xs %}{% for y in xs %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in xs %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{% endfor %}{% endfor %}", "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% break %}{% else %}e{% endfor %}", "{% for x in xs %}{% continue %}{% else %}e{% endfor %}", "{% for x in xs %}{% if loop.last %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
        "{% for x in [[1, [2]], [3]] recursive %}{{ loop.depth }}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in xs %}{{ loop(xs) }}{% endfor %}", "{% for x in xs recursive %}{{ loop(x) }}{% endfor %}", "{{ loop is defined }}{% for x in xs %}{{ loop is defined }}{% endfor %}{{ loop is defined }} {{ x is defined }}", "{% for x in xs %}{{ loop.nope is defined }}{% endfor %}",
        "{% set x = 1 %}{{ x }}{% set x, y = 2, 3 %}{{ x }}{{ y }}{% set x = y %}{{ x }}", "{% set x, y = 1 %}", "{% set x, y = [1] %}", "{% set x = 1 %}{% for i in xs %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% if yes %}{% set x = 1 %}{% endif %}{{ x }}", "{% for i in xs %}{% set q = i %}{% endfor %}{{ q is defined }}", "{% for i in xs %}{{ q is defined }}{% set q = i %}{% endfor %}", "{% set n = n + 1 %}{{ n }}", "{% for i in xs %}{% if loop.first %}{% set n = 100 %}{% endif %}{{ n }} {% endfor %}",
        "{% set ns = namespace(a=1, b='x') %}{% for i in xs %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}", "{% set ns = namespace({'a': 1}, b=2) %}{% set ns.c = 3 %}{{ ns.a + ns.b + ns.c }} {{ ns }}", "{% set n.a = 1 %}", "{% set nope.a = 1 %}", "{% set ns = namespace() %}{% set ns._a = 1 %}", "{% set ns = namespace(_a=1) %}", "{% set ns = namespace() %}{{ ns.a.b }}", "{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}", "{% set ns = namespace(x=[]) %}{% set ns.x = ns.x + [1] %}{% set ns.x = ns.x + [2] %}{{ ns.x }} {{ ns['x'] is defined }}",
        "{% set x %}a{{ n }}b{% endset %}{{ x }} {{ x is string }}", "{% set x | upper | trim %} abc {% endset %}[{{ x }}]", "{% set x %}{% set y = 5 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}", "{% set ns = namespace() %}{% set ns.t %}text{% endset %}{{ ns.t }}", "{% filter upper %}ab{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}", "{% with a = 1, b = n %}{{ a }}{{ b }}{% set n = 3 %}{{ n }}{% endwith %}{{ a is defined }}{{ n }}", "{% with %}{% set z = 1 %}{% endwith %}{{ z is defined }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}|",
        "{% print n, s %}", "{% block a %}x{{ n }}{% endblock %}{% set n = 3 %}", "{% for x in xs: %}{{ x }}{% endfor %}{% if yes: %}y{% endif %}", "{% generation %}x{{ n }}{% endgeneration %}y", "{% generation %}{% set a = 1 %}{% endgeneration %}{{ a is defined }}", "{% for m in messages %}{% generation %}{{ m.role }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{% for x in xs %}{% set y %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endset %}{{ y }}{% endfor %}", "{% for x in d.m.items() %}{{ x }}{{ x[0] }}{% endfor %}", "{% for x in xs | sort %}{{ x }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% for x in (xs if yes else []) %}{{ x }}{% endfor %}", "{% set xs = xs[1:] %}{{ xs }}", "{% for x in xs %}{% set xs = [] %}{{ x }}{% endfor %}{{ xs }}",
        "{% set ns = namespace(stop=false) %}{% for x in xs if not ns.stop %}{{ x }}{% set ns.stop = x == 1 %}{% endfor %}", "{% for x in xs %}{{ loop }}{% endfor %}", "{% for x in xs if loop is defined %}{{ x }}{% endfor %}", "{% for x in xs | select('odd') %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}",
    ],
    "macros": [
        "{% macro f(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=4, a=5) }}{{ f() }}", "{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}{{ f(none) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(c=2) }}", "{% macro f(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}", "{% macro f(a, b=a) %}{{ b }}{% endmacro %}{{ f(3) }}", "{% macro f(a=b, b=2) %}{{ a }}{% endmacro %}{{ f() }}|", "{% macro f() %}x{% endmacro %}{{ f() | upper }}{{ f() is string }}{% set g = f %}{{ g() }}",
        "{{ f() }}{% macro f() %}x{% endmacro %}", "{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}{% set x = 6 %}{{ f() }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% macro f() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ f() }}{{ n }}", "{% macro f() %}{{ m is defined }}{% endmacro %}{% for m in xs %}{{ f() }}{% endfor %}", "{% for m in xs %}{% macro f() %}{{ m }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}",
        "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}in{{ n }}{% endcall %}", "{% macro f() %}{{ caller('a', 2) }}{% endmacro %}{% call(x, y=3) f() %}{{ x }}{{ y }}{% endcall %}", "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}", "{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}", "{% macro f() %}{{ kwargs.keys() | list }}{% endmacro %}{{ f(**{'a': 1, 'b': 2}) }}", "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(*[1], **{'b': 3}) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, **{'a': 2}) }}",
        "{% macro f(items) %}{% for i in items %}{{ i }}{{ ',' if not loop.last }}{% endfor %}{% endmacro %}{{ f(xs) }}", "{% macro t(x) -%} {{ x }} {%- endmacro %}[{{ t('a') }}]", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% if no %}{% macro g() %}x{% endmacro %}{% endif %}{{ g() }}", "{% if yes %}{% macro f() %}x{% endmacro %}{% endif %}{{ f() }}", "{{ f.name }}", "{% macro f(x) %}{% endmacro %}{{ f }} {{ f.name }} {{ f.nope is defined }}", "{% macro f(x) %}{{ x.y.z }}{% endmacro %}{{ f({'y': {'z': 1}}) }}{{ f({}) }}", "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }}",
    ],
    "globals": [
        "{{ range(5) | list }} {{ range(2, 5) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(1, 9, 2) }} {{ range(0) | length }}", "{{ range(100001) }}", "{{ range(100000) | length }}", "{{ range('a') }}", "{{ range() }}", "{{ range(1, 2, 0) }}", "{{ range(2.0) }}", "{{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('a', 1)]) }} {{ dict() }}", "{{ dict(missing) }}", "{{ raise_exception('It is so: ' ~ n) }}", "{% if no %}{{ raise_exception('x') }}{% endif %}ok", "{{ raise_exception() }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %%') }}", "{{ strftime_now('%d %b %Y') }}|{{ strftime_now('') }}|{{ strftime_now('x') }}|{{ strftime_now('%f%z%Z') }}", "{{ strftime_now() }}", "{{ strftime_now(5) }}",
        "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}", "{% set j = joiner('; ') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}", "{{ namespace is defined }} {{ nope is defined }} {{ messages is defined }} {{ tools is defined }} {{ documents is none }} {{ add_generation_prompt }}", "{{ bos_token }}{{ eos_token }}|{{ eos_token is defined }}", "{{ range(3)[::-1] | list }} {{ 2 in range(0, 5, 2) }} {{ range(3) == range(0, 3) }}",
    ],
    "filters of text": [
        "{{ '  a b ' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ none | trim }}|{{ 5 | trim }}|{{ missing | trim }}|{{ '\u00a0a\u3000' | trim }}", "{{ 'aBc' | upper }}{{ 'aBc' | lower }}{{ 'aBc dEf' | capitalize }}{{ 'ab cd-ef (gh) x_y 1a' | title }}{{ 5 | upper }}{{ 'straße ÉÀ ﬁ' | upper }}{{ 'ÀÉΣΑΣ İ' | lower }}{{ 'ǆa ßa' | capitalize }}", "{{ 'aaa' | replace('a', 'b') }}{{ 'aaa' | replace('a', 'b', 2) }}{{ 'abc' | replace('', '-') }}{{ 123 | replace(2, 'x') }}{{ 'a' | replace('a', 'b', count=1) }}", "{{ 'a' | replace('a') }}", "{{ xs | join }}|{{ xs | join(', ') }}|{{ people | join(';', attribute='name') }}|{{ 'abc' | join('-') }}|{{ [none_value, 1.5, 'x'] | join('/') }}|{{ d | join(',') }}|{{ xs | join(1) }}", "{{ 5 | join }}", "{{ missing | join(',') }}|",
        "{{ lines | indent }}|{{ lines | indent(2, first=true) }}|{{ lines | indent('> ', blank=true) }}|{{ '' | indent }}|{{ 'a' | indent(width=2, first=True) }}", "{{ 5 | indent }}", "{{ 'a b  c\nd' | wordcount }} {{ s | length }} {{ u | length }} {{ xs | count }} {{ d | length }} {{ missing | length }}", "{{ 5 | length }}", "{{ none | length }}", "{{ '%s-%s' | format('a', 2) }} {{ '%(x)s' | format(x=1) }}", "{{ 'a' | string }}{{ 5 | string }}{{ none | string }}{{ [1, 'a'] | string }}{{ missing | string }}|{{ 1.0 | string }}", "{{ '<a & \"b\\'>' | escape }} {{ '<' | e }} {{ ('<' | safe) + '<' }} {{ '<' | safe }} {{ ['<' | safe] }} {{ ('<' | safe) ~ '<' }} {{ '<' | safe | escape }} {{ 'x<' | forceescape }}",
        "{{ 'abcdefghij klmno' | truncate(10) }}|{{ 'abcdefghij klmno' | truncate(10, true, '..', 0) }}|{{ 'abc def ghi' | truncate(8, leeway=0) }}|{{ 'short' | truncate }}|{{ missing | truncate }}|{{ xs | truncate }}", "{{ range(300) | truncate }}", "{{ 5 | truncate }}", "{{ 'ab' | center(7) }}|{{ 'abc' | center(6) }}|", "{{ 'a' | upper('x') }}", "{{ 'a' | trim(5) }}", "{{ s | list }} {{ s | first }} {{ s | last }} {{ s | reverse }} {{ u | reverse }} {{ 'hello' | unique | join }}",
    ],
    "filters of numbers": [
        "{{ '5' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ -3.9 | int }} {{ ' 12 ' | int }} {{ '1_000' | int }} {{ '0x1F' | int(base=16) }} {{ '101' | int(0, 2) }} {{ '3.7' | int }} {{ none | int }} {{ yes | int }} {{ '' | int }} {{ '1e2' | int }} {{ [] | int(3) }} {{ '0b11' | int(base=0) }} {{ 'inf' | int(4) }} {{ '--5' | int }} {{ '+5' | int }}", "{{ missing | int }}", "{{ '1.5' | float }} {{ 'x' | float }} {{ 'x' | float(2.5) }} {{ 2 | float }} {{ '1e3' | float }} {{ 'nan' | float }} {{ '-inf' | float }} {{ none | float }} {{ '1_0.5' | float }} {{ ' 7 ' | float }} {{ '.5' | float }} {{ '5.' | float }} {{ '1e400' | float }}", "{{ missing | float }}",
        "{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 42.45 | round(1, 'ceil') }} {{ 7 | round }} {{ 1234 | round(-2) }} {{ 1250 | round(-2) }} {{ -2.5 | round }} {{ 1.005 | round(2, 'common') }} {{ 3 | round(1, 'floor') }}", "{{ 2.5 | round(1, 'x') }}", "{{ 'a' | round }}", "{{ -5 | abs }} {{ 5 | abs }} {{ -2.5 | abs }} {{ (-5) | abs }} {{ yes | abs }}", "{{ 'a' | abs }}", "{{ xs | sum }} {{ people | sum(attribute='age') }} {{ xs | sum(start=10) }} {{ [1, 2.5] | sum }} {{ [] | sum }} {{ [[1], [2]] | sum(start=[]) }}", "{{ ['a'] | sum }}", "{{ xs | min }} {{ xs | max }} {{ names | min }} {{ names | max(case_sensitive=true) }} {{ people | max(attribute='age') }} {{ [] | min }}|", "{{ [1, 'a'] | min }}",
        "{{ 1e15 }} {{ 1e16 }} {{ 0.0001 }} {{ 0.00001 }} {{ 123456.789 }} {{ 1e22 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 100.0 }} {{ 1e-5 | string }} {{ big }} {{ tiny }} {{ 'nan' | float | string }}",
    ],
    "filters of lists": [
        "{{ xs | first }} {{ xs | last }} {{ [] | first }}|{{ [] | last }}|{{ missing | first }}|{{ d | first }} {{ d | last }} {{ range(3) | last }} {{ (xs | map('string')) | first }}", "{{ xs | map('string') | last }}", "{{ 5 | first }}", "{{ none | last }}", "{{ xs | sort }} {{ xs | sort(reverse=true) }} {{ names | sort }} {{ names | sort(case_sensitive=true) }} {{ people | sort(attribute='age') | map(attribute='name') | list }} {{ people | sort(attribute='age,name', reverse=true) | map(attribute='name') | join(',') }} {{ d.m | sort }} {{ 'cab' | sort }}", "{{ [1, 'a'] | sort }}", "{{ people | sort(attribute='city') }}", "{{ [none, none] | sort }}", "{{ [[2, 1], [1, 2]] | sort }} {{ [true, 0, 0.5] | sort }}",
        "{{ xs | reverse | list }} {{ d | reverse | list }} {{ (1, 2) | reverse | list }} {{ xs | map('string') | reverse | list }}", "{{ 5 | reverse }}", "{{ [1, 2, 1, '1', true, 'A', 'a'] | unique | list }} {{ people | unique(attribute='age') | map(attribute='name') | list }} {{ ['A', 'a'] | unique(case_sensitive=true) | list }}", "{{ [[1]] | unique | list }}", "{{ people | map(attribute='name') | list }} {{ people | map(attribute='city', default='?') | list }} {{ people | map(attribute='city') | list }} {{ names | map('upper') | list }} {{ names | map('replace', 'b', 'x') | join }} {{ nested | map('first') | list }} {{ nested | map('length') | sum }} {{ [] | map('upper') | list }} {{ messages | map(attribute='role') | join(' ') }} {{ [[1, 2], [3]] | map(attribute=0) | list }} {{ missing | map('upper') | list }}", "{{ xs | map | list }}", "{{ xs | map('nosuch') | list }}", "{{ xs | map('nosuch') | length }}", "{{ people | map(attribute='name', x=1) | list }}", "{{ 5 | map('upper') | list }}",
        "{{ xs | select('odd') | list }} {{ xs | reject('odd') | list }} {{ [0, 1, '', 'a', none] | select | list }} {{ [0, 1, none] | reject | list }} {{ xs | select('gt', 1) | list }} {{ xs | select('in', [1, 2]) | list }} {{ xs | select('divisibleby', 3) | list }}", "{{ people | selectattr('city') | map(attribute='name') | list }} {{ people | selectattr('age', 'equalto', 30) | list | length }} {{ people | rejectattr('city', 'defined') | map(attribute='name') | list }} {{ messages | selectattr('role', '==', 'user') | list | length }} {{ messages | rejectattr('role', 'in', ['system', 'tool']) | map(attribute='role') | list }} {{ people | selectattr('city', 'undefined') | list | length }}", "{{ xs | select('nosuch') | list }}", "{{ people | selectattr | list }}", "{% if xs | select('gt', 99) %}true{% endif %}", "{{ (xs | select('odd') | list | length) > 0 }}", "{{ xs | select('odd') | length }}", "{{ (xs | select('odd'))[0] is defined }}", "{% set g = xs | select('odd') %}{{ g | list }}{{ g | list }}", "{{ messages | selectattr('role', 'equalto', 'system') | first | tojson }} {{ (messages | selectattr('role', 'equalto', 'x') | first) is defined }}", "{{ people | selectattr('name.x') | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ [{'a': [5, 6]}] | map(attribute='a.1') | list }}",
        "{{ d.m | dictsort }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort(true) }} {{ {'b': 1, 'a': 3, 'c': 2} | dictsort(by='value', reverse=true) }}", "{{ {'b': 1, 2: 3} | dictsort }}", "{{ xs | dictsort }}", "{{ {'a': 1} | dictsort(by='x') }}", "{{ d.m | items | list }} {{ missing | items | list }}", "{{ xs | items | list }}", "{{ none | items | list }}", "{% for k, v in d | items %}{{ k }};{% endfor %}", "{{ xs | batch(2) | list }} {{ xs | batch(2, 'x') | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, 'x') | list }}", "{% for g in people | groupby('age') %}{{ g.grouper }}:{{ g.list | map(attribute='name') | join(',') }};{{ g[0] }}{% endfor %}", "{% for age, list in people | groupby('age') %}{{ age }}{{ list | length }}{% endfor %}{{ people | groupby('city', default='-') | map(attribute=0) | list }}",
        "{{ missing | default('x') }} {{ none | default('x') }} {{ none | default('x', true) }} {{ '' | d('x', boolean=true) }} {{ d.nope | default(none) }} {{ missing | default }}| {{ d.nope | default([]) | length }} {{ 0 | default(5) }}", "{{ missing.x | default('y') }}", "{{ d | attr('z') }}|{{ d | attr('keys') is defined }}", "{{ xs | list }} {{ d | list }} {{ 'ab' | list }} {{ (1, 2) | list }} {{ d.m.items() | list }} {{ missing | list }}", "{{ none | list }}", "{{ xs | list | string }} {{ xs | tojson | safe }} {{ xs | join(', ') | upper | replace('1', 'one') }}",
    ],
    "json": [
        "{{ d | tojson }} {{ xs | tojson }} {{ s | tojson }} {{ none | tojson }} {{ yes | tojson }} {{ f | tojson }} {{ u | tojson }} {{ odd | tojson }} {{ (1, 2) | tojson }} {{ {} | tojson }} {{ [] | tojson }}", "{{ tools | tojson }}|{{ messages | tojson }}", "{{ d | tojson(indent=2) }}|{{ [[], {}, [[1]]] | tojson(indent=1) }}|{{ xs | tojson(indent='--') }}|{{ xs | tojson(indent=0) }}", "{{ u | tojson(ensure_ascii=true) }} {{ '\\x7f\\u2028</script>&' | tojson }} {{ '\\x7f' | tojson(ensure_ascii=True) }}", "{{ d | tojson(separators=(',', ':')) }} {{ d | tojson(separators=(', ', ': '), indent=2) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }} {{ d | tojson(true) }} {{ d | tojson(false, 4) }}", "{{ {1: 'a', true: 'b', none: 'c', 1.5: 'd', 'e': 'f'} | tojson }}", "{{ {(1, 2): 3} | tojson }}", "{{ {'a': 1, 2: 3} | tojson(sort_keys=true) }}", "{{ missing | tojson }}", "{{ [missing] | tojson }}", "{{ range(3) | tojson }}", "{{ d.items() | tojson }}", "{{ namespace(a=1) | tojson }}", "{{ xs | map('string') | tojson }}", "{{ s.upper | tojson }}", "{{ big | tojson }} {{ tiny | tojson }} {{ 1e16 | tojson }} {{ ('nan' | float) | tojson }} {{ ('inf' | float) | tojson }}", "{{ ('<' | safe) | tojson }} {{ d | tojson | length }} {{ d | tojson | upper }}", "{{ d | tojson(nope=1) }}",
        "{{ '{\"a\": [1, 2.5, null, true, \"x\\\\u00e9\\\\n\"], \"b\": {}}' | from_json }} {{ ('[1, 2]' | from_json)[1] }} {{ messages[3].content | from_json }} {{ ' 5 ' | from_json }} {{ '\"\\\\ud83d\\\\ude42\"' | from_json }}", "{{ '{' | from_json }}", "{{ '' | from_json }}", "{{ '[1,]' | from_json }}", "{{ '01' | from_json }}", "{{ \"{'a': 1}\" | from_json }}", "{{ 5 | from_json }}", "{{ '[1] x' | from_json }}", "{{ '-0 ' | from_json }} {{ '1e2' | from_json }} {{ '[NaN, -Infinity]' | from_json }}",
    ],
    "tests": [
        "{{ n is defined }} {{ missing is defined }} {{ missing is undefined }} {{ none is none }} {{ missing is none }} {{ n is not none }} {{ d.x is not defined }}", "{{ s is string }} {{ 5 is string }} {{ d is mapping }} {{ xs is mapping }} {{ missing is mapping }} {{ missing is string }} {{ xs is iterable }} {{ s is iterable }} {{ 5 is iterable }} {{ none is iterable }} {{ missing is iterable }} {{ missing is sequence }} {{ xs is sequence }} {{ s is sequence }} {{ d is sequence }} {{ (1,) is sequence }} {{ 5 is sequence }} {{ d.items() is sequence }} {{ d.items() is iterable }} {{ range(3) is sequence }} {{ (xs | select) is iterable }} {{ (xs | select) is sequence }} {{ d.keys() is mapping }}",
        "{{ yes is boolean }} {{ 1 is boolean }} {{ yes is true }} {{ 1 is true }} {{ no is false }} {{ 0 is false }} {{ 1 is integer }} {{ yes is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }} {{ 1 is number }} {{ 1.5 is number }} {{ yes is number }} {{ '1' is number }} {{ none is number }}", "{{ 3 is odd }} {{ 4 is even }} {{ -3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 2.0 is even }}", "{{ 'a' is odd }}", "{{ 9 is divisibleby 0 }}", "{{ missing is odd }}", "{{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is gt 2 }} {{ 1 is le 1 }} {{ 1 is ge 2 }} {{ 1 is lessthan 2 }} {{ 1 is greaterthan 0 }} {{ 1 is in xs }} {{ 'a' is in 'abc' }} {{ 1 is sameas 1 }} {{ yes is sameas true }} {{ none is sameas none }} {{ 1 is sameas true }} {{ xs is sameas xs }} {{ [1] is sameas [1] }}", "{{ 1 is eq }}", "{{ 1 is defined(2) }}", "{{ 'ABC' is upper }} {{ 'aBC' is upper }} {{ 'abc1' is lower }} {{ '1' is lower }} {{ s.upper is callable }} {{ range is callable }} {{ n is callable }} {{ missing is callable }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'x' is test }} {{ ('x' | safe) is escaped }}", "{{ n is defined and n > 5 }} {{ n is defined or missing.x }} {{ not n is defined }} {{ n is defined == true }} {{ 5 + 5 is odd }} {{ xs | length is odd }} {{ s is string and s is not number }} {{ n is not defined or n is odd }}", "{{ 1 is number if yes else 2 }}", "{{ (1 is number) if yes else 2 }}", "{{ n is divisibleby 7 and yes }} {{ [1] is eq [1] }} {{ {} is eq {} }} {{ n is in [7] or no }}",
    ],
    "methods of strings": [
        "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.split(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('x') }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ' a b  c '.split(none, 1) }} {{ 'a--b'.split('--') }} {{ 'aXbXc'.rsplit('X') }} {{ 'abc'.split('b')[-1] }}", "{{ 'a'.split('') }}", "{{ 'a'.split(5) }}", "{{ '<think>x</think>y'.split('</think>')[0].split('<think>')[-1] }} {{ 'x'.split('</think>')[-1].lstrip('\\n') }}", "{{ ' a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xyaxy'.strip('yx') }}|{{ '\\n\\na\\n'.strip('\\n') }}|{{ 'éaé'.strip('é') }}|{{ ' a '.strip(none) }}|", "{{ 'abc'.startswith('a') }} {{ 'abc'.endswith('c') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.startswith('') }}", "{{ 'abc'.startswith(1) }}", "{{ 'abc'.startswith(['a']) }}", "{{ 'abc'.startswith() }}", "{{ 'aXa'.replace('a', 'b') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '.') }} {{ 'abc'.replace('b', '') }}", "{{ 'a'.replace('a', 1) }}", "{{ 'a'.replace(none, 'b') }}",
        "{{ 'aBc'.upper() }}{{ 'aBc'.lower() }}{{ 'hello wORLD it\\'s'.title() }}{{ 'hELLO'.capitalize() }}{{ 'aBc'.swapcase() }}{{ 'Straße'.casefold() }}", "{{ ','.join(['a', 'b']) }} {{ ''.join('abc') }} {{ '-'.join([]) }}|{{ ', '.join(d.keys()) }} {{ '/'.join(xs | map('string')) }}", "{{ ','.join([1]) }}", "{{ ','.join(5) }}", "{{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.find('x') }} {{ 'hello'.index('e') }} {{ 'hello'.count('l') }} {{ 'aaaa'.count('aa') }} {{ 'héllo'.find('l') }} {{ 'hello'.find('l', 3) }} {{ 'hello'.find('o', 0, 3) }} {{ 'hello'.find('') }} {{ 'abc'.count('') }} {{ 'hello'.rindex('l') }} {{ 'hello'.find('h', -9) }} {{ 'abc'.find('c', -1) }} {{ 'abc'.find('', 9) }}", "{{ 'hello'.index('x') }}", "{{ 'prefix_a'.removeprefix('prefix_') }} {{ 'a.txt'.removesuffix('.txt') }} {{ 'a'.removeprefix('b') }} {{ 'a'.removesuffix('') }}", "{{ '12'.isdigit() }} {{ '1a'.isdigit() }} {{ ''.isdigit() }} {{ '²'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'é日'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \\n'.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ 'Ab Cd'.istitle() }} {{ '½'.isnumeric() }} {{ '1'.isdecimal() }} {{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'é'.isascii() }} {{ 'a\\n'.isprintable() }}", "{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\\x0bb\\x85c\\u2028d'.splitlines() }}", "{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'é'.zfill(3) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6) }}| {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '.') }}", "{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }}", "{{ 'a\\tb'.expandtabs(4) }}|",
        "{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x} {y.z} {y[z]}'.format(x=1, y={'z': 2}) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}|{:*^5}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:,} {:.2f} {:x} {:%} {:+d} {:e}'.format(42, 1234567, 3.14159, 255, 0.5, 3, 12345.678) }} {{ '{!r:>6}'.format('a') }} {{ '{:{}}|'.format('a', 4) }} {{ '{:.3}|{:5}|{:<5}|'.format('abcdef', 42, 42) }} {{ '{}'.format([1]) }} {{ '{:.3}'.format(2.0) }} {{ '{:g}'.format(1e10) }} {{ '{0[1]}'.format(xs) }}", "{{ '{}'.format() }}", "{{ '{x}'.format() }}", "{{ '{'.format() }}", "{{ '}'.format() }}", "{{ '{:d}'.format('a') }}", "{{ '{} {0}'.format(1) }}", "{{ '{:>3}'.format(none) }}", "{{ '{a}'.format_map({'a': 1}) }}", "{{ s.nosuch }}|{{ s.nosuch is defined }}", "{{ s.nosuch() }}", "{{ 'a'.upper(1) }}", "{{ s.upper() }}", "{{ s.encode is defined }}", "{{ ('a' * 3).upper().lower()[1:] }} {{ 'a'.upper().join(['x', 'y']) }} {{ s.split(', ')[1].lower()[0] }}",
    ],
}

FULL = [
    """{%- if messages[0].role == 'system' %}
    {{- '<|begin|>system\\n' + messages[0].content + '<|end|>\\n' }}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{%- for message in rest %}
    {{- '<|begin|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content | trim }}<|end|>{% endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- message.content | trim + '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|begin|>assistant\\n' }}
{%- endif %}
""",
    """{{- bos_token }}
{%- set ns = namespace(system='', seen=0) %}
{%- for m in messages if m['role'] == 'system' %}
  {%- set ns.system = ns.system ~ (m['content'] | trim) ~ '\\n' %}
{%- endfor %}
{{- '[head]system[/head]\\n\\nToday is ' ~ strftime_now('%d %b %Y') ~ '\\n' ~ ns.system ~ '[stop]' }}
{%- for m in messages if m['role'] != 'system' %}
  {%- set ns.seen = ns.seen + 1 %}
  {%- if (m['role'] == 'user') != (ns.seen % 2 == 1) and m.role not in ('tool', 'assistant') %}
    {{- raise_exception('Roles must take turns') }}
  {%- endif %}
  {{- '[head]' ~ m['role'] ~ '[/head]\\n\\n' ~ (m['content'] | trim) ~ '[stop]' }}
{%- endfor %}
{{- '[head]assistant[/head]\\n\\n' if add_generation_prompt }}""",
    """{%- macro type_of(p) -%}
  {%- if p.type is string -%}{{ p.type }}{%- else -%}any{%- endif -%}
{%- endmacro -%}
{%- if tools -%}
# Tools
{% for tool in tools %}
- {{ tool.function.name }}({% for name, p in tool.function.parameters.properties | dictsort %}{{ name }}: {{ type_of(p) }}{{ ', ' if not loop.last }}{% endfor %})
  {{ tool | tojson }}
{% endfor %}
{%- endif -%}
{%- for m in messages -%}
  {%- if m.role == 'tool' -%}
    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{ '<results>' }}{%- endif -%}
    {{- '\\n' ~ (m.name | default('tool', true)) ~ ': ' ~ m.content -}}
    {%- if loop.last or loop.nextitem.role != 'tool' -%}{{ '\\n</results>\\n' }}{%- endif -%}
  {%- elif m.tool_calls -%}
    {%- for call in m.tool_calls -%}
      {{- '<call>' ~ {'name': call.function.name, 'arguments': call.function.arguments} | tojson(indent=2) ~ '</call>\\n' -}}
    {%- endfor -%}
  {%- else -%}
    {{- m.role | capitalize ~ ': ' ~ m.content ~ '\\n' -}}
  {%- endif -%}
{%- endfor -%}
""",
]


def rendered(source):
    try:
        texts, _ = reference.render_jinja_template(conversations=[MESSAGES], chat_template=source, add_generation_prompt=True, **VARIABLES)
        return texts[0]
    except Exception:  # whatever a template may run into
        return None


def main():
    groups = {name: [[source, rendered(source)] for source in sources] for name, sources in {**GROUPS, "whole templates": FULL}.items()}
    cases = [case for group in groups.values() for case in group]
    values = {"messages": MESSAGES, "variables": VARIABLES, "groups": groups}
    path = pathlib.Path(__file__).parent / "templates.json"
    # One case a line.
    lines = json.dumps({**values, "groups": 0}, ensure_ascii=True)[:-2] + "{\n"
    lines += ",\n".join(json.dumps(name) + ": [\n" + ",\n".join(json.dumps(case) for case in group) + "]" for name, group in groups.items())
    path.write_text(lines + "}}\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == values
    print(f"{len(cases)} cases, {sum(text is None for _, text in cases)} of them errors, jinja2 {jinja2.__version__}")


if __name__ == "__main__":
    sys.exit(main())
