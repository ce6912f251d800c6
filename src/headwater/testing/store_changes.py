"""The change modes, as tests of the conformance suite of stores."""

from __future__ import annotations

import pytest

from headwater.core.commit import Column
from headwater.core.fragments import SelectSql
from headwater.errors import StateError
from headwater.testing.store_fixtures import COLUMNS, StoreFixtures, Writer, rows_of


class ChangeContract(StoreFixtures):
    """What each change mode does to the rows."""

    def test_append_adds_rows(self, writer: Writer) -> None:
        """Rows are added, equal ones too."""
        writer.write("append", rows_of({1: "a"}))
        receipt = writer.write("append", rows_of({1: "b", 3: "c"}))
        assert (receipt.rows_inserted, receipt.rows_deleted, receipt.commit.rows) == (2, 0, 3)
        assert writer.read() == [(1, "a"), (1, "b"), (3, "c")]

    def test_replace_makes_rows_the_whole_table(self, writer: Writer) -> None:
        """No earlier row is left."""
        writer.write("replace", rows_of({1: "a", 2: "b"}))
        receipt = writer.write("replace", rows_of({3: "c"}))
        assert (receipt.rows_inserted, receipt.commit.rows, receipt.commit.version) == (1, 1, 2)
        assert writer.read() == [(3, "c")]

    def test_replace_may_change_the_columns(self, writer: Writer) -> None:
        """A replaced table has the new columns only."""
        writer.write("replace", rows_of({1: "a"}))
        writer.write("replace", SelectSql("SELECT 1.5::DOUBLE AS name"), columns=(Column("name", "DOUBLE"),))
        assert writer.described.columns == (Column("name", "DOUBLE"),)
        assert writer.read() == [(1.5,)]

    def test_rows_may_come_from_the_table_itself(self, writer: Writer) -> None:
        """The rows are read before anything changes."""
        writer.write("replace", rows_of({1: "a", 2: "b"}))
        writer.write("replace", SelectSql(f"SELECT id + 10 AS id, name FROM ({writer.described.scan}) WHERE id = 2"))
        assert writer.read() == [(12, "b")]

    def test_no_rows(self, writer: Writer) -> None:
        """A table without rows is a table; adding no rows changes no version."""
        writer.write("append", rows_of({}))
        assert writer.described.columns == COLUMNS
        assert writer.read() == []
        assert writer.described.commit is not None
        assert writer.described.commit.rows == 0
        receipt = writer.write("append", rows_of({}))
        assert (receipt.changed, receipt.commit.version) == (False, 1)
        writer.write("append", rows_of({1: "a"}))
        assert writer.write("replace", rows_of({})).changed
        assert writer.read() == []

    def test_merge_writes_by_key(self, writer: Writer) -> None:
        """Rows of the same key are replaced, selected keys removed, others kept."""
        self.need("merge")
        writer.write("append", rows_of({1: "a", 2: "b", 3: "c"}))
        receipt = writer.write("merge", rows_of({2: "B", 4: "D"}), key=("id",), deletes="SELECT 3 AS id")
        assert writer.read() == [(1, "a"), (2, "B"), (4, "D")]
        assert (receipt.rows_inserted, receipt.rows_deleted, receipt.commit.rows) == (2, 2, 3)

    def test_merge_by_two_columns(self, writer: Writer) -> None:
        """A key may have several columns."""
        self.need("merge")
        writer.write("append", rows_of({1: "a", 2: "b"}))
        writer.write("merge", rows_of({1: "b"}), key=("id", "name"))
        assert writer.read() == [(1, "a"), (1, "b"), (2, "b")]

    def test_merge_of_a_deleted_and_written_key_keeps_the_row(self, writer: Writer) -> None:
        """A written row is stronger than a deleted key."""
        self.need("merge")
        writer.write("append", rows_of({1: "a"}))
        deletes = f"SELECT id FROM ({writer.described.scan})"
        writer.write("merge", rows_of({1: "z"}), key=("id",), deletes=deletes)
        assert writer.read() == [(1, "z")]

    def test_merge_that_touches_nothing_is_a_record(self, writer: Writer) -> None:
        """The version stays when no row changes."""
        self.need("merge")
        writer.write("append", rows_of({1: "a"}))
        receipt = writer.write("merge", rows_of({}), key=("id",), deletes="SELECT 9 AS id", inputs={"x.y": 8})
        assert not receipt.changed
        assert (receipt.commit.sequence, receipt.commit.version, receipt.commit.rows) == (2, 1, 1)
        assert writer.read() == [(1, "a")]

    def test_overwrite_where_replaces_what_matches(self, writer: Writer) -> None:
        """Only rows for which the predicate is true go: not those where it is NULL."""
        self.need("overwrite_where")
        writer.write("append", rows_of({1: "a", 2: "b", 3: None}))
        receipt = writer.write("overwrite_where", rows_of({7: "x"}), where="id >= 2 AND name <> 'z'")
        assert writer.read() == [(1, "a"), (3, None), (7, "x")]
        assert (receipt.rows_inserted, receipt.rows_deleted, receipt.commit.rows) == (1, 1, 3)

    def test_overwrite_where_keeps_new_rows_that_match(self, writer: Writer) -> None:
        """The predicate is about the rows that were there."""
        self.need("overwrite_where")
        writer.write("append", rows_of({1: "a", 2: "b"}))
        rows = f"SELECT id, name || '!' AS name FROM ({writer.described.scan})"
        writer.write("overwrite_where", rows, where="id < 9 OR name = 'none'")
        assert writer.read() == [(1, "a!"), (2, "b!")]

    def test_record_moves_the_commit_only(self, writer: Writer) -> None:
        """Inputs and position move on, version and rows stay."""
        writer.write("append", rows_of({1: "a"}), position={"cursor": 1})
        receipt = writer.write("record", inputs={"x.y": 9}, position={"cursor": 5}, version=1)
        assert (receipt.commit.sequence, receipt.commit.version, receipt.commit.rows) == (2, 1, 1)
        state = writer.described
        assert state.commit == receipt.commit
        assert state.position == {"cursor": 5}
        assert writer.read() == [(1, "a")]

    def test_record_needs_a_table(self, writer: Writer) -> None:
        """Nothing is recorded of a table that is not there."""
        with pytest.raises(StateError):
            writer.write("record")
        assert writer.state is None
