"""Names, types and columns that come later, as tests of the conformance suite of stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.core.commit import Column
from headwater.core.fragments import SelectSql
from headwater.testing.store_fixtures import COLUMNS, MemorySession, StoreFixtures, Writer, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.contracts import Store


class ColumnContract(StoreFixtures):
    """What a store may be asked to name and to hold."""

    def test_a_new_column_is_null_in_older_rows(self, writer: Writer) -> None:
        """A column may be added, and left out of later rows."""
        writer.write("append", rows_of({1: "a"}))
        wider = (*COLUMNS, Column("price", "DOUBLE"))
        receipt = writer.write(
            "append", SelectSql("SELECT 2::BIGINT AS id, 'b' AS name, 1.5::DOUBLE AS price"), columns=wider
        )
        assert receipt.changed
        assert writer.described.columns == wider
        assert writer.read() == [(1, "a", None), (2, "b", 1.5)]
        writer.write("append", rows_of({3: "c"}))
        assert writer.described.columns == wider
        assert writer.read() == [(1, "a", None), (2, "b", 1.5), (3, "c", None)]

    def test_a_new_column_without_rows(self, writer: Writer) -> None:
        """A column may be added when no file holds it."""
        writer.write("append", rows_of({1: "a"}))
        wider = (*COLUMNS, Column("day", "DATE"))
        writer.write("append", SelectSql(f"SELECT *, CAST(NULL AS DATE) AS day FROM ({rows_of({})})"), columns=wider)
        assert writer.read() == [(1, "a", None)]
        assert writer.fetch(f"SELECT count(*) FROM ({writer.described.scan}) WHERE day IS NULL") == [(1,)]

    def test_a_type_is_widened(self, writer: Writer) -> None:
        """Older rows are read in the wider type."""
        narrow, wide = (Column("amount", "DECIMAL(5,2)"),), (Column("amount", "DECIMAL(12,2)"),)
        writer.write("append", SelectSql("SELECT 1.50::DECIMAL(5,2) AS amount"), columns=narrow)
        writer.write("append", SelectSql("SELECT 1234567.25::DECIMAL(12,2) AS amount"), columns=wide)
        assert writer.described.columns == wide
        assert [str(value) for (value,) in writer.read()] == ["1.50", "1234567.25"]

    @pytest.mark.parametrize("table", ['we"ird.or ders', "select.table", "épices.💶", "a~b%20c.d=e", "x.ORDER"])
    def test_odd_dataset_names(self, make_store: Callable[[], Store], session: MemorySession, table: str) -> None:
        """Any text may name a dataset."""
        writer = Writer(make_store(), session, table)
        writer.write("append", rows_of({1: "a"}))
        writer.write("append", rows_of({2: "b"}))
        assert set(writer.store.describe()) == {table}
        assert writer.read() == [(1, "a"), (2, "b")]

    def test_odd_column_names(self, writer: Writer) -> None:
        """Any text may name a column."""
        names = ["a b", 'quo"te', "it's", "💶", "select", ",;{}()=", "tab\tnew\nline", "a.b", "_old", "filename", "%20"]
        columns = tuple(Column(name, "BIGINT") for name in names)
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        rows = "SELECT " + ", ".join(f"{index}::BIGINT AS {name}" for index, name in enumerate(quoted))
        writer.write("append", rows, columns=columns)
        again = writer.write("append", rows, columns=columns)
        assert again.commit.rows == 2
        if "merge" in self.store_class.capabilities.modes:
            writer.write("merge", rows, columns=columns, key=('quo"te', "tab\tnew\nline"))
        else:
            writer.write("replace", rows, columns=columns)
        assert writer.described.columns == columns
        assert writer.read() == [tuple(range(len(names)))]

    def test_values_survive(self, writer: Writer) -> None:
        """Values and types come back as they were written."""
        values = {
            "BIGINT": "9223372036854775807", "DOUBLE": "'-inf'", "BOOLEAN": "true", "VARCHAR": "'é💶''\\n'",
            "BLOB": "'\\x00\\xFF'", "DATE": "'1969-12-31'", "TIMESTAMP": "'2013-01-01 05:06:07.123456'",
            "TIMESTAMP WITH TIME ZONE": "'2013-01-01 05:06:07.123456+05'", "DECIMAL(38,10)": "'1.0000000001'",
            "BIGINT[]": "[1, NULL]", "STRUCT(a BIGINT, b VARCHAR)": "{'a': 1, 'b': NULL}",
        }  # fmt: skip
        columns = tuple(Column(f"c{index}", type_text) for index, type_text in enumerate(values))
        row = ", ".join(f"CAST({text} AS {t}) AS c{i}" for i, (t, text) in enumerate(values.items()))
        nulls = ", ".join(f"CAST(NULL AS {t}) AS c{i}" for i, t in enumerate(values))
        query = f"SELECT {row} UNION ALL SELECT {nulls}"
        writer.write("append", query, columns=columns)
        assert writer.read() == writer.fetch(query)
        assert writer.connection.sql(writer.described.scan).types == writer.connection.sql(query).types

    def test_source_types_are_kept(self, writer: Writer) -> None:
        """The type a column was landed from is remembered."""
        columns = (Column("id", "BIGINT"), Column("doc", "VARCHAR", "JSON"))
        writer.write("append", SelectSql("SELECT 1::BIGINT AS id, '{}' AS doc"), columns=columns)
        assert writer.described.columns == columns

    def test_times_cover_rows_that_come_and_go(self, writer: Writer) -> None:
        """A commit says between which times it changed rows, old and new."""
        columns = (
            Column("id", "BIGINT"),
            Column("day", "DATE"),
            Column("at", "TIMESTAMP WITH TIME ZONE"),
            Column("none", "TIMESTAMP"),
            Column("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
        )

        def rows(*days: str) -> str:
            return " UNION ALL ".join(
                f"SELECT {number}::BIGINT AS id, DATE '{day}' AS day, TIMESTAMPTZ '{day} 12:00:00.5+01' AS at, "
                "CAST(NULL AS TIMESTAMP) AS none, now() AS _loaded_at"
                for number, day in enumerate(days)
            )

        first = writer.write("append", rows("2013-01-02", "2013-01-05"), columns=columns)
        assert first.commit.times == {
            "day": ["2013-01-02", "2013-01-05"],
            "at": ["2013-01-02T11:00:00.5+00:00", "2013-01-05T11:00:00.5+00:00"],
        }
        second = writer.write("append", rows("2014-01-01"), columns=columns)
        assert second.commit.times == {
            "day": ["2014-01-01"] * 2,
            "at": ["2014-01-01T11:00:00.5+00:00"] * 2,
        }
        if "merge" in self.store_class.capabilities.modes:
            third = writer.write("merge", rows("2015-01-01"), columns=columns, key=("id",))
            assert (third.commit.times or {})["day"] == ["2013-01-02", "2015-01-01"]
            fourth = writer.write("overwrite_where", rows("2016-01-01"), columns=columns, where="id = 1")
            assert (fourth.commit.times or {})["day"] == ["2013-01-05", "2016-01-01"]
        last = writer.write("replace", rows("2012-01-01"), columns=columns)
        highest = "2016-01-01" if "merge" in self.store_class.capabilities.modes else "2014-01-01"
        assert (last.commit.times or {})["day"] == ["2012-01-01", highest]

    def test_a_time_without_bounds_leaves_its_column_out(self, writer: Writer) -> None:
        """A range that cannot be told is not told."""
        columns = (Column("at", "TIMESTAMP"), Column("day", "DATE"))
        rows = "SELECT TIMESTAMP 'infinity' AS at, DATE '2013-01-01' AS day"
        assert writer.write("append", rows, columns=columns).commit.times == {"day": ["2013-01-01"] * 2}
