"""Commits, as tests of the conformance suite of stores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from headwater.contracts import Change, Select
from headwater.core.fragments import NO_SELECT, PredicateSql
from headwater.errors import RunError, StateError
from headwater.testing.store_fixtures import COLUMNS, MemorySession, StoreFixtures, Writer, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headwater.contracts import Store


class CommitContract(StoreFixtures):
    """What a commit promises: all or nothing, once, after the one it follows."""

    def test_nothing_is_created_before_the_first_write(self, writer: Writer, tmp_path: Path) -> None:
        """An unused store leaves no file behind."""
        assert writer.store.describe() == {}
        assert writer.store.describe(["shop.orders"]) == {}
        assert list(tmp_path.iterdir()) == []

    def test_registration(self) -> None:
        """The class registers itself by its attributes."""
        assert self.store_class.kind
        assert self.store_class.capabilities.modes <= {"append", "replace", "merge", "overwrite_where"}

    def test_first_commit(self, writer: Writer) -> None:
        """A first commit makes the table and everything that is known of it."""
        receipt = writer.write("append", rows_of({1: "a", 2: None}), position={"cursor": 2}, inputs={"x.y": 7})
        assert (receipt.rows_inserted, receipt.rows_deleted) == (2, 0)
        assert (receipt.commit.sequence, receipt.commit.version, receipt.commit.rows) == (1, 1, 2)
        assert receipt.changed
        state = writer.described
        assert state.columns == COLUMNS
        assert state.commit == receipt.commit
        assert state.position == {"cursor": 2}
        assert state.foreign == ""
        assert state.staging is None
        assert state.location
        assert writer.read() == [(1, "a"), (2, None)]
        assert writer.boundaries == ["before_commit", "claimed", "after_commit"]

    def test_all_tables_are_described(self, writer: Writer, session: MemorySession) -> None:
        """Tables are described by name, or all of them."""
        writer.write("append", rows_of({1: "a"}))
        Writer(writer.store, session, "main.other").write("append", rows_of({2: "b"}))
        Writer(writer.store, session, "domain.shop.orders").write("append", rows_of({3: "c"}))
        assert set(writer.store.describe()) == {"shop.orders", "main.other", "domain.shop.orders"}
        assert set(writer.store.describe(["main.other", "no.such"])) == {"main.other"}
        assert writer.read() == [(1, "a")]

    def test_a_stale_writer_changes_nothing(self, writer: Writer) -> None:
        """A commit that does not follow the last one is refused in every mode."""
        writer.write("append", rows_of({1: "a"}))
        stale = writer.next_commit()
        writer.write("append", rows_of({2: "b"}))
        modes: list[Any] = ["record", *sorted(self.store_class.capabilities.modes)]
        for mode in modes:
            rows = Select(rows_of({3: "c"}) if mode != "record" else NO_SELECT)
            change = Change(mode, rows, COLUMNS, key=("id",), where=PredicateSql("true"))
            with pytest.raises(StateError):
                writer.store.commit(writer.load(), change, stale)
        assert writer.read() == [(1, "a"), (2, "b")]
        assert writer.described.commit is not None
        assert writer.described.commit.sequence == 2

    @pytest.mark.parametrize("mode", ["append", "replace"])
    def test_what_another_instance_committed_is_noticed(
        self, writer: Writer, make_store: Callable[[], Store], mode: Any
    ) -> None:
        """An instance that has seen the table before another one wrote is as stale as any other."""
        writer.write("append", rows_of({1: "a"}))
        stale = writer.next_commit()
        Writer(make_store(), writer.session).write("append", rows_of({2: "b"}))
        with pytest.raises(StateError):
            writer.store.commit(writer.load(), Change(mode, Select(rows_of({3: "c"})), COLUMNS), stale)
        assert writer.read() == [(1, "a"), (2, "b")]

    def test_a_second_first_commit_changes_nothing(self, writer: Writer) -> None:
        """A table that is there is not made again."""
        first = writer.next_commit()
        writer.write("append", rows_of({1: "a"}))
        with pytest.raises(StateError):
            writer.store.commit(writer.load(), Change("replace", Select(rows_of({2: "b"})), COLUMNS), first)
        assert writer.read() == [(1, "a")]

    def test_a_second_producer_is_refused(self, writer: Writer) -> None:
        """A table has one producer."""
        writer.write("append", rows_of({1: "a"}))
        other = replace(writer.next_commit(), producer="somebody.else")
        with pytest.raises(StateError):
            writer.store.commit(writer.load(), Change("append", Select(rows_of({2: "b"})), COLUMNS), other)
        assert writer.read() == [(1, "a")]

    def test_two_writers_race(self, writer: Writer, make_store: Callable[[], Store], session: MemorySession) -> None:
        """Of two writers that follow the same commit one wins, and the rows of the other are nowhere."""
        writer.write("append", rows_of({1: "a"}))
        other = Writer(make_store(), session)
        rivals = iter([rows_of({2: "rival"})])

        def commit_in_between(boundary: str) -> None:
            for rows in rivals:
                other.write("append", rows)

        with pytest.raises(RunError):
            writer.write("append", rows_of({3: "late"}), load=writer.load(notify=commit_in_between))
        assert writer.read() == [(1, "a"), (2, "rival")]
        writer.write("append", rows_of({3: "again"}))
        assert writer.read() == [(1, "a"), (2, "rival"), (3, "again")]

    def test_an_audit_sees_the_table_as_it_will_be_and_may_refuse_it(self, writer: Writer) -> None:
        """An audit that raises leaves the table as it was."""
        writer.write("append", rows_of({1: "a"}))
        seen: list[Any] = []

        def refuse(query: str) -> None:
            seen.extend(writer.fetch(query))
            raise ArithmeticError("refused")

        with pytest.raises(ArithmeticError):
            writer.write("append", rows_of({2: "b"}), load=writer.load(audit=refuse))
        assert seen == [(1, "a"), (2, "b")]
        assert writer.read() == [(1, "a")]
        writer.write("append", rows_of({3: "c"}))
        assert writer.read() == [(1, "a"), (3, "c")]

    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("boundary", ["before_commit", "claimed", "after_commit"])
    def test_a_writer_that_ends_at_a_boundary(self, writer: Writer, boundary: str, first: bool) -> None:
        """A writer that is gone at any boundary leaves the old table or the new one."""
        if not first:
            writer.write("append", rows_of({1: "a"}))
        before = [] if first else [(1, "a")]

        def end(name: str) -> None:
            if name == boundary:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            writer.write("append", rows_of({2: "b"}), position={"files": {"b": 1}}, load=writer.load(notify=end))
        there = writer.state is not None and writer.state.commit is not None
        assert (writer.read() if there else []) == ([*before, (2, "b")] if boundary == "after_commit" else before)
        receipt = writer.write("append", rows_of({3: "c"}), position={"files": {"c": 1}})
        assert (3, "c") in writer.read()
        assert writer.described.commit == receipt.commit
        expected = {"b": 1, "c": 1} if boundary == "after_commit" else {"c": 1}
        assert writer.described.position == {"files": expected}

    def test_a_dropped_table_is_gone_and_its_count_goes_on(self, writer: Writer) -> None:
        """A table of the same name made later has later versions."""
        writer.write("append", rows_of({1: "a"}), position={"files": {"a": 1}})
        writer.write("append", rows_of({2: "b"}))
        writer.store.stage(writer.load("two"), {}, "1", rows_of({2: "b"})).finish_chunk({})
        assert writer.store.maintain([writer.table], {"drop": True})[writer.table].dropped
        assert writer.store.describe() == {}
        assert not writer.store.maintain([writer.table], {"drop": True})[writer.table].dropped
        receipt = writer.write("append", rows_of({3: "c"}))
        assert receipt.commit.sequence > 2
        assert receipt.commit.version == receipt.commit.sequence
        assert writer.read() == [(3, "c")]
        assert writer.described.position == {}

    def test_maintenance_keeps_the_table(self, writer: Writer) -> None:
        """What readers see is never removed."""
        for number in range(4):
            writer.write("replace", rows_of({number: "a"}))
        writer.write("append", rows_of({9: "z"}))
        result = writer.store.maintain([writer.table, "no.such"], {"age_s": 0.0, "versions": 1})
        assert set(result) == {writer.table, "no.such"}
        assert writer.read() == [(3, "a"), (9, "z")]
        writer.write("append", rows_of({10: "y"}))
        assert len(writer.read()) == 3

    def test_reading_only(self, writer: Writer, store_path: str) -> None:
        """A session that only reads can read, and nothing else."""
        writer.write("append", rows_of({1: "a"}))
        writer.session.close()
        session = MemorySession(read_only=True)
        reader = Writer(self.store_class(store_path, session), session)
        assert reader.read() == [(1, "a")]
        with pytest.raises(RunError):
            reader.write("append", rows_of({2: "b"}))
        with pytest.raises(RunError):
            reader.store.stage(reader.load(), {}, "1", rows_of({2: "b"}))
        assert reader.read() == [(1, "a")]
        session.close()
