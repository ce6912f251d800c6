"""Several commits in one, as tests of the conformance suite of stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.contracts import GroupingStore
from headwater.core.fragments import SelectSql
from headwater.errors import StateError
from headwater.testing.store_fixtures import MemorySession, StoreFixtures, Writer, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.contracts import Store


class GroupContract(StoreFixtures):
    """What a store does with several commits in one transaction; one without `together` is skipped."""

    @pytest.fixture
    def pair(self, make_store: Callable[[], Store], session: MemorySession) -> tuple[GroupingStore, Writer, Writer]:
        """The store, and writers of two tables on one connection."""
        store = make_store()
        if not isinstance(store, GroupingStore):
            pytest.skip(f"{store.kind} has no transaction of several commits")
        one, other = Writer(store, session, "shop.orders"), Writer(store, session, "marts.totals")
        other.connection = one.connection
        return store, one, other

    def test_all_is_visible_with_the_end_of_the_block(self, pair: tuple[GroupingStore, Writer, Writer]) -> None:
        """Nobody sees a part; what is announced after a commit is announced after the end."""
        store, one, other = pair
        with store.together(one.connection, [one.table, other.table]):
            one.write("replace", rows_of({1: "a"}))
            other.write("replace", rows_of({2: "b"}))
            assert one.state is None
            assert other.state is None
            assert "after_commit" not in one.boundaries
        assert (one.read(), other.read()) == ([(1, "a")], [(2, "b")])
        assert one.boundaries[-1] == other.boundaries[-1] == "after_commit"

    def test_a_table_of_the_block_is_read_in_it(self, pair: tuple[GroupingStore, Writer, Writer]) -> None:
        """On its connection, by its name in the store's catalogue."""
        store, one, other = pair
        with store.together(one.connection, [one.table, other.table]):
            one.write("replace", rows_of({1: "a"}))
            other.write("replace", SelectSql(f"SELECT id + 1 AS id, name FROM {store.catalog}.{one.table}"))
        assert other.read() == [(2, "a")]

    @pytest.mark.parametrize("exists", [False, True])
    def test_an_error_takes_back_all_of_it(
        self, pair: tuple[GroupingStore, Writer, Writer], make_store: Callable[[], Store], exists: bool
    ) -> None:
        """Tables and commits are as before, for this instance and for others, and can be written as ever."""
        store, one, other = pair
        if exists:
            one.write("replace", rows_of({0: "old"}))
        before = one.state

        def stop() -> None:
            with store.together(one.connection, [one.table, other.table]):
                one.write("replace", rows_of({1: "a"}))
                other.write("replace", rows_of({2: "b"}))
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            stop()
        assert (one.state, other.state) == (before, None)
        assert sorted(make_store().describe()) == (["shop.orders"] if exists else [])
        one.write("replace", rows_of({3: "c"}))
        other.write("replace", rows_of({4: "d"}))
        assert (one.read(), other.read()) == ([(3, "c")], [(4, "d")])

    def test_a_stale_writer_takes_back_all_of_it(self, pair: tuple[GroupingStore, Writer, Writer]) -> None:
        """The compare-and-set is that of each commit."""
        store, one, other = pair
        one.write("replace", rows_of({1: "a"}))
        stale = one.next_commit()
        one.write("replace", rows_of({2: "b"}))

        def write_late() -> None:
            with store.together(one.connection, [one.table, other.table]):
                other.write("replace", rows_of({3: "c"}))
                one.write("replace", rows_of({4: "d"}), sequence=stale.sequence, previous=stale.previous)

        with pytest.raises(StateError):
            write_late()
        assert one.read() == [(2, "b")]
        assert other.state is None

    def test_what_follows_the_block_has_its_own(self, pair: tuple[GroupingStore, Writer, Writer]) -> None:
        """The connection is as before."""
        store, one, other = pair
        with store.together(one.connection, [one.table]):
            one.write("replace", rows_of({1: "a"}))
        one.write("append", rows_of({2: "b"}))
        other.write("replace", rows_of({3: "c"}))
        assert one.read() == [(1, "a"), (2, "b")]
        assert one.boundaries.count("after_commit") == 2
