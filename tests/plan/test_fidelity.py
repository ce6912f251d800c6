"""How the columns of a source land: what its catalogue says, what is declared, what prepare does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headwater.contracts import TableDescription
from headwater.core.commit import Column
from headwater.core.specs import IngestSpec
from headwater.plan.fidelity import ColumnFidelity, column_fidelities, is_lossless
from tests.declared import STORES

CATALOGUE = TableDescription(
    columns=(
        Column("id", "INTEGER", "int4"),
        Column("big", "UBIGINT", "bigint unsigned"),
        Column("wide", "HUGEINT", "int128"),
        Column("at", "TIME", "time"),
        Column("fine", "TIMESTAMP_NS", "timestamp(9)"),
    )
)


def land(description: TableDescription | None = CATALOGUE, **ingest: Any) -> dict[str, ColumnFidelity]:
    spec = IngestSpec.model_validate(ingest)
    table = SimpleNamespace(name="app.t", ingest=spec, store=STORES[spec.into])
    return {c.column: c for c in column_fidelities(table, description)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "landed", "fidelity"),
    [
        ("id", "BIGINT", "widened"),
        ("big", "DECIMAL(20,0)", "widened"),
        ("wide", "BIGINT", "exact"),
        ("at", "", "refused"),
        ("fine", "TIMESTAMP", "lossy"),
    ],
)
def test_the_lakehouse(column: str, landed: str, fidelity: str) -> None:
    found = land()[column]
    assert (found.landed, found.fidelity, found.store) == (landed, fidelity, "lakehouse")
    assert found.source == next(c.source_type for c in CATALOGUE.columns if c.name == column)


def test_what_cannot_land_says_the_way_out() -> None:
    assert land()["at"].remark == "say so in prepare: - cast: {at: varchar}"
    assert land()["fine"].remark == "say so in prepare: - cast: {fine: timestamp}"
    assert "out of range is a reject" in land()["wide"].remark


def test_rules_of_prepare_settle_it() -> None:
    assert not is_lossless(list(land().values()))
    found = land(prepare=[{"cast": {"at": "varchar"}}, {"drop": ["fine"]}])
    assert (found["at"].landed, found["at"].fidelity) == ("VARCHAR", "cast")
    assert (found["fine"].landed, found["fine"].fidelity) == ("", "dropped")
    assert is_lossless(list(found.values()))


def test_declared_columns_beside_the_catalogue() -> None:
    declared = {"id": "bigint", "gone": "varchar"}
    found = land(columns=declared)
    assert (found["id"].source, found["id"].read) == ("int4", "BIGINT")
    assert found["id"].remark == "declared; the source's own is INTEGER"
    assert found["gone"].remark == "declared, and the source has no such column"
    assert found["big"].remark.startswith("not declared: taken")
    left = land(columns=declared, schema="discard_value")["big"]
    assert (left.fidelity, left.landed, left.remark) == ("left out", "", "not declared: discard_value")


def test_a_sample_says_nothing_about_declared_columns() -> None:
    sample = TableDescription(columns=(Column("id", "BIGINT"),), proposed=True)
    found = land(sample, columns={"id": "integer"})["id"]
    assert (found.source, found.read, found.remark) == ("INTEGER", "INTEGER", "")
    assert land(sample)["id"].read == "BIGINT"
    assert land(None) == {}
