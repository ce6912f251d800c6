"""Every problem has file, line, column and a way to mend it; all come at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.documents import read_text
from headwater.errors import ProjectError, ProjectErrors
from headwater.plugins import list_kinds
from headwater.project.loader import load_project

from ..conftest import ORDERS, Files

Errors = Callable[..., list[str]]


def source(table: str, more: str = "") -> Files:
    """A source file with one table whose body is given."""
    return {"sources/shop.yaml": f"kind: files\n{more}tables:\n  orders: {table}\n"}


CASES: dict[str, tuple[Files, list[str]]] = {
    "two models of a name": (
        {"models/marts/a.sql": "select 1 as x", "models/marts/deep/a.sql": "select 2 as x"},
        ["models/marts/deep/a.sql:1: two models are named marts.a: the other is models/marts/a.sql\n"
            "  fix: rename one file"],
    ),
    "two sources of a name": (
        {"sources/shop.yaml": ORDERS, "sources/eu/shop.yaml": ORDERS},
        ["sources/shop.yaml:1: two sources are named shop: the other is sources/eu/shop.yaml\n  fix: rename one file"],
    ),
    "a namespace with two owners": (
        {"sources/shop.yaml": ORDERS, "models/shop/a.sql": "select 1 as x"},
        ["models/shop/a.sql:1: the namespace shop belongs to the source shop (sources/shop.yaml:3:3) and to the "
            "folder models/shop\n"
            "  fix: rename one; names that differ only in case are the same"],
    ),
    "namespaces that differ only in case": (
        {"models/marts/a.sql": "select 1 as x", "models/Marts/b.sql": "select 1 as x"},
        ["models/marts/a.sql:1: the namespace marts belongs to the folder models/Marts (models/Marts/b.sql:1) "
            "and to the folder models/marts\n"
            "  fix: rename one; names that differ only in case are the same"],
    ),
    "names that differ only in case": (
        {"models/marts/a.sql": "select 1 as x", "models/marts/A.sql": "select 1 as x"},
        ["models/marts/a.sql:1: marts.a and marts.A differ only in case\n  fix: rename one"],
    ),
    "a reserved namespace": (
        {"models/system/a.sql": "select 1 as x"},
        ["models/system/a.sql:1: the namespace system is reserved\n  fix: choose another name"],
    ),
    "two underscores in a name": (
        {"models/marts/a__b.sql": "select 1 as x"},
        ["models/marts/a__b.sql:1: marts.a__b: `__` or a dot in a name\n  fix: use single underscores"],
    ),
    "a dot in a name": (
        {"models/marts/a.v2.sql": "select 1 as x"},
        ["models/marts/a.v2.sql:1: marts.a.v2: `__` or a dot in a name\n  fix: use single underscores"],
    ),
    "an unknown input": (
        {"sources/shop.yaml": ORDERS, "models/marts/a.sql": "select *\n  from shop.order"},
        ["models/marts/a.sql:2:8: marts.a reads shop.order, which nothing declares\n"
            "  fix: did you mean 'shop.orders'?"],
    ),
    "a file read by its name": (
        {"models/marts/a.sql": "select * from 'orders.csv'"},
        ["models/marts/a.sql:1:15: marts.a reads main.orders.csv, which nothing declares\n  fix: known: marts.a"],
    ),
    "a reading function": (
        {"models/marts/a.sql": "select *\nfrom read_csv('orders.csv')"},
        ["models/marts/a.sql:2:6: read_csv() reads data that no source declares\n"
            "  fix: declare it in sources/ and name the dataset here"],
    ),
    "a cycle": (
        {"models/m/a.sql": "from m.b", "models/m/b.sql": "from m.c", "models/m/c.sql": "from m.a"},
        ["models/m/a.sql:1: a cycle: m.a reads m.b reads m.c reads m.a\n"
            "  fix: one of these models must not read the next"],
    ),
    "a model that reads itself": (
        {"models/m/a.sql": "from m.a"},
        ["models/m/a.sql:1: a cycle: m.a reads m.a\n  fix: one of these models must not read the next"],
    ),
    "an unknown kind": (
        {"sources/shop.yaml": "kind: filez\ntables: {}\n"},
        ["sources/shop.yaml:1:1: unknown kind 'filez'\n  fix: did you mean 'files'?"],
    ),
    "no kind": (
        {"sources/shop.yaml": "tables: {a: {path: x.csv}}\n"},
        [f"sources/shop.yaml:1: `kind` is missing\n  fix: known: {', '.join(list_kinds('sources'))}"],
    ),
    "no tables": (
        {"sources/shop.yaml": "kind: files\n"},
        ["sources/shop.yaml:1: `tables` is missing\n  fix: name the tables: tables: {orders: {…}}"],
    ),
    "a table that is no mapping": (
        source("in/*.csv"),
        ["sources/shop.yaml:3:3: orders: a table is a mapping\n  fix: write orders: {…}"],
    ),
    "a word where a mapping belongs": (
        {"sources/api.yaml": "kind: rest\nconnection: https://x.org\nrate: 10\ntables: {t: {path: /t}}\n"},
        ["sources/api.yaml:3:1: rate: '10' is no mapping\n  fix: write {requests: …, per: …}"],
    ),
    "deletes of files that are loaded one by one": (
        {"sources/f.yaml": "kind: files\ntables:\n  t:\n    path: in/*.csv\n    load: incremental\n    key: id\n"
            "    deletes: compare_keys\n"},
        ["sources/f.yaml:7:5: t: deletes: compare_keys of an incremental load needs the keys that are there, and files "
            "lists none\n  fix: use load: full, or leave deletes out"],
    ),
    "deletes of logs, which are incremental": (
        {"sources/l.yaml": "kind: logs\ntables:\n  t: {path: a.log, format: combined, key: ip, into: warehouse,\n"
            "      deletes: soft_flag}\n"},
        ["sources/l.yaml:4:7: t: deletes: soft_flag of an incremental load needs the keys that are there, and logs "
            "lists none\n  fix: use load: full, or leave deletes out"],
    ),
    "a query without a log": (
        {"sources/pg.yaml": "kind: postgres\nconnection: {host: h}\ntables:\n  t: {query: select 1, key: id,\n"
            "      load: cdc}\n"},
        ["sources/pg.yaml:5:7: t: load: cdc follows the log of a table, and a query has none\n"
            "  fix: name a table instead of query, or use load: incremental"],
    ),
    "an incremental load of a database without cursor and key": (
        {"sources/db.yaml": "kind: sqlite\npath: x.db\ntables:\n  t: {load: incremental}\n  u: {load: incremental, "
            "key: id}\n  v: {load: incremental, cursor: at}\n"},
        ["sources/db.yaml:4:7: t: load: incremental, and nothing shows which rows are new\n"
            "  fix: add cursor: a column that grows; or key: what a row is merged by; or load: full"],
    ),
    "a parent that is no table of its source, and parents in a circle": (
        {"sources/api.yaml": "kind: rest\nconnection: https://x.org\ntables:\n  a: {path: /a}\n"
            "  b: {path: '/a/{parent.id}', parent: {table: nix}}\n  c: {path: '/{parent.id}', parent: d}\n"
            "  d: {path: '/{parent.id}', parent: c}\n"},
        ["sources/api.yaml:5:3: table 'b' has the parent 'nix', which is no table of this source\n"
            "  fix: set parent to one of: a, c, d",
         "sources/api.yaml:6:3: the parents of 'c' go in a circle: c > d > c\n  fix: mend parent",
         "sources/api.yaml:7:3: the parents of 'd' go in a circle: d > c > d\n  fix: mend parent"],
    ),
    "an unknown word in headwater.yaml": (
        {"headwater.yaml": "name: demo\nstore: {}\n"},
        ["headwater.yaml:2:1: unknown word 'store'\n  fix: did you mean 'stores'?"],
    ),
    "an unknown word deeper in headwater.yaml": (
        {"headwater.yaml": "name: demo\nstores:\n  warehouse:\n    pth: x\n"},
        [
            "headwater.yaml:3:3: 'path' is missing\n  fix: add `path: …` here",
            "headwater.yaml:4:5: unknown word 'pth'\n  fix: did you mean 'path'?",
        ],
    ),
    "an unknown word of a connection": (
        source("{path: x.csv}", "pth: x\n"),
        ["sources/shop.yaml:2:1: unknown word 'pth'\n  fix: did you mean 'path'?"],
    ),
    "an unknown word of a table": (
        source("{path: x.csv, curser: id}"),
        ["sources/shop.yaml:3:25: unknown word 'curser'\n  fix: did you mean 'cursor'?"],
    ),
    "an alias is known by its own name only": (
        source("{path: x.csv, schema_policy: freeze}"),
        ["sources/shop.yaml:3:25: unknown word 'schema_policy'\n  fix: did you mean 'schema'?"],
    ),
    "an unknown word in a rule": (
        source("{path: x.csv, prepare: [{trimm: all}]}"),
        [
            "sources/shop.yaml:3:36: unknown word 'trimm'\n  fix: did you mean 'trim'?",
        ],
    ),
    "an unknown word of a column": (
        source("{path: x.csv, columns: {id: {typ: bigint}}}"),
        ["sources/shop.yaml:3:40: unknown word 'typ'\n  fix: did you mean 'type'?"],
    ),
    "an unknown word of a check": (
        {"models/m/a.sql": "/* headwater\nchecks:\n  - row_count: {minn: 1}\n*/\nselect 1 as id"},
        ["models/m/a.sql:3:17: unknown word 'minn'\n  fix: did you mean 'min'?"],
    ),
    "an unknown check": (
        {"models/m/a.sql": "/* headwater\nchecks:\n  - unik: [id]\n*/\nselect 1 as id"},
        ["models/m/a.sql:3:5: unknown word 'unik'\n  fix: did you mean 'unique'?"],
    ),
    "an unknown word in a header": (
        {"models/m/a.sql": "\n/* headwater\ndescription: x\n\nmaterialise: view\n*/\nselect 1 as id"},
        ["models/m/a.sql:5:1: unknown word 'materialise'\n  fix: did you mean 'materialize'?"],
    ),
    "an unknown value in a header": (
        {"models/m/a.sql": "/* headwater\nmaterialize: tabel\n*/\nselect 1 as id"},
        ["models/m/a.sql:2:1: materialize: 'tabel' is not known\n  fix: did you mean 'table'?"],
    ),
    "an unknown word in a unit test": (
        {"models/m/a.sql": "select 1 as id", "tests/a.yaml": "model: m.a\nexpected: []\n"},
        [
            "tests/a.yaml:1: 'expect' is missing\n  fix: add `expect: …` here",
            "tests/a.yaml:2:1: unknown word 'expected'\n  fix: did you mean 'expect'?",
        ],
    ),
    "a unit test of no model": (
        {"models/m/orders.sql": "select 1 as id", "tests/a.yaml": "model: m.order\nexpect: []\n"},
        ["tests/a.yaml:1:1: no model is named m.order\n  fix: did you mean 'm.orders'?"],
    ),
    "a unit test that gives what the model does not read": (
        {
            "sources/shop.yaml": ORDERS,
            "models/m/a.sql": "select id from shop.orders",
            "tests/a.yaml": "model: m.a\ngiven:\n  shop.order: []\nexpect: []\n",
        },
        ["tests/a.yaml:3:3: m.a reads no dataset named shop.order\n  fix: did you mean 'shop.orders'?"],
    ),
    "a type that is none": (
        source("{path: x.csv, columns: {id: bigit}}"),
        ["sources/shop.yaml:3:35: columns.id.type: 'bigit' is not a type\n  fix: did you mean 'BIGINT'?"],
    ),
    "a number that is none": (
        {"headwater.yaml": "name: demo\nengine: {threads: many}\n"},
        ["headwater.yaml:2:10: engine.threads: Input should be a valid integer, unable to parse string as an integer\n"
            "  fix: given: 'many'"],
    ),
    "a duration that is none": (
        source("{path: x.csv, load: incremental, cursor: id, lag: 5 minutes}"),
        ["sources/shop.yaml:3:56: lag: '5 minutes' is not a duration; write a number and a unit, like 30s, 5m, "
            "26h or 3d\n"
            "  fix: given: '5 minutes'"],
    ),
    "words that do not fit together": (
        {"models/m/a.sql": "/* headwater\nmaterialize: snapshot\n*/\nselect 1 as id"},
        ["models/m/a.sql:2: materialize: snapshot needs a `key`"],
    ),
    "a stored view": (
        {"models/m/a.sql": "/* headwater\nmaterialize: view\nstore: lakehouse\n*/\nselect 1 as id"},
        ["models/m/a.sql:2: a view lives in no store of its own; drop `store`, or use materialize: table"],
    ),
    "a check of no column": (
        {"models/m/a.sql": "/* headwater\nchecks: [{pattern: a+}]\n*/\nselect 1 as id"},
        ["models/m/a.sql:2: the check pattern needs a column; write it at the column, or add column: …"],
    ),
    "a relationship to nothing": (
        {
            "sources/shop.yaml": ORDERS,
            "models/m/a.sql": "/* headwater\nchecks: [{relationship: {to: shop.order, field: id}, column: "
                "id}]\n*/\nselect 1 as id",
        },
        ["models/m/a.sql:2: a relationship to shop.order, which nothing declares\n  fix: did you mean 'shop.orders'?"],
    ),
    "a check that reads another dataset": (
        {"models/m/a.sql": "/* headwater\nchecks: [{sql: select * from this join m.b using (x)}]\n*/\nselect 1 as x"},
        ["models/m/a.sql:2: a check of m.a reads m.b\n  fix: only `this` can be read in a check's SQL"],
    ),
    "a check that is no SELECT": (
        {"models/m/a.sql": "/* headwater\nchecks: [{sql: delete from this}]\n*/\nselect 1 as x"},
        [
            "models/m/a.sql:2: a check's SQL: a model is one SELECT; this is another kind of statement\n"
            "  fix: write one SELECT of the rows that are wrong, from this"
        ],
    ),
    "a header that is not ended": (
        {"models/m/a.sql": "/* headwater\nmaterialize: view\nselect 1 as id"},
        ["models/m/a.sql:1: the comment /* headwater is not ended; end it with a line that is only */\n"
            "  fix: /* headwater and */ each stand on a line"],
    ),
    "a header beside its opening": (
        {"models/m/a.sql": "/* headwater materialize: view\n*/\nselect 1 as id"},
        ["models/m/a.sql:1: YAML beside /* headwater; begin it on the next line\n"
            "  fix: /* headwater and */ each stand on a line"],
    ),
    "no SELECT": (
        {"models/m/a.sql": "/* headwater\n*/\n-- nothing\n"},
        ["models/m/a.sql: a model is one SELECT; this file is empty\n  fix: write one SELECT without a second one"],
    ),
    "two SELECTs": (
        {"models/m/a.sql": "select 1 as x; select 2 as x;"},
        ["models/m/a.sql: a model is one SELECT; this file holds 2 statements\n"
            "  fix: write one SELECT without a second one"],
    ),
    "no query": (
        {"models/m/a.sql": "create table x as select 1"},
        ["models/m/a.sql: a model is one SELECT; this is another kind of statement\n"
            "  fix: write a SELECT; Headwater creates the table (a PIVOT statement: use the clause FROM t PIVOT (…))"],
    ),
    "a syntax error": (
        {"models/m/a.sql": "/* headwater\nmaterialize: view\n*/\nselect 1 as x,\n  from where"},
        ["models/m/a.sql:5:8: SQL: syntax error at or near \"where\"\n  fix: mend the query's syntax"],
    ),
    "an unknown variable": (
        {"headwater.yaml": "name: demo\nvars: {first_day: 2024-01-01}\n", "models/m/a.sql": "select 1 as "
            "x\nwhere '$x' < $firstday"},
        ["models/m/a.sql:2:14: unknown variable $firstday\n"
            "  fix: did you mean 'first_day'? or add it to vars in headwater.yaml"],
    ),
    "a variable named like the clock": (
        {"headwater.yaml": "name: demo\nvars:\n  now: 2024-01-01\n"},
        ["headwater.yaml:3:3: $now is Headwater's own and cannot be a variable\n  fix: choose another name"],
    ),
    "a variable without a literal": (
        {"headwater.yaml": "name: demo\nvars:\n  a: {b: 1}\n  c: {value: 1, type: intt}\n  d: 2024-02-30\n",
            "models/m/a.sql": "select $a as a, $c as c, $d as d",
        },
        [
            "headwater.yaml:3:3: a: {'b': 1} cannot be written as a SQL literal\n"
                "  fix: write a number, a text, a list, or {value: …, type: …}",
            "headwater.yaml:4:3: c: 'intt' is not a type\n"
                "  fix: write a number, a text, a list, or {value: …, type: …}",
            "headwater.yaml:5:3: d: day is out of range for month\n"
                "  fix: write a number, a text, a list, or {value: …, type: …}",
        ],
    ),
    "a variable of more digits than any store holds": (
        {"headwater.yaml": "name: demo\nvars:\n  a: 123456789012345678901234567890123456789\n"},
        ["headwater.yaml:3:3: a: 123456789012345678901234567890123456789 has more than 38 digits, the most that "
            "every store holds exactly\n  fix: write a number, a text, a list, or {value: …, type: …}"],
    ),
    "an interval where there is none": (
        {"models/m/a.sql": "select 1 as x\n where $interval_start < now()"},
        ["models/m/a.sql:2:8: $interval_start has a value only in a model with intervals\n"
            "  fix: use materialize: incremental with time, every and start"],
    ),
    "a folder that nothing reads yet": (
        {"apps/a.yaml": "kind: api\n", "apps/.keep": ""},
        ["apps/a.yaml: nothing reads the folder apps/ in this version\n  fix: move it out of the project"],
    ),
    "a schema file of an unknown table": (
        {"sources/shop.yaml": ORDERS, "sources/shop.schema.yaml": "order:\n  columns: {id: bigint}\n"},
        ["sources/shop.schema.yaml:1:1: unknown table 'order'\n  fix: did you mean 'orders'?"],
    ),
    "a schema file with an unknown word": (
        {"sources/shop.yaml": ORDERS, "sources/shop.schema.yaml": "orders:\n  colums: {id: bigint}\n  columns: "
            "{id: bigit}\n"},
        [
            "sources/shop.schema.yaml:2:3: unknown word 'colums'\n  fix: did you mean 'columns'?",
            "sources/shop.schema.yaml:3:13: columns.id.type: 'bigit' is not a type\n  fix: did you mean 'BIGINT'?",
        ],
    ),
    "a schema file without its source": (
        {"sources/shop.schema.yaml": "orders:\n  columns: {id: bigint}\n"},
        ["sources/shop.schema.yaml:1: a schema file without its source\n  fix: name it like the source's file"],
    ),
    "a schema file that is a list": (
        {"sources/shop.yaml": ORDERS, "sources/shop.schema.yaml": "- orders\n"},
        ["sources/shop.schema.yaml:1: a schema file maps tables to columns\n  fix: write orders: {columns: {…}}"],
    ),
    "a tab as indentation": (
        {"headwater.yaml": "name: demo\nstores:\n\twarehouse: {path: x}\n"},
        ["headwater.yaml:3:1: a tab as indentation\n  fix: indent with spaces"],
    ),
    "a key twice": (
        {"headwater.yaml": "name: demo\nvars:\n  a: 1\n  b: 2\n  a: 3\n"},
        ["headwater.yaml:5:3: the key 'a' stands twice (first in line 3)\n  fix: keep one"],
    ),
    "a tag": (
        {"headwater.yaml": "name: !secret demo\n"},
        ["headwater.yaml:1:7: the tag !secret is not known\n  fix: write the value without a tag"],
    ),
    "a tagged mapping": (
        {"headwater.yaml": "name: demo\nvars: !env {a: 1}\n"},
        ["headwater.yaml:2:7: the tag !env is not known\n  fix: write the value without a tag"],
    ),
    "an alias in itself": (
        {"headwater.yaml": "name: demo\nvars: &v {a: [*v]}\n"},
        ["headwater.yaml:2:7: an alias stands within what it names\n  fix: write the value out"],
    ),
    "a key that is a list": (
        {"headwater.yaml": "name: demo\n? [a]\n: 1\n"},
        ["headwater.yaml:2:3: a key is one word, not a list or a mapping\n  fix: write a plain key"],
    ),
    "no YAML": (
        {"headwater.yaml": "name: [demo\n"},
        ["headwater.yaml:2:1: not YAML: expected ',' or ']', but got '<stream end>'\n"
            "  fix: mend the syntax at this place"],
    ),
    "a character that YAML does not have": (
        {"headwater.yaml": "name: demo\nvars: {a: \x01}\n"},
        ["headwater.yaml:2: not YAML: the character '\\x01' is not allowed\n  fix: remove it"],
    ),
    "a list for a mapping": (
        {"headwater.yaml": "- name: demo\n"},
        ["headwater.yaml:1: a list of 1 is no mapping\n"
            "  fix: write {name: …, vars: …, stores: …, engine: …, defaults: …, environments: …}"],
    ),
    "an unquoted reference in a flow mapping": (
        source("{path: ${env:FOLDER}}"),
        ["sources/shop.yaml:3:19: an unquoted ${…} in a flow mapping is not YAML\n  fix: quote it: \"${env:NAME}\""],
    ),
    "a variable of the environment that is not set": (
        source('{path: "${env:HEADWATER_NO_SUCH}"}'),
        ["sources/shop.yaml:3:12: the environment variable HEADWATER_NO_SUCH is not set\n"
            "  fix: export HEADWATER_NO_SUCH=… or write it to .env"],
    ),
    "a file that is not there": (
        source('{path: "${file:secrets/path}"}'),
        ["sources/shop.yaml:3:12: the file secrets/path of ${file:secrets/path} is not there\n"
            "  fix: create it or mend the path"],
    ),
    "a reference of another kind": (
        source('{path: "${HOME}/x.csv"}'),
        ["sources/shop.yaml:3:12: ${HOME} refers to nothing\n  fix: write ${env:NAME} or ${file:PATH}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_problem_says_what_where_and_how_to_mend_it(case: str, errors_of: Errors) -> None:
    files, expected = CASES[case]
    assert errors_of(files) == expected


def test_all_problems_come_at_once_in_the_order_of_files_and_lines(errors_of: Errors) -> None:
    found = errors_of(
        {
            "headwater.yaml": "name: demo\nfoo: 1\nbar: 2\n",
        }
    )
    assert [text.partition(" ")[0] for text in found] == ["headwater.yaml:2:1:", "headwater.yaml:3:1:"]
    found = errors_of(
        {
            "headwater.yaml": "name: demo\nvars: {now: 1}\n",
            "sources/shop.yaml": "kind: files\ntables:\n  a: {path: x.csv, keyy: 1}\n  b: {pth: x.csv}\n",
            "models/m/b.sql": "select 1 as x from nowhere.at_all",
            "models/m/a.sql": "/* headwater\nfoo: 1\n*/\nselect $zzz",
            "models/m/c.py": "import",
            "tests/x.yaml": "model: m.a\nexpect: 1\n",
        }
    )
    assert [text.partition(" ")[0] for text in found] == [
        "headwater.yaml:2:8:",
        "models/m/a.sql:2:1:",
        "models/m/a.sql:4:8:",
        "models/m/b.sql:1:20:",
        "models/m/c.py:1:7:",
        "sources/shop.yaml:3:20:",
        "sources/shop.yaml:4:3:",
        "sources/shop.yaml:4:7:",
        "tests/x.yaml:2:1:",
    ]


def test_readers_of_what_is_broken_are_not_blamed(errors_of: Errors) -> None:
    found = errors_of(
        {
            "sources/shop.yaml": "kind: filez\n",
            "models/m/a.sql": "select * from shop.orders",
            "models/m/b.sql": "this is no sql",
            "models/m/c.sql": "select * from m.b, m.bb",
            "tests/of_b.yaml": "model: m.b\nexpect: []\n",
        }
    )
    assert [text.partition(" ")[0] for text in found] == [
        "models/m/b.sql:1:1:",
        "models/m/c.sql:1:20:",
        "sources/shop.yaml:1:1:",
    ]


def test_who_names_a_store_is_not_blamed_for_another_word(errors_of: Errors) -> None:
    files = {
        "headwater.yaml": "name: demo\nversion: 3\nstores:\n  gold: {kind: warehouse, path: data/gold.duckdb}\n",
        "models/marts/a.sql": "/* headwater\nstore: gold\n*/\nselect 1 as a\n",
    }
    assert [error.partition("\n")[0] for error in errors_of(files)] == ["headwater.yaml:2:1: unknown word 'version'"]


def test_a_test_may_give_what_is_below_a_view(errors_of: Errors) -> None:
    found = errors_of(
        {
            "sources/shop.yaml": ORDERS,
            "models/m/v.sql": "/* headwater\nmaterialize: view\n*/\nselect * from shop.orders",
            "models/m/a.sql": "select * from m.v",
            "tests/a.yaml": "model: m.a\ngiven: {shop.orders: [], m.v: [], m.a: []}\nexpect: []\n",
            "tests/b.yaml": "model: [\n",
        }
    )
    assert [text.partition("\n")[0] for text in found] == [
        "tests/a.yaml:2:35: m.a does not read m.a",
        "tests/b.yaml:2:1: not YAML: expected the node content, but found '<stream end>'",
    ]


def test_invalid_utf_8_is_told_with_its_line(write_project: Callable[[Files], Path]) -> None:
    folder = write_project({})
    for path in ("headwater.yaml", "models/m/a.sql", "models/m/b.py"):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_bytes() if file.exists() else b""
        file.write_bytes(b"# one\n# tw\xff\n")
        with pytest.raises(ProjectErrors) as caught:
            load_project(folder)
        assert str(caught.value) == f"{path}:2: not UTF-8: byte 0xff cannot be read\n  fix: save the file as UTF-8"
        file.write_bytes(before or b"select 1 as x") if path.endswith("yaml") else file.unlink()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"^models: cannot be read: Is a directory\n  fix: see its permissions$"):
        read_text(tmp_path, "models")


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no headwater.yaml in .* or above it\n  fix: `headwater init`"):
        load_project(tmp_path)


def test_the_project_is_found_from_a_folder_below(write_project: Callable[[Files], Path]) -> None:
    folder = write_project({"models/m/a.sql": "select 1 as x"})
    assert load_project(folder / "models" / "m").root == str(folder)
