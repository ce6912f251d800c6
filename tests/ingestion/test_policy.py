"""The schema policy and the limits of a load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.commit import Column
from headwater.core.types import wider_type
from headwater.errors import CheckFailedError
from headwater.ingestion.limits import check_deleted, check_empty, check_keys, check_rejected
from headwater.ingestion.policy import decide_schema
from tests.declared import STORES

A, B = Column("a", "INTEGER"), Column("b", "VARCHAR")


def test_a_first_load_takes_what_comes():
    for policy in ("evolve", "freeze", "discard_row"):
        assert decide_schema(policy, [A, B], None).columns == (A, B)


def test_evolve_adds_widens_and_keeps_what_is_missing():
    decision = decide_schema("evolve", [Column("A", "BIGINT"), Column("c", "DATE")], [A, B])
    assert decision.columns == (Column("a", "BIGINT"), B, Column("c", "DATE"))
    assert decision.errors == ()


def test_a_narrower_type_is_cast():
    decision = decide_schema("evolve", [Column("a", "SMALLINT")], [A])
    assert decision.columns == (A,)
    assert not decision.errors


@pytest.mark.parametrize(("store", "type_text"), [("lakehouse", "BIGINT"), ("warehouse", "VARCHAR"), ("lake", "DATE")])
def test_a_change_the_store_cannot_follow_is_an_error_with_its_cast(store, type_text):
    decision = decide_schema("evolve", [Column("a", type_text)], [A], widens=STORES[store].capabilities.widens)
    (error,) = decision.errors
    assert "'a'" in error
    assert "cast: {a: integer}" in error
    assert (
        decide_schema("evolve", [Column("a", type_text)], [A], widens=STORES[store].capabilities.widens, replaces=True)
        .columns[0]
        .type
        == type_text
    )


def test_freeze_names_every_difference():
    decision = decide_schema("freeze", [Column("a", "BIGINT"), Column("c", "DATE")], [A, B])
    assert len(decision.errors) == 3
    assert all(any(f"'{name}'" in error for error in decision.errors) for name in "abc")
    assert not decide_schema("freeze", [A, B], [A, B]).errors


def test_discard_row_keeps_the_table_as_it_is():
    decision = decide_schema("discard_row", [A, Column("c", "DATE")], [A, B])
    assert (decision.columns, decision.discarded, decision.errors) == ((A, B), ("c",), ())
    assert decide_schema("discard_row", [Column("a", "BIGINT")], [A]).errors


TYPES = st.sampled_from(["TINYINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(10,2)", "DECIMAL(12,4)", "DATE"])
SCHEMAS = st.dictionaries(st.sampled_from("abcde"), TYPES, min_size=1)


@given(st.lists(SCHEMAS, max_size=5), st.sampled_from(["evolve", "freeze", "discard_row"]),
       st.sampled_from(["lake", "lakehouse", "warehouse"]))  # fmt: skip
def test_a_table_never_loses_a_column_or_narrows(loads, policy, store):
    current = None
    for load in loads:
        incoming = [Column(name, type_text) for name, type_text in load.items()]
        decision = decide_schema(policy, incoming, current, widens=STORES[store].capabilities.widens)
        again = decide_schema(policy, incoming, decision.columns, widens=STORES[store].capabilities.widens)
        if decision.errors:
            continue
        after = {column.name: column.type for column in decision.columns}
        assert again.columns == decision.columns
        for column in current or []:
            assert wider_type(column.type, after[column.name]) == after[column.name]
        for column in incoming:
            assert (
                column.name in decision.discarded or wider_type(column.type, after[column.name]) == after[column.name]
            )
        current = decision.columns


# --------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(("limit", "good", "rejected", "passes"), [
    (None, 0, 5, True), (0, 5, 0, True), (0, 5, 1, False), (3, 0, 3, True), (3, 9, 4, False),
    (0.1, 9, 1, True), (0.1, 8, 1, False), (0.0, 0, 0, True), (1.0, 0, 4, True),
])  # fmt: skip
def test_max_rejected_is_a_number_or_a_share(limit, good, rejected, passes):
    error = check_rejected("s.t", limit, good=good, rejected=rejected)
    assert (error is None) is passes
    if error:
        assert f"{rejected} of {good + rejected} rows" in str(error)
        assert "max_rejected" in str(error)


def test_an_empty_extract_never_wipes_a_table():
    error = check_empty("s.t", False, good=0, rejected=0, current_rows=7)
    assert isinstance(error, CheckFailedError)
    assert "7 rows" in str(error)
    assert "allow_empty" in error.fix
    assert "all 3 rows are rejects" in str(check_empty("s.t", False, good=0, rejected=3, current_rows=7))
    assert check_empty("s.t", True, good=0, rejected=0, current_rows=7) is None
    assert check_empty("s.t", False, good=1, rejected=0, current_rows=7) is None
    assert check_empty("s.t", False, good=0, rejected=0, current_rows=None) is None
    assert check_empty("s.t", False, good=0, rejected=0, current_rows=0) is None


def test_deletes_are_limited():
    assert check_deleted("s.t", 0.2, deleted=2, current_rows=10) is None
    error = check_deleted("s.t", 0.2, deleted=3, current_rows=10)
    assert "3 of 10 rows (30.0%)" in str(error)
    assert "max_deleted" in str(error)
    assert check_deleted("s.t", 0.2, deleted=0, current_rows=0) is None
    assert check_keys("s.t", False, keys=0, current_rows=5) is not None
    assert check_keys("s.t", True, keys=0, current_rows=5) is None
    assert check_keys("s.t", False, keys=0, current_rows=0) is None
