"""Preparation: the rules in SQL against a plain Python model, and what must never leak."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts import REJECT_COLUMNS
from headwater.core.commit import Column
from headwater.core.specs import IngestSpec
from headwater.errors import ProjectError
from headwater.ingestion.masking import mask_variables, set_mask_keys
from headwater.ingestion.policy import SchemaDecision
from headwater.ingestion.prepare import Preparation, compile_prepare
from tests.declared import STORES

if TYPE_CHECKING:
    from collections.abc import Sequence

LOADED_AT = "TIMESTAMPTZ '2024-05-01 00:00:00+00'"
SECRET = "s3cret"


def spec(**keys: Any) -> IngestSpec:
    return IngestSpec.model_validate(keys)


@pytest.fixture(scope="module")
def shared():
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    yield con
    con.close()


@pytest.fixture
def con(shared):
    cursor = shared.cursor()
    cursor.execute("SET TimeZone = 'UTC'")
    yield cursor
    cursor.execute("DROP TABLE IF EXISTS c")
    cursor.close()


def run(con, ingest: IngestSpec, columns: Sequence[Column], source: str, **options: Any) -> Preparation:
    """Compile, materialize as temporary table `c`, return the preparation."""
    options["store"] = STORES[options.get("store", "warehouse")]
    decision = options.pop("decision", None)
    prepared = compile_prepare(ingest, columns, **options)
    if decision:
        prepared = prepared.land_as(decision)
    set_mask_keys(con, ingest)
    con.execute(f"CREATE OR REPLACE TEMP TABLE c AS {prepared.projection(source, 'b1', LOADED_AT)}")
    return prepared


def good(con, prepared: Preparation) -> list[dict[str, Any]]:
    names = [column.name for column in prepared.columns]
    return con.sql(prepared.good_rows("c")).to_arrow_table().select(names).to_pylist()


def rejects(con, prepared: Preparation) -> list[dict[str, Any]]:
    return con.sql(prepared.rejected_rows("c")).to_arrow_table().to_pylist()


TEXT = [Column("a", "VARCHAR"), Column("b", "VARCHAR")]


def values(con, rows: list[tuple[Any, ...]], columns: Sequence[Column] = TEXT) -> str:
    con.register(
        "source_rows", pa.table({c.name: pa.array([r[i] for r in rows], pa.string()) for i, c in enumerate(columns)})
    )
    return "SELECT * FROM source_rows"


def test_a_table_without_rules_passes_through(con):
    prepared = run(con, spec(), TEXT, values(con, [("1", None), ("2", "x")]))
    assert good(con, prepared) == [{"a": "1", "b": None}, {"a": "2", "b": "x"}]
    assert rejects(con, prepared) == []
    table = con.sql(prepared.load_rows(prepared.good_rows("c")))
    assert table.columns == ["a", "b", "_batch", "_loaded_at"]
    assert [str(t) for t in table.types][2:] == [c.type for c in prepared.system_columns]


def test_rules_run_in_the_order_written(con):
    rules = [
        {"trim": "all"},
        {"null_if": {"a": ["", "-"]}},
        {"fill": {"a": "0"}},
        {"cast": {"a": "int"}},
        {"rename": {"a": "n"}},
        {"sql": {"twice": "n * 2", "b": "upper(b)"}},
        {"drop": "n"},
    ]
    prepared = run(con, spec(prepare=rules), TEXT, values(con, [(" 7 ", "x "), ("- ", None)]))
    assert good(con, prepared) == [{"b": "X", "twice": 14}, {"b": None, "twice": 0}]
    assert prepared.columns == (Column("b", "VARCHAR"), Column("twice", "INTEGER"))
    reversed_rules = [{"cast": {"a": "int"}}, {"sql": {"a": "a + 1"}}]
    prepared = run(con, spec(prepare=reversed_rules), TEXT, values(con, [("7", "x")]))
    assert good(con, prepared) == [{"a": 8, "b": "x"}]
    assert prepared.columns[0] == Column("a", "INTEGER", "VARCHAR")


def test_times_with_an_offset_that_rules_give_are_utc(con):
    rules = [
        {"cast": {"a": "timestamp"}},
        {"null_if": {"a": "2026-01-01T02:00:00+02:00"}},
        {"fill": {"a": "2026-01-01T01:30:00+02:00"}},
        {"cast": {"a": "varchar"}},
    ]
    prepared = run(con, spec(prepare=rules), TEXT, values(con, [("2026-01-01", "x"), ("2026-01-01 02:00:00", "y")]))
    assert [row["a"] for row in good(con, prepared)] == ["2025-12-31 23:30:00", "2026-01-01 02:00:00"]


def test_a_failing_cast_is_one_reject_with_every_reason(con):
    ingest = spec(prepare=[{"cast": {"a": "int", "b": "date"}}, {"cast": {"b": "varchar"}}])
    prepared = run(con, ingest, TEXT, values(con, [("1", "2024-01-01"), ("x", "y"), ("2", None), ("3", "no date")]))
    assert [row["a"] for row in good(con, prepared)] == [1, 2]
    found = rejects(con, prepared)
    assert [(r["rule"], r["reason"]) for r in found] == [
        ("cast", 'column "a" is not a INTEGER; column "b" is not a DATE'),
        ("cast", 'column "b" is not a DATE'),
    ]
    assert json.loads(found[0]["raw"]) == {"a": "x", "b": "y"}
    assert con.sql(prepared.counts("c")).fetchall() == [(2, 2, 0)]


def test_rejects_have_the_columns_of_every_quarantine(con):
    prepared = run(con, spec(prepare=[{"cast": {"a": "int"}}]), TEXT, values(con, [("x", "y")]))
    for query in (
        prepared.rejected_rows("c"),
        prepared.reader_rejects(
            "SELECT 'f' AS _file, 2 AS _line, 'r' AS rule, 'why' AS reason, 'raw' AS raw", "b", LOADED_AT
        ),
    ):
        relation = con.sql(query)
        assert [(n, str(t)) for n, t in zip(relation.columns, relation.types, strict=True)] == list(REJECT_COLUMNS)


def test_reject_if_comes_after_prepare_and_null_does_not_reject(con):
    ingest = spec(prepare=[{"cast": {"a": "int"}}], reject_if={"negative": "a < 0", "odd": "a % 2 = 1"})
    prepared = run(con, ingest, TEXT, values(con, [("-1", "x"), ("1", "x"), ("2", "x"), (None, "x")]))
    assert [row["a"] for row in good(con, prepared)] == [2, None]
    assert [(r["rule"], r["reason"]) for r in rejects(con, prepared)] == [("negative", "a < 0"), ("odd", "a % 2 = 1")]


def test_nul_in_any_text_is_a_reject_even_inside_a_list(con):
    prepared = run(con, spec(), TEXT, values(con, [("a\0b", "x"), ("ok", "x"), ("ok", "\0")]))
    assert [r["rule"] for r in rejects(con, prepared)] == ["nul_byte", "nul_byte"]
    assert all("\0" not in r["raw"] for r in rejects(con, prepared))
    lists = [Column("l", "VARCHAR[]")]
    prepared = run(con, spec(), lists, "SELECT ['x' || chr(0)] AS l UNION ALL SELECT ['y']")
    assert good(con, prepared) == [{"l": ["y"]}]


def test_prepare_may_remove_a_nul(con):
    ingest = spec(prepare=[{"sql": {"a": "replace(a, chr(0), '')"}}])
    prepared = run(con, ingest, TEXT, values(con, [("a\0b", "x")]))
    assert good(con, prepared) == [{"a": "ab", "b": "x"}]


def test_null_keys_and_null_cursors_go_to_quarantine(con):
    ingest = spec(load="incremental", key="a", cursor="b")
    prepared = run(con, ingest, TEXT, values(con, [("1", "x"), (None, "x"), ("2", None), (None, None)]))
    assert [r["rule"] for r in rejects(con, prepared)] == ["null_key", "null_cursor", "null_key"]
    assert good(con, prepared) == [{"a": "1", "b": "x"}]
    full = run(con, spec(key="a", cursor="b"), TEXT, values(con, [("2", None)]))
    assert good(con, full) == [{"a": "2", "b": None}]


@pytest.mark.parametrize("key", [SECRET, "k" * 64, "long" * 40, "ключ"])
def test_mask_is_hmac_sha_256(con, key):
    ingest = spec(prepare=[{"mask": {"columns": ["a"], "key": key}}])
    prepared = run(con, ingest, TEXT, values(con, [("ann@example.com", "x"), ("", "y"), (None, "z"), ("жук", "w")]))
    expected = [
        None if text is None else hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
        for text in ("ann@example.com", "", None, "жук")
    ]
    assert [row["a"] for row in good(con, prepared)] == expected


def test_the_mask_key_is_never_in_the_sql_and_two_masks_keep_apart(con):
    rules = [{"mask": {"columns": ["a"], "key": SECRET}}, {"mask": {"columns": ["b"], "key": "other"}}]
    ingest = spec(prepare=rules)
    prepared = run(con, ingest, TEXT, values(con, [("v", "v")]))
    sql = prepared.projection("SELECT 1", "b", LOADED_AT)
    assert SECRET not in sql
    assert SECRET.encode().hex() not in sql
    assert len(mask_variables(ingest)) == 4
    (row,) = good(con, prepared)
    assert row["a"] != row["b"]


def test_masking_a_number_masks_its_text(con):
    ingest = spec(prepare=[{"mask": {"columns": ["n"], "key": SECRET}}])
    prepared = run(con, ingest, [Column("n", "INTEGER")], "SELECT 42::INTEGER AS n")
    assert good(con, prepared) == [{"n": hmac.new(SECRET.encode(), b"42", hashlib.sha256).hexdigest()}]
    assert prepared.columns == (Column("n", "VARCHAR", "INTEGER"),)


HIDING = [
    [{"mask": {"columns": ["a"], "key": SECRET}}],
    [{"drop": "a"}],
    [{"rename": {"a": "z"}}, {"mask": {"columns": ["z"], "key": SECRET}}],
    [{"rename": {"a": "z"}}, {"trim": "z"}, {"drop": "z"}],
    [{"sql": {"z": "lower(a)"}}, {"drop": ["z"]}, {"drop": ["a"]}],
    [{"sql": {"a": "lower(a)"}}, {"mask": {"columns": ["a"], "key": SECRET}}],
    [{"sql": {"z": 'concat("A", b)'}}, {"mask": {"columns": ["z"], "key": SECRET}}, {"drop": ["A"]}],
    [{"cast": {"a": "int"}}, {"drop": "a"}],
    [{"sql": {"z": "struct_pack(*COLUMNS(*))"}}, {"drop": "z"}, {"drop": "a"}],
]


@pytest.mark.parametrize("rules", HIDING)
def test_rejects_never_show_what_mask_or_drop_hides(con, rules):
    ingest = spec(prepare=[*rules, {"sql": {"always": "1"}}], reject_if={"all": "always = 1"})
    prepared = run(con, ingest, TEXT, values(con, [("HIDDEN", "seen")]))
    (reject,) = rejects(con, prepared)
    assert "hidden" not in json.dumps(reject, default=str).lower()
    assert "a" in prepared.hidden
    whole = con.sql("SELECT * EXCLUDE (_rule) FROM c").to_arrow_table().to_pylist()
    assert "HIDDEN" not in str(whole)


def test_a_reject_key_is_not_the_hash_of_a_hidden_value(con):
    ingest = spec(prepare=[{"mask": {"columns": ["a"], "key": SECRET}}], reject_if={"all": "TRUE"})
    prepared = run(con, ingest, TEXT, values(con, [("1", "x"), ("2", "x"), ("1", "x")]))
    keys = [r["_reject_key"] for r in rejects(con, prepared)]
    assert keys[0] == keys[2] != keys[1]
    plain = json.dumps({"a": "1", "b": "x"}, separators=(",", ":"))
    assert hashlib.sha256(plain.encode()).hexdigest() not in keys


def test_reader_rejects_withhold_their_text_when_a_column_is_hidden(con):
    broken = (
        "SELECT 'f.csv' AS _file, 3 AS _line, 'too_many_fields' AS rule, 'why' AS reason, 'a,secret,b' || chr(0) AS raw"
    )
    open_table = run(con, spec(), TEXT, values(con, []))
    hiding = run(con, spec(prepare=[{"drop": "a"}]), TEXT, values(con, []))
    shown = con.sql(open_table.reader_rejects(broken, "b", LOADED_AT)).to_arrow_table().to_pylist()[0]
    withheld = con.sql(hiding.reader_rejects(broken, "b", LOADED_AT)).to_arrow_table().to_pylist()[0]
    assert shown["raw"] == "a,secret,b␀"
    assert withheld["raw"] is None
    assert withheld["_reject_key"] != shown["_reject_key"]


def test_dedupe_keeps_the_first_per_key_and_counts_the_rest(con):
    ingest = spec(prepare=[{"dedupe": {"by": "a", "order": "b DESC"}}])
    prepared = run(con, ingest, TEXT, values(con, [("1", "x"), ("1", "z"), ("2", "q"), ("1", "y")]))
    assert prepared.whole_load
    assert sorted((r["a"], r["b"]) for r in good(con, prepared)) == [("1", "z"), ("2", "q")]
    assert rejects(con, prepared) == []
    assert con.sql(prepared.counts("c")).fetchall() == [(2, 0, 2)]


def test_a_reject_never_wins_a_dedupe(con):
    ingest = spec(prepare=[{"cast": {"b": "int"}}, {"dedupe": {"by": "a", "order": "b NULLS FIRST"}}])
    prepared = run(con, ingest, TEXT, values(con, [("1", "bad"), ("1", "5")]))
    assert good(con, prepared) == [{"a": "1", "b": 5}]
    assert [r["rule"] for r in rejects(con, prepared)] == ["cast"]


def test_dedupe_without_order_takes_the_first_in_the_file(con):
    located = (
        "SELECT * FROM (VALUES ('1','late','f',9), ('1','first','f',2), ('1','other','g',1)) t(a, b, _file, _line)"
    )
    prepared = run(con, spec(prepare=[{"dedupe": {"by": "a"}}]), TEXT, located, extra=("_file", "_line"))
    assert good(con, prepared) == [{"a": "1", "b": "first"}]


def test_file_rows_carry_their_place(con):
    source = "SELECT 'x' AS a, 'y' AS b, 'f.csv' AS _file, 7::BIGINT AS _line, '{\"a\": \"x\"}' AS _raw"
    prepared = run(con, spec(reject_if={"x": "a = 'x'"}), TEXT, source, extra=("_file", "_line", "_raw"))
    (reject,) = rejects(con, prepared)
    assert (reject["_file"], reject["_line"]) == ("f.csv", 7)
    assert [c.name for c in prepared.system_columns] == ["_batch", "_loaded_at", "_file", "_raw"]
    assert con.sql(prepared.good_rows("c")).columns[-1] == "_line"


def test_landed_raw_text_loses_hidden_keys(con):
    source = """SELECT 'HIDDEN' AS a, 'y' AS b, 'f' AS _file, 1 AS _line,
                '{"b": "y", "a": "HIDDEN", "k": {"a": null}, "a": "HIDDEN"}' AS _raw"""
    extra = ("_file", "_line", "_raw")
    kept = run(con, spec(), TEXT, source, extra=extra)
    assert "HIDDEN" in con.sql(kept.good_rows("c")).to_arrow_table().to_pylist()[0]["_raw"]
    hidden = run(con, spec(prepare=[{"drop": "a"}]), TEXT, source, extra=extra)
    raw = con.sql(hidden.good_rows("c")).to_arrow_table().to_pylist()[0]["_raw"]
    assert json.loads(raw) == {"b": "y", "k": {"a": None}}


LANDINGS = [
    ("UBIGINT", "18446744073709551615", "DECIMAL(20,0)"),
    ("UINTEGER", "4294967295", "BIGINT"),
    ("USMALLINT", "65535", "INTEGER"),
    ("UTINYINT", "255", "SMALLINT"),
    ("HUGEINT", "9223372036854775807", "BIGINT"),
    ("HUGEINT", "-9223372036854775808", "BIGINT"),
    ("DOUBLE", "'nan'", "DOUBLE"),
    ("DOUBLE", "'-inf'", "DOUBLE"),
    ("DECIMAL(38,10)", "'9999999999999999999999999999.9999999999'", "DECIMAL(38,10)"),
    ("TIMESTAMP", "'0001-01-01'", "TIMESTAMP"),
    ("TIMESTAMP WITH TIME ZONE", "'9999-12-31 23:59:59.999999+00'", "TIMESTAMP WITH TIME ZONE"),
    ("UUID", "'00000000-0000-0000-0000-000000000001'", "VARCHAR"),
    ("JSON", "'{\"a\": 1.10}'", "VARCHAR"),
]


@pytest.mark.parametrize(("type_text", "value", "landed_type"), LANDINGS)
def test_every_value_survives_its_landing(con, type_text, value, landed_type):
    prepared = run(con, spec(), [Column("v", type_text)], f"SELECT CAST({value} AS {type_text}) AS v")
    assert prepared.columns[0].type == landed_type
    same = con.sql(f"SELECT v::VARCHAR, CAST({value} AS {type_text})::VARCHAR, typeof(v), _rule FROM c").fetchall()
    assert same == [(same[0][1], same[0][1], landed_type, None)]


def test_a_hugeint_out_of_range_is_a_reject(con):
    prepared = run(con, spec(), [Column("v", "HUGEINT")], "SELECT 9223372036854775808::HUGEINT AS v UNION ALL SELECT 1")
    assert [r["rule"] for r in rejects(con, prepared)] == ["range"]
    assert good(con, prepared) == [{"v": 1}]


@pytest.mark.parametrize(("type_text", "store", "fix"), [
    ("TIMESTAMP_NS", "warehouse", "cast: {v: timestamp}"), ("INTERVAL", "lake", "cast: {v: varchar}"),
    ("TIME", "lakehouse", "cast: {v: varchar}"),
])  # fmt: skip
def test_a_lossy_landing_is_refused_unless_declared(con, type_text, store, fix):
    with pytest.raises(ProjectError, match=r"shop\.t: column 'v'") as caught:
        compile_prepare(spec(), [Column("v", type_text)], store=STORES[store], table="shop.t")
    assert fix in caught.value.fix
    declared = spec(prepare=[{"cast": {"v": fix.partition(": {v: ")[2].rstrip("}")}}])
    assert compile_prepare(declared, [Column("v", type_text)], store=STORES[store]).columns


def test_epochs_become_instants(con):
    columns = [Column("s", "EPOCH_S"), Column("ms", "EPOCH_MS")]
    source = "SELECT * FROM (VALUES (1700000000.5, 1700000000123), (-1, 0), (NULL, NULL), (1e17, 0)) t(s, ms)"
    prepared = run(con, spec(), columns, source)
    assert prepared.columns == (
        Column("s", "TIMESTAMP WITH TIME ZONE", "EPOCH_S"), Column("ms", "TIMESTAMP WITH TIME ZONE", "EPOCH_MS"),
    )  # fmt: skip
    texts = con.sql(f"SELECT s::VARCHAR, ms::VARCHAR FROM ({prepared.good_rows('c')})").fetchall()
    assert texts == [
        ("2023-11-14 22:13:20.5+00", "2023-11-14 22:13:20.123+00"),
        ("1969-12-31 23:59:59+00", "1970-01-01 00:00:00+00"),
        (None, None),
    ]
    assert [r["rule"] for r in rejects(con, prepared)] == ["cast"]


NAMES = ["select", "a b", 'quo"te', "it's", "π", "😀", "order", "a.b", "$now", "{x}"]


@pytest.mark.parametrize("name", NAMES)
def test_any_column_name_works_in_every_rule(con, name):
    quoted = '"' + name.replace('"', '""') + '"'
    columns = [Column(name, "VARCHAR"), Column("other", "VARCHAR")]
    rules = [
        {"trim": [name]},
        {"null_if": {name: "-"}},
        {"fill": {name: "5"}},
        {"cast": {name: "int"}},
        {"sql": {"twice": f"{quoted} * 2"}},
        {"dedupe": {"by": [name]}},
    ]
    ingest = spec(prepare=rules, reject_if={"seven": f"{quoted} = 7"}, key=[name])
    prepared = run(con, ingest, columns, f"SELECT unnest([' 3', '-', 'x', '7']) AS {quoted}, 'o' AS other")
    assert sorted(row[name] for row in good(con, prepared)) == [3, 5]
    assert sorted(r["rule"] for r in rejects(con, prepared)) == ["cast", "seven"]
    assert name in json.loads(rejects(con, prepared)[0]["raw"])
    assert sorted(con.sql(prepared.keys(f"SELECT unnest([' 3', '9']) AS {quoted}")).fetchall()) == [(3,), (9,)]


WRONG = [
    (spec(prepare=[{"trim": ["aa"]}]), "did you mean 'a'"),
    (spec(prepare=[{"rename": {"a": "b"}}]), "another name"),
    (spec(prepare=[{"rename": {"a": "_file"}}]), "reserved"),
    (spec(prepare=[{"sql": {"_hw_x": "1"}}]), "reserved"),
    (spec(prepare=[{"cast": {"a": "int"}}, {"trim": ["a"]}]), "not text"),
    (spec(prepare=[{"cast": {"a": "int"}}, {"fill": {"a": "many"}}]), "value that fill gives"),
    (spec(prepare=[{"sql": {"z": "nope + 1"}}]), "nope"),
    (spec(prepare=[{"drop": ["a", "b"]}]), "no column"),
    (spec(prepare=[{"dedupe": {"by": "a", "order": "nope"}}]), "order of dedupe"),
    (spec(reject_if={"r": "nope > 1"}), "reject_if 'r'"),
    (spec(prepare=[{"drop": "a"}], reject_if={"r": "a = '1'"}), "reject_if 'r'"),
    (spec(key="nope"), "key names column 'nope'"),
    (spec(prepare=[{"drop": "a"}], key="a"), "key names column 'a'"),
    (spec(load="incremental", cursor="nope"), "cursor"),
    (spec(load="incremental", cursor="a", prepare=[{"drop": "a"}]), "cursor"),
    (spec(load="incremental", cursor="a", prepare=[{"mask": {"columns": "a", "key": "k"}}]), "cursor"),
    (spec(load="incremental", cursor="a", lag="5m"), "lag without a key"),
]


@pytest.mark.parametrize(("ingest", "words"), WRONG)
def test_a_wrong_rule_is_an_error_before_anything_is_read(ingest, words):
    with pytest.raises(ProjectError) as caught:
        compile_prepare(ingest, TEXT, store=STORES["warehouse"], table="shop.t")
    assert words in str(caught.value)
    assert "shop.t" in str(caught.value)


@pytest.mark.parametrize("names", [["Id", "id"], ["_raw"], ["_line"]])
def test_names_that_cannot_stand_are_refused(names):
    with pytest.raises(ProjectError):
        compile_prepare(spec(), [Column(name, "VARCHAR") for name in names], store=STORES["lake"])


def test_rename_may_swap_and_the_cursor_is_followed(con):
    ingest = spec(load="incremental", cursor="a", prepare=[{"rename": {"a": "b", "b": "a"}}])
    prepared = run(con, ingest, TEXT, values(con, [("1", "2")]))
    assert good(con, prepared) == [{"b": "1", "a": "2"}]
    assert prepared.cursor == "b"


def test_keys_go_through_the_same_rules_as_rows(con):
    rules = [{"trim": "all"}, {"cast": {"a": "bigint"}}, {"rename": {"a": "id"}}, {"dedupe": {"by": "id"}}]
    ingest = spec(key="id", deletes="compare_keys", reject_if={"x": "b IS NULL"}, prepare=rules)
    prepared = compile_prepare(ingest, TEXT, store=STORES["warehouse"])
    assert prepared.key_origins == ("a",)
    keys = con.sql(prepared.keys("SELECT unnest([' 1', '2 ', '2', NULL, 'x']) AS a")).fetchall()
    assert sorted(keys) == [(1,), (2,)]


def test_unknown_columns_reject_rows_that_use_them(con):
    decision = SchemaDecision((Column("a", "VARCHAR"), Column("gone", "INTEGER")), discarded=("b",))
    prepared = run(con, spec(), TEXT, values(con, [("1", None), ("2", "x")]), decision=decision)
    assert good(con, prepared) == [{"a": "1", "gone": None}]
    (reject,) = rejects(con, prepared)
    assert (reject["rule"], json.loads(reject["raw"])) == ("unknown_column", {"a": "2", "b": "x"})


def test_a_narrower_type_is_cast_to_the_tables(con):
    decision = SchemaDecision((Column("V", "BIGINT"),))
    prepared = run(con, spec(), [Column("v", "SMALLINT")], "SELECT 7::SMALLINT AS v", decision=decision)
    assert con.sql("SELECT V, typeof(V) FROM c").fetchall() == [(7, "BIGINT")]
    assert prepared.columns == decision.columns


# ------------------------------------------------------------------------------------------------------- property

CELLS = st.one_of(st.none(), st.sampled_from(["", "-", " 1", "2 ", "3", "x", "-4", "a\0", "\t5\n", "99999999999"]))
RULES = st.lists(
    st.sampled_from(["trim", "null_if", "fill", "cast", "drop", "swap"]), max_size=5,
).filter(lambda rules: rules.count("drop") <= 1 and rules.count("cast") <= 1)  # fmt: skip
SPECS: dict[str, dict[str, Any]] = {
    "trim": {"trim": "all"}, "null_if": {"null_if": {"a": "-"}}, "fill": {"fill": {"a": "7"}},
    "cast": {"cast": {"a": "int"}}, "drop": {"drop": "b"}, "swap": {"rename": {"a": "a2", "a2": "a"}},
}  # fmt: skip


def model_int(text: str) -> int | None:
    try:
        number = int(text.strip(" \t\n"))
    except ValueError:
        return None
    return number if -(2**31) <= number < 2**31 else None


def model_row(row: dict[str, Any], rules: list[str]) -> tuple[str | None, dict[str, Any]]:
    """The plain meaning of the rules: (reject rule, prepared row)."""
    rejected = None
    for rule in rules:
        for name, value in list(row.items()):
            if rule == "trim" and isinstance(value, str):
                row[name] = value.strip(" \t\n")
        value = row["a"]
        if rule == "null_if" and str(value) == "-":
            row["a"] = None
        elif rule == "fill" and value is None:
            row["a"] = 7 if "cast" in rules[: rules.index(rule)] else "7"
        elif rule == "cast" and value is not None:
            row["a"] = model_int(value)
            rejected = rejected or ("cast" if row["a"] is None else None)
        elif rule == "drop":
            row.pop("b", None)
    if rejected is None and any("\0" in v for v in row.values() if isinstance(v, str)):
        rejected = "nul_byte"
    if rejected is None and row["a"] is not None and row["a"] in (3, "3"):
        rejected = "three"
    return rejected, row


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=8), rules=RULES)
def test_prepare_does_what_its_plain_model_does(shared, rows, rules):
    rules = [rule for rule in rules if rule != "swap" and not (rule == "null_if" and "cast" in rules)]
    con = shared.cursor()
    try:
        ingest = spec(prepare=[SPECS[rule] for rule in rules], reject_if={"three": "CAST(a AS VARCHAR) = '3'"})
        prepared = run(con, ingest, TEXT, values(con, rows))
        outcomes = [model_row({"a": a, "b": b}, rules) for a, b in rows]
        assert good(con, prepared) == [row for rejected, row in outcomes if rejected is None]
        assert [r["rule"] for r in rejects(con, prepared)] == [rejected for rejected, _ in outcomes if rejected]
    finally:
        con.close()
