"""The table of types, with DuckDB as the oracle of spelling and width."""

from __future__ import annotations

from itertools import product

import duckdb
import pytest

from headwater.core.types import Fidelity, is_time_type, known_types, landed, normalize_type, wider_type
from tests.declared import STORES

ENGINE_ONLY = {"EPOCH_S", "EPOCH_MS"}
SCALARS = sorted({normalize_type(word) for word in known_types()} - ENGINE_ONLY)


SAMPLES = {
    "BOOLEAN": "true", "BLOB": "'ab'::BLOB", "BIT": "'101'::BIT", "UUID": "uuid()", "JSON": "'{}'", "VARCHAR": "'x'",
    "INTERVAL": "interval 3 day", "DATE": "current_date", "TIME": "time '12:30:15'",
    "TIME WITH TIME ZONE": "'12:30:15+02'::TIMETZ",
    **{name: "TIMESTAMP '2024-01-01 12:30:15'" for name in SCALARS if name.startswith("TIMESTAMP")},
}  # fmt: skip


def duckdb_spelling(text: str) -> str:
    (row,) = duckdb.execute(f"DESCRIBE SELECT CAST(NULL AS {text}) AS x").fetchall()
    return str(row[1])


@pytest.mark.parametrize("word", sorted(set(known_types()) - ENGINE_ONLY))
def test_every_word_is_spelt_as_duckdb_spells_it(word: str) -> None:
    assert normalize_type(word) == normalize_type(f" {word.lower()} ") == duckdb_spelling(word)


@pytest.mark.parametrize(
    ("text", "type_text"),
    [
        ("decimal(8,2)", "DECIMAL(8,2)"),
        ("numeric ( 8 , 2 )", "DECIMAL(8,2)"),
        ("decimal(9)", "DECIMAL(9,0)"),
        ("varchar(30)", "VARCHAR"),
        ("int[]", "INTEGER[]"),
        ("int[3]", "INTEGER[3]"),
        ("decimal(8,2)[][]", "DECIMAL(8,2)[][]"),
        ("timestamp  with   time zone", "TIMESTAMP WITH TIME ZONE"),
        ('struct("a b" INTEGER, c VARCHAR)', 'STRUCT("a b" INTEGER, c VARCHAR)'),
        ("map(VARCHAR, INTEGER)", "MAP(VARCHAR, INTEGER)"),
        ("enum('a', 'b')", "ENUM('a', 'b')"),
    ],
)
def test_types_with_arguments(text: str, type_text: str) -> None:
    assert normalize_type(text) == type_text
    assert duckdb_spelling(type_text) == type_text


def test_spellings_of_sources_only() -> None:
    assert (normalize_type("epoch_s"), normalize_type("Epoch_MS")) == ("EPOCH_S", "EPOCH_MS")
    assert landed("EPOCH_S", STORES["lake"].capabilities.types).type == "TIMESTAMP WITH TIME ZONE"
    assert normalize_type("struct") == "STRUCT"


@pytest.mark.parametrize(
    "text", ["", "intt", "decimal(39,2)", "decimal(0)", "decimal(2,3)", "int(", "int]", "1", "foo[]"]
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a type|width is 1 to 38"):
        normalize_type(text)


@pytest.mark.parametrize(("store", "type_text"), list(product(["lake", "lakehouse", "warehouse", "other"], SCALARS)))
def test_a_landing_keeps_every_value_or_is_refused(store: str, type_text: str) -> None:
    landing = landed(type_text, STORES[store].capabilities.types)
    if landing.fidelity is Fidelity.REFUSED:
        assert landing.type == ""
    elif landing.fidelity is not Fidelity.LOSSY and not landing.cast_checked:
        value = SAMPLES.get(type_text, "1")
        row = duckdb.execute(
            f"SELECT x = CAST(CAST(x AS {landing.type}) AS {type_text}) FROM (SELECT CAST({value} AS {type_text}) AS x)"
        ).fetchone()
        assert row == (True,)


@pytest.mark.parametrize(
    ("type_text", "store", "expected", "fidelity"),
    [
        ("UBIGINT", "warehouse", "DECIMAL(20,0)", Fidelity.WIDENED),
        ("INTEGER", "lakehouse", "BIGINT", Fidelity.WIDENED),
        ("INTEGER", "lake", "INTEGER", Fidelity.EXACT),
        ("INTEGER[]", "lakehouse", "BIGINT[]", Fidelity.WIDENED),
        ("TIME[2]", "lakehouse", "", Fidelity.REFUSED),
        ("HUGEINT[]", "lake", "BIGINT[]", Fidelity.EXACT),
        ("TIMESTAMP_NS", "warehouse", "TIMESTAMP", Fidelity.LOSSY),
        ("ENUM('a')", "warehouse", "VARCHAR", Fidelity.EXACT),
        ("STRUCT(a INTEGER)", "warehouse", "STRUCT(a INTEGER)", Fidelity.EXACT),
    ],
)
def test_landings(type_text: str, store: str, expected: str, fidelity: Fidelity) -> None:
    landing = landed(type_text, STORES[store].capabilities.types)
    assert (landing.type, landing.fidelity) == (expected, fidelity)


LADDERS = ["TINYINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE"]


@pytest.mark.parametrize(("one", "other"), list(product(LADDERS, repeat=2)))
def test_the_wider_type_is_one_of_both_and_symmetric(one: str, other: str) -> None:
    wide = wider_type(one, other)
    assert wide == wider_type(other, one)
    assert wide in (one, other, None)
    if wide is not None and one != other:
        assert (
            duckdb_spelling(wide)
            == duckdb.execute(
                f"SELECT typeof(x) FROM (SELECT CAST(NULL AS {one}) AS x UNION ALL SELECT CAST(NULL AS {other}))"
            ).fetchall()[0][0]
        )


@pytest.mark.parametrize(
    ("one", "other", "wide"),
    [
        ("DECIMAL(8,2)", "DECIMAL(8,2)", "DECIMAL(8,2)"),
        ("DECIMAL(8,2)", "DECIMAL(10,1)", "DECIMAL(11,2)"),
        ("DECIMAL(8,2)", "DECIMAL(5,4)", "DECIMAL(10,4)"),
        ("DECIMAL(38,0)", "DECIMAL(5,4)", None),
        ("DECIMAL(8,2)", "INTEGER", None),
        ("INTEGER", "DOUBLE", None),
        ("DATE", "TIMESTAMP", None),
    ],
)
def test_wider_types(one: str, other: str, wide: str | None) -> None:
    assert wider_type(one, other) == wide


def test_time_types() -> None:
    assert [t for t in SCALARS if is_time_type(t)] == [
        "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP_S",
    ]  # fmt: skip
    assert not is_time_type("TIMESTAMP WITH TIME ZONE[]")
