"""SQL wherever a project holds some: a function that reaches elsewhere is an error with its place, as in a query."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.core.types import normalize_type

Errors = Callable[..., list[str]]
HEAD = "kind: files\ntables:\n  t:\n    path: in/*.csv\n    key: a\n    columns: {a: bigint, b: varchar}\n"

PLACES = {
    "reject_if": ("    reject_if: {{x: \"{}\"}}\n", "sources/s.yaml:7:17: "),
    "a column of prepare": ("    prepare:\n      - trim: b\n      - sql: {{c: \"{}\"}}\n", "sources/s.yaml:9:15: "),
    "the order of dedupe": ("    prepare: [{{dedupe: {{by: a, order: \"{}\"}}}}]\n", "sources/s.yaml:7:32: "),
    "a check": ("    checks:\n      - sql: \"select * from this where {} is null\"\n", "sources/s.yaml:3:3: "),
    "a check of a column": ("    checks: [{{sql: \"select {} from this\"}}]\n", "sources/s.yaml:3:3: "),
}  # fmt: skip

CALLS = [
    "getenv('HOME')", "(from read_text('/etc/passwd'))", "getvariable('hw_mask_0_inner')", "current_setting('threads')",
    "nextval('s')", "(select max(file) from glob('/*'))", "json_serialize_plan('select 1')", "read_csv('x')",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", PLACES)
def test_what_reaches_elsewhere_is_refused_at_its_place(place: str, call: str, errors_of: Errors) -> None:
    text, at = PLACES[place]
    found = errors_of({"sources/s.yaml": HEAD + text.format(call)})
    assert found
    assert all(line.startswith(at) for line in found), found
    assert any("()" in line or "it reads" in line for line in found), found


@pytest.mark.parametrize("place", ["reject_if", "a column of prepare", "the order of dedupe"])
@pytest.mark.parametrize(
    "text",
    ["1) as x, (2", "1) from read_text('x') --", "a, b from c", "1; select 2", "(from m.other)", "(from 'x.csv')"],
)
def test_what_is_no_expression_is_refused_at_its_place(place: str, text: str, errors_of: Errors) -> None:
    written, at = PLACES[place]
    found = errors_of({"sources/s.yaml": HEAD + written.format(text)})
    assert found
    assert all(line.startswith(at) for line in found), found


@pytest.mark.parametrize("call", CALLS)
def test_models_are_refused_at_line_and_column(call: str, errors_of: Errors) -> None:
    found = errors_of({"models/m/a.sql": f"/* headwater\nowner: x\n*/\nselect\n  1 as n,\n  {call} as x\n"})
    assert found
    assert all(line.startswith("models/m/a.sql:6:") for line in found), found


TYPES = [
    "INTEGER[] FROM read_text('x') --]", "INTEGER[3)]", "INTEGER[a]", "STRUCT(a INTEGER)) AS x, (SELECT 1",
    "STRUCT(a INTEGER", "ENUM('a')) FROM x --)", "STRUCT(a INTEGER); DROP TABLE t; --)", "MAP(VARCHAR, INTEGER) --",
    "STRUCTURE", "STRUCT(a $x$)", "UNION(a INTEGER))(", "ENUM('a'' )", "STRUCT(\"a)", "MAP(a-b, c)",
    "INTEGER" + "[]" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", TYPES, ids=range(15))
def test_a_type_is_a_type_and_nothing_more(text: str, errors_of: Errors) -> None:
    with pytest.raises(ValueError, match="is not a type"):
        normalize_type(text)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    found = errors_of({"sources/s.yaml": f'kind: files\ntables: {{t: {{path: a.csv, columns: {{a: "{quoted}"}}}}}}\n'})
    assert all("is not a type" in line for line in found)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("struct(a int, \"b)\" varchar[])", "STRUCT(a int, \"b)\" varchar[])"),
        ("enum('a', 'it''s', ')')", "ENUM('a', 'it''s', ')')"),
        ("map(varchar, decimal(10,2))", "MAP(varchar, decimal(10,2))"),
        ("struct(a struct(b int)) [ 3 ]", "STRUCT(a struct(b int))[3]"),
        ("union(größe int)[]", "UNION(größe int)[]"),
        ("int[][]", "INTEGER[][]"),
    ],
)  # fmt: skip
def test_a_nested_type_stays_what_it_is(text: str, spelled: str) -> None:
    assert normalize_type(text) == spelled
