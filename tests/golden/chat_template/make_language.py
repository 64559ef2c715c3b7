#!/usr/bin/env python3
"""Writes language.json: small templates over the language, and what jinja2 makes of them.

Run: pip install jinja2==3.1.6; python3 make_language.py
A case is [template, text], or [template, null] where jinja2 fails; all share one context.
"""

import json
import pathlib

from environment import make_environment, render

CONTEXT = {
    "a": 1,
    "b": 2.5,
    "s": "Hello, wörld!",
    "t": "  padded\n",
    "n": None,
    "yes": True,
    "no": False,
    "empty": "",
    "list": [3, 1, 2],
    "words": ["pear", "Apple", "fig", "apple"],
    "nested": [[1, 2], [3, 4]],
    "d": {"b": 1, "a": [1, {"x": None}], "items": "mine", "ü": "ß"},
    "people": [
        {"name": "Ann", "age": 31, "tags": ["x", "y"], "address": {"city": "Oslo"}},
        {"name": "bob", "age": 27, "tags": [], "address": {"city": "Rome"}},
        {"name": "Cid", "age": 31, "address": {"city": "Oslo"}},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello"},
        {"role": "user", "content": "Bye"},
    ],
    "html": "<a href=\"x\">'&'</a>",
    "emoji": "👩‍🚀 e\u0301 日本",
}

EXPRESSIONS = r"""
a
b
s
n
yes
missing
-a
+b
- -a
not a
not not a
1 + 2 * 3
(1 + 2) * 3
7 / 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 // 2
7.5 // -2
2 ** 10
2 ** 3 ** 2
-2 ** 2
2 ** -1
2.0 ** 0.5
1e3
1e16
1e15
1.5e-5
0.0001
1e-7
123456789.123
0.1 + 0.2
1.0
-0.0
1e22
5e-324
1.7976931348623157e308
10 / 5
0x1f
0b101
0o17
1_000
00
1 / 0
1 % 0
1 // 0
1.0 / 0
9223372036854775807
'a' ~ 1 ~ none ~ true ~ 1.5
'a' + 'b'
'a' + 1
1 + 'a'
'ab' * 3
3 * 'ab'
'ab' * -1
[1] * 2
[1] + [2, 3]
(1,) + (2,)
[1] + (2,)
true + true
true * 2.5
1 - true
'x' - 'y'
none + 1
missing + 1
1 == 1.0
true == 1
'a' == 'a'
none == false
none == none
missing == missing
missing == none
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
1 != 2
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2
1 < 'a'
none < 1
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
[1] < [1, 0]
{} < {}
1 in [1, 2]
3 in [1, 2]
'ell' in s
1 in s
'a' in d
'z' in d
'z' not in d
'a' in missing
1 in 5
none in [none]
[] in [[]]
1 == 1 in [true]
not 1 in [2]
1 and 2
0 and 2
0 or ''
0 or 'x'
1 or 2
yes and no or 3
'a' if yes
'a' if no
'a' if no else 'b'
'a' if no else 'b' if no else 'c'
('a' if no) is undefined
s[0]
s[-1]
s[7]
s[99]
s[1:4]
s[:3]
s[-3:]
s[::2]
s[::-1]
s[8:2:-2]
s[5:2]
s[0:99]
s[-99:3]
emoji[0]
emoji[::-1]
emoji[2:5]
emoji | length
list[0]
list[-1]
list[9]
list[1:]
list[::-1]
list[::-2]
list[5:0:-1]
list[:-1]
list[::0]
list['x']
list[true]
list[none:2]
nested[1][0]
nested[1].0
nested.1.1
d.b
d['b']
d.a[1].x
d['items']
d.missing
d.missing.more
d['missing']['more']
d.keys() | list
d.values() | list
d.items() | list
d.keys()
d.items()
d.get('b')
d.get('q')
d.get('q', 7)
d.get()
d.copy()
d.pop('b')
d.update({})
d.setdefault('z', 1)
list.append(1)
list.pop()
list.index(2)
list.index(9)
list.count(1)
list.sort()
n.x
n['x']
a.x
a.x.y
missing.x
missing['x']
missing()
a()
s.nothing
s.nothing()
s['upper']()
s['length']
[]
[1, 'a', none, true, 1.5, [], {}]
()
(1,)
(1, 2)
1, 2
{}
{'a': 1, 2: 'b', none: 3}
{'a': 1, 'a': 2}
{[1]: 2}
{(1, 2): 3}
[1, 2,]
{'a': 1,}
'it\'s'
"it's"
'say "hi"'
['it\'s']
['say "hi"']
['both \' and "']
['a\n\t\\\r']
['\x01\x7f\xa0é\u200b日👍']
'a\nb'
'\x41\u00e9\U0001F600\101\q'
'a' 'b' "c"
'{{ not a tag }}'
'%}'
s.upper()
s.lower()
s.title()
s.capitalize()
'ÀÉ ñ'.lower()
'àé ñ'.upper()
'they\'re bill\'s'.title()
t.strip()
t.lstrip()
t.rstrip()
'xxhixx'.strip('x')
'xyhiyx'.strip('xy')
'xyhiyx'.lstrip('xy')
'xyhiyx'.rstrip('xy')
'éaé'.strip('é')
'\u00a0\u2003a\u3000'.strip()
'a b  c '.split()
'a b  c '.split(' ')
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a,b,c'.rsplit(',')
' a b c '.split(none, 1)
' a b c '.rsplit(none, 1)
' a b c '.rsplit()
''.split()
''.split(',')
'abc'.split('')
'abc'.split('x')
'a</think>b</think>c'.split('</think>')[-1]
'a</think>b'.split('</think>')[0].split('<think>')[-1]
'a\nb\r\nc\rd'.splitlines()
'a\nb\n'.splitlines(true)
''.splitlines()
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.rpartition('=')
s.startswith('Hell')
s.startswith('hell')
s.startswith(('x', 'H'))
s.startswith(['x'])
s.startswith('ello', 1)
s.endswith('!')
s.endswith('d', 0, -1)
s.endswith(1)
s.find('w')
s.find('zz')
s.rfind('l')
s.find('l', 4)
s.find('l', -3)
s.find('')
s.find('', 99)
s.index('zz')
s.count('l')
s.count('')
'aaaa'.count('aa')
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('', '-')
'abc'.replace('', '-', 2)
''.replace('', 'x')
', '.join(['a', 'b'])
','.join('abc')
','.join([1])
','.join({'a': 1, 'b': 2})
'abc'.removeprefix('a')
'abc'.removesuffix('bc')
'abc'.removesuffix('')
'ab'.center(7, '*')
'ab'.center(5)
'abc'.center(6)
'ab'.ljust(5, '.')
'ab'.rjust(5)
'-42'.zfill(6)
'42'.zfill(1)
'abc'.isalpha()
'ab1'.isalpha()
'ab1'.isalnum()
'12'.isdigit()
''.isdigit()
' \n'.isspace()
'AB1'.isupper()
'ab1'.islower()
'12'.islower()
'日本'.isalpha()
'é'.isascii()
'{} and {}'.format(1, 'x')
'{0}{1}{0}'.format('a', 'b')
'{x:>5}|{y:<4}|{z:^5}|'.format(x=1, y='a', z='b')
'{:05d} {:.2f} {:,} {:x} {:#x} {:e} {:%}'.format(42, 3.14159, 1234567, 255, 255, 12345.678, 0.25)
'{!r} {{}}'.format('a')
'{:+d} {: d}'.format(5, 5)
'{:s}'.format('x')
'{:d}'.format('x')
'{}'.format()
'{}'.format([1, 'a'])
'{:.3}'.format('abcdef')
'{:*^9}'.format('mid')
'{:g} {:g} {:G}'.format(0.00001, 123456.0, 1e20)
'%s %d %5.2f|%-5s|%05d|%x|%%' % ('a', 3, 2.5, 'b', 42, 255)
'%s' % 'x'
'%s' % none
'%s' % [1, 2]
'%s %s' % 'x'
'%s' % ('x', 'y')
'%(a)s-%(b)d' % {'a': 'x', 'b': 2}
'%r' % 'x'
'%d' % 'x'
'%d' % 2.9
'%+d % d' % (1, 2)
'%e %g %G' % (12345.678, 0.0001, 1e-10)
'%c' % 'x'
'%5s|%-5s|%.2s' % ('ab', 'ab', 'abc')
'abc' % ()
'%s|%s' | format('a', 1)
'%(x)s' | format(x=3)
t | trim
'xxhix' | trim('x')
5 | trim
none | trim
missing | trim
s | upper
s | lower
s | title
s | capitalize
'hello-world foo(bar) it\'s' | title
s | length
s | count
list | length
d | length
missing | length
5 | length
list | join
list | join(', ')
words | join('-')
people | join(', ', attribute='name')
none | join
missing | join(',')
d | join(',')
'abc' | join('.')
missing | default('x')
missing | default
n | default('x')
n | default('x', true)
empty | d('x', boolean=true)
0 | default(7, true)
missing.x | default('q')
list | first
list | last
[] | first
[] | last
[] | first is undefined
'abc' | first
'abc' | last
'' | first
list | list
'abc' | list
d | list
5 | list
5 | string
s | string
none | string
missing | string
'42' | int
'42.7' | int
'x' | int
'x' | int(7)
'0x1A' | int(base=16)
'1010' | int(0, 2)
none | int
none | int(5)
42.9 | int
-42.9 | int
true | int
' 12 ' | int
'1_000' | int
[] | int
missing | int
'4.5' | float
'x' | float
'x' | float(1.5)
'1e3' | float
'inf' | float
'nan' | float
none | float
3 | float
-5 | abs
-5.5 | abs
'x' | abs
2.5 | round
3.5 | round
2.675 | round(2)
42.55 | round(1, 'floor')
42.55 | round(1, 'ceil')
42 | round
1234 | round(-2)
1250.0 | round(-2)
[1, 2, 3.5] | sum
[] | sum
people | sum(attribute='age')
[1, 2] | sum(start=10)
['a'] | sum
[3, 1, 2] | min
[3, 1, 2] | max
words | min
words | max
words | max(case_sensitive=true)
people | min(attribute='age')
[] | min
list | sort
list | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
words | sort(true)
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age,name', reverse=true) | map(attribute='name') | list
people | sort(attribute='address.city') | map(attribute='name') | list
[1, 'a'] | sort
words | unique | list
words | unique(true) | list
[1, 1.0, 2, true] | unique | list
people | unique(attribute='age') | map(attribute='name') | list
list | reverse | list
'abc' | reverse
list | reverse | first
people | map(attribute='name') | list
people | map(attribute='address.city') | list
people | map(attribute='tags', default='none') | list
people | map(attribute='tags.0', default='-') | list
people | map('length') | list
words | map('upper') | join(' ')
words | map('replace', 'p', 'P') | list
words | map('nope') | list
words | map(attribute=0) | list
words | map | list
list | select('odd') | list
list | select('gt', 1) | list
[0, 1, '', 'a', none] | select | list
list | reject('even') | list
[0, 1, '', 'a', none] | reject | list
people | selectattr('tags') | map(attribute='name') | list
people | selectattr('age', 'equalto', 31) | map(attribute='name') | list
people | selectattr('age', '==', 27) | map(attribute='name') | list
people | selectattr('tags', 'defined') | map(attribute='name') | list
people | rejectattr('age', 'lt', 30) | map(attribute='name') | list
people | selectattr('name', 'in', ['Ann', 'Cid']) | list | length
people | selectattr('age', 'nope') | list
messages | selectattr('role', 'equalto', 'user') | list | last
messages | rejectattr('role', 'eq', 'system') | first
(messages | selectattr('role', 'eq', 'nobody')) is true
('x' if messages | selectattr('role', 'eq', 'nobody') else 'y')
messages | selectattr('role', 'eq', 'nobody') | length
messages | map(attribute='role') | join(',')
d | items | list
missing | items | list
d | dictsort
{'B': 2, 'a': 1, 'C': 0} | dictsort
{'B': 2, 'a': 1, 'C': 0} | dictsort(true)
{'B': 2, 'a': 1, 'C': 0} | dictsort(by='value')
{'B': 2, 'a': 1, 'C': 0} | dictsort(reverse=true)
{'B': 2} | dictsort(by='x')
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 'x') | list
people | groupby('age') | map('first') | list
people | groupby('address.city') | map('last') | map('length') | list
people | groupby('tags', default=[]) | length
d | tojson
d | tojson(indent=2)
d | tojson(sort_keys=true)
d | tojson(ensure_ascii=true)
d | tojson(indent=4, sort_keys=true)
d | tojson(separators=(',', ':'))
d | tojson(false, 2, (';', '='))
[] | tojson(indent=2)
{} | tojson(indent=2)
{1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson
[1, 1.0, 1e20, -0.0, true, none, 'a"\\/\n\t\x01\x7f'] | tojson
emoji | tojson
emoji | tojson(ensure_ascii=true)
'<&>' | tojson
(1, 2) | tojson
missing | tojson
range(3) | tojson
d.items() | tojson
[[1, [2]], {'a': {}}] | tojson(indent=1)
{'a': [1]} | tojson(indent='\t')
html | e
html | escape
html | safe
5 | e
'a\nb\n\nc' | indent
'a\nb\n\nc' | indent(2, true)
'a\nb\n\nc' | indent(2, false, true)
'a\nb' | indent('> ')
'a\nb\n' | indent(1)
'' | indent(2, true)
'one two three' | wordcount
'a long enough sentence to cut' | truncate(12)
'a long enough sentence to cut' | truncate(12, true)
'a long enough sentence to cut' | truncate(12, true, '')
'short' | truncate(3)
'ab' | center(6)
d | attr('b')
a is defined
missing is defined
missing is not defined
d.x is defined
missing.x is defined
missing is undefined
n is none
n is not none
a is none
s is string
a is string
d is mapping
list is mapping
list is sequence
s is sequence
d is sequence
a is sequence
missing is sequence
range(2) is sequence
d.items() is sequence
list is iterable
a is iterable
missing is iterable
d.items() is iterable
a is number
b is number
yes is number
s is number
a is integer
yes is integer
b is integer
b is float
yes is boolean
a is boolean
yes is true
a is true
no is false
n is false
a is callable
range is callable
s.upper is callable
3 is odd
4 is even
4 is odd
2.0 is even
's' is even
9 is divisibleby 3
9 is divisibleby(2)
9 is divisibleby 0
a is eq 1
a is equalto(1)
a is ne 1
a is lt 2
a is gt 2
a is ge 1
a is in [1, 2]
a is not in [1, 2]
'a' is in 'abc'
a is sameas 1
n is sameas none
1 is sameas true
'ab' is lower
'AB' is upper
'Ab' is lower
'upper' is filter
'nope' is filter
'even' is test
a is defined and b is defined
a is string or b is float
a is not string and not b is string
a is string is true
'x' if a is defined else 'y'
messages[0].role == 'system' and messages[0].content is string
5 % 2 is odd
range(3) | list
range(1, 10, 3) | list
range(5, 0, -2) | list
range(0) | list
range(3)[1]
range(3)[-1]
range(2, 5) | length
range(3) == range(3)
range(100001) | length
range(1, 2, 0)
range()
range('a')
dict(a=1, b=2)
dict({'x': 1}, y=2)
dict([('a', 1)])
dict(1)
dict(d)['b']
namespace(a=1).a
namespace(a=1).b
namespace({'q': 2}).q
namespace()
raise_exception('no ' ~ 'way')
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%dT%H:%M:%S %A %B %a %j %y %p %I')
strftime_now('%-d/%-m %e %%')
loop
loop is defined
[1, 2, 3] | map('string') | map('int') | sum
(list | sort)[0]
(1 if yes else 2) + 1
-list[0]
-1 | abs
(-1) | abs
1 ~ 2 + 3
'a' ~ 'b' * 2
1 + 1 ~ 1 + 1
a == 1 and s[0] == 'H' and 'ö' in s
messages[-1]['role']
messages[1:] | length
messages[::-1][0].content
messages | length - 1
messages[2].content.split('</think>')[-1].lstrip('\n')
('</think>' in messages[2].content)
messages[2].content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
{'type': 'function', 'function': {'name': 'f', 'parameters': {}}} | tojson
[none, missing]
[missing] | join('-')
{'a': missing}
(missing ~ 'x')
(1, [2, (3,)], {'k': (4, 5)})
nested | map('join', '-') | list
nested | map('first') | list
nested | sum(start=[])
*list
dict(**d)['b']
range(*[1, 4]) | list
'%s-%s'.format(1)
'abc'[1]
'abc'[1:][0]
'abc'.upper().lower().title()
('a', 'b')[1]
{'a': 1}['a']
{'a': 1}.a
{'a': {'b': [5]}}.a.b[0]
[] or {} or 'last'
1 if [] else 2
0.1
100000000000000000.0
3.0e0
1.e
.5
1e
'unterminated
(1
[1
{'a' 1}
1 +
* 2
a b
a |
a | nope
a is nope
a is
a.
a[
a[1:2:3:4]
{%
not
if
'a' if
a = 1
a == 
@
"""

TEMPLATES = [
    "",
    "\n",
    "a\n",
    "a\n\n",
    "a\r\nb\rc\r\n",
    "plain { text } # % with braces",
    "{{ 'x' }}\n",
    "{{ 'x' }}\n\n",
    "{# comment #}x",
    "x {# multi\nline #} y",
    "{#- a -#}  x  {#- b -#}",
    "  {# c #}\nx",
    "a {# unclosed",
    "{% raw %}{{ x }} {% if %}{% endraw %}",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  y",
    "  {% raw %}\n x {% endraw %}\n y",
    "a\n  {% raw %}b{% endraw %}\n",
    "{% raw %}unclosed",
    "{% if yes %}\nA\n{% endif %}\nB",
    "  {% if yes %}\n  A\n  {% endif %}\n  B",
    "x  {% if yes %}A{% endif %}  y",
    "{%+ if yes %}A{%+ endif %}",
    "  {%+ if yes %}A\n  {%+ endif %}\nB",
    "{% if yes +%}\nA{% endif +%}\nB",
    "a \n {%- if yes -%} \n b \n {%- endif -%} \n c",
    "a {{- 'b' -}} c",
    "a {{- ' b ' -}} \n c",
    "\n\n  {%- if yes %} x{% endif %}",
    "a\n  {{ a }}\n  {% if yes %}\nb{% endif %}",
    "{% if yes %}  \n{% endif %}",
    "\t{% if yes %}\ttab\n\t{% endif %}\n",
    "{%if yes%}tight{%endif%}",
    "{% if yes %}{% if no %}1{% else %}2{% endif %}{% endif %}",
    "{% if no %}1{% elif a == 1 %}2{% elif yes %}3{% else %}4{% endif %}",
    "{% if no %}1{% elif no %}2{% else %}3{% endif %}",
    "{% if missing %}1{% else %}2{% endif %}",
    "{% if missing.x %}1{% endif %}",
    "{% if a %}",
    "{% endif %}",
    "{% if %}x{% endif %}",
    "{% if a, b %}x{% endif %}",
    "{% nope %}",
    "{% if yes %}{% else %}{% elif a %}{% endif %}",
    "{% for x in list %}{{ x }},{% endfor %}",
    "{% for x in list %}\n{{ x }}\n{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}",
    "{% for x in missing %}a{% else %}none{% endfor %}",
    "{% for x in none %}a{% endfor %}",
    "{% for x in 5 %}a{% endfor %}",
    "{% for c in 'héy' %}[{{ c }}]{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d | items %}{{ k }}={{ v }};{% endfor %}",
    "{% for (k, v) in d.items() %}{{ k }};{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for a, b in [1] %}{{ a }}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in list %}{{ loop.previtem is defined }},{{ loop.nextitem is defined }};{% endfor %}",
    "{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ x if loop.changed(x) }}{% endfor %}",
    "{% for x in list %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.nope }}{% endfor %}",
    "{% for x in list if x > 1 %}{{ x }}{{ loop.index }}/{{ loop.length }};{% endfor %}",
    "{% for x in list if x > 9 %}{{ x }}{% else %}empty{% endfor %}",
    "{% for x in list %}{% for y in list %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in list %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ y }}{% endfor %}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in list %}{% break %}{% else %}else{% endfor %}",
    "{% break %}",
    "{% for x in list | reverse %}{{ x }}{{ loop.length }}{% endfor %}",
    "{% for x in list[::-1] %}{{ x }}{% endfor %}",
    "{% for x in range(3) %}{{ x }}{% endfor %}",
    "{% for x in nested recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in list %}{{ loop(x) }}{% endfor %}",
    "{% for x in list %}{{ x }}{% endfor %}{{ x }}",
    "{% for true in list %}{% endfor %}",
    "{% for x in list %}",
    "{% for x %}{% endfor %}",
    "{% set x = 1 %}{{ x }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set x, y = 1, 2 %}{{ x }}{{ y }}",
    "{% set x, y = 'ab' %}{{ x }}{{ y }}",
    "{% set x, y = [1] %}{{ x }}",
    "{% set x = 1 %}{% for i in list %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% if yes %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% set x %}body {{ a }}{% endset %}[{{ x }}]",
    "{% set x | upper %}body {{ a }}{% endset %}[{{ x }}]",
    "{% set x | replace('b', 'B') | trim %} body {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% set ns = namespace(x=0) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% set ns = namespace() %}{% set ns.a %}x{% endset %}{{ ns.a }}{{ ns.b }}{{ ns.b is defined }}",
    "{% set ns = namespace(a=1) %}{{ ns }}",
    "{% set ns = namespace(a=1) %}{{ ns['a'] }}{{ ns['zz'] }}",
    "{% set d.x = 1 %}",
    "{% set missing.x = 1 %}",
    "{% set x = missing %}{{ x is defined }}",
    "{% set loop = 1 %}{{ loop }}",
    "{% set %}",
    "{% set x = %}",
    "{% set x += 1 %}",
    "{% with x = 1, y = 2 %}{{ x + y }}{% endwith %}{{ x }}",
    "{% set x = 1 %}{% with x = 2, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% macro m(x, y=2) %}{{ x }}-{{ y }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(y=1, x=0) }} {{ m() }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, x=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(4) }}",
    "{% macro m() %}{{ later }}{% endmacro %}{% set later = 5 %}{{ m() }}",
    "{% macro m() %}{% set x = 9 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{{ x }}",
    "{% macro m(x=a) %}{{ x }}{% endmacro %}{{ m() }}",
    "{% macro m(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ m(3) }}",
    "{% macro m(x=1, y) %}{% endmacro %}",
    "{% macro m() %} x {% endmacro %}[{{ m() | trim }}]{{ m() | length }}",
    "{% macro m() -%}\n x\n{%- endmacro %}[{{ m() }}]",
    "{% macro m() %}{{ caller() }}!{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(x, y) m() %}{{ x + y }}{% endcall %}",
    "{% macro m() %}none{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{{ m.name }}{% endmacro %}{{ m.name }}",
    "{% macro outer() %}{% macro inner() %}in{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }}",
    "{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% generation %}x{{ a }}{% endgeneration %}",
    "{% generation %}{% set q = 1 %}{% endgeneration %}{{ q is defined }}",
    "{% print a %}{% print 'x', 'y' %}",
    "{{ raise_exception('stop') }}",
    "{% if messages[0]['role'] != 'user' %}{{ raise_exception('After the optional system message') }}{% endif %}",
    "{{ a }}}}",
    "{{ {'a': {'b': 1}} }}",
    "{{ {'a': {'b': 1}}}}",
    "{{'}}'}}",
    "{{ a",
    "{{ }}",
    "{% %}",
    "{{ a }",
    "{{ (a }}",
    "{{ a) }}",
    "{{ [a) }}",
    "{%- for message in messages -%}\n  {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n{%- endfor -%}",
    "{% for m in messages %}{{ m['content'] | trim + eos }}{% endfor %}",
    "{% for m in messages %}{{ '[' ~ m.role ~ ']' }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{%- set ns = namespace(last=messages | length - 1, multi=true) %}{%- for m in messages[::-1] %}{%- set index = (messages | length - 1) - loop.index0 %}{%- if ns.multi and m.role == 'user' %}{%- set ns.multi = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}{{ ns.last }}",
    "{% set g = list | map('string') %}{{ g | list }}{{ g | list }}",
    "{% set g = list | reverse %}{{ g | first }}{{ g | first }}{{ g | list }}",
    "{% set g = list | select('odd') %}{{ 3 in g }}{{ 3 in g }}",
    "{% for x in list | map('string') %}{{ loop.last }}{% endfor %}",
    "{% set x = 5 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 6 %}{{ m() }}",
    "{% set text = '' %}{% for w in words %}{% set text = text ~ w %}{% endfor %}[{{ text }}]",
    "{{ \"\n\" }}|{{ 'a\n b' }}",
    "{{ a -}}\n\n{%- if yes -%}\n x\n{%- endif -%}\n\n{{- b }}",
    "\n  {#- x -#}\n y",
    "{{ '' }}{% if yes %}\n{% endif %}\n  {% if yes %}q{% endif %}",
    "é{% if yes %}ü{% endif %}\u2028{% if yes %}x{% endif %}",
    "{{- a }}\n{{+ a }}",
    "{% set x = 'a' if yes else 'b' %}{{ x }}",
    "{% if 'a' in d and d.a is iterable and d.a is not string %}{{ d.a | length }}{% endif %}",
    "{% if not (a is defined and a == 2) %}x{% endif %}",
    "{% if a is defined and a is not none %}{% if a > 0 %}pos{% endif %}{% endif %}",
    "{% for p in people %}{{ p.name }}: {{ p.tags | default(['-']) | join('/') }}{{ '\\n' if not loop.last }}{% endfor %}",
    "{% for age, group in people | groupby('age') %}{{ age }}:{{ group | length }};{% endfor %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% do a %}",
]


def main():
    environment = make_environment()
    cases = []
    templates = ["{{ " + line + " }}" for line in EXPRESSIONS.strip("\n").split("\n")] + TEMPLATES
    for template in templates:
        try:
            text = render(environment, template, CONTEXT)
        except Exception:
            text = None
        cases.append([template, text])
    path = pathlib.Path(__file__).with_name("language.json")
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    context = json.dumps(CONTEXT, ensure_ascii=False)
    path.write_text(f'{{"context": {context},\n"cases": [\n{lines}\n]}}\n')
    failing = sum(text is None for _, text in cases)
    print(f"{len(cases)} cases, {failing} of which fail")


if __name__ == "__main__":
    main()
