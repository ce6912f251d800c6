"""Staging and quarantine, as tests of the conformance suite of stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headwater.contracts import REJECT_COLUMNS
from headwater.core.fragments import SelectSql
from headwater.testing.store_fixtures import StoreFixtures, Writer, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.contracts import Store


class LoadContract(StoreFixtures):
    """What becomes of rows before their commit and beside it."""

    def test_staged_rows_are_invisible_and_survive(self, writer: Writer, make_store: Callable[[], Store]) -> None:
        """Finished chunks are found again by another process, unfinished ones are not."""
        manifest = {"bounds": [1, 9]}
        result = writer.store.stage(writer.load(), manifest, "part/1", rows_of({1: "a"}))
        assert result.rows == 1
        assert writer.fetch(result.query) == [(1, "a")]
        result.finish_chunk({"position": {"cursor": 1}})
        writer.store.stage(writer.load(), manifest, "part/2", rows_of({2: "b"}))
        state = make_store().describe()[writer.table]
        assert (state.commit, state.columns, state.scan) == (None, (), "")
        assert state.staging is not None
        assert (state.staging.load_id, state.staging.manifest) == ("load-1", manifest)
        assert [(part.chunk, part.end) for part in state.staging.parts] == [("part/1", {"position": {"cursor": 1}})]
        assert writer.fetch(state.staging.parts[0].query) == [(1, "a")]

    @pytest.mark.parametrize("mode", ["append", "replace"])
    def test_a_staged_load_is_committed(self, writer: Writer, make_store: Callable[[], Store], mode: str) -> None:
        """Staged parts become the rows of a commit and are then gone."""
        writer.write("append", rows_of({0: "z"}))
        for number in (1, 2, 3):
            rows = rows_of({number: "s"} if number < 3 else {})
            writer.store.stage(writer.load("two"), {}, f"part {number}", rows).finish_chunk({"n": number})
        later = Writer(make_store(), writer.session, writer.table)
        staging = later.described.staging
        assert staging is not None
        assert [part.end["n"] for part in staging.parts] == [1, 2, 3]
        rows = SelectSql(" UNION ALL ".join(part.query for part in staging.parts))
        parts = tuple(part.chunk for part in staging.parts)
        receipt = later.write(mode, rows, parts=parts, load=later.load("two"))
        assert receipt.rows_inserted == 2
        assert later.read() == ([(0, "z")] if mode == "append" else []) + [(1, "s"), (2, "s")]
        assert later.described.staging is None

    def test_a_staged_chunk_is_staged_anew(self, writer: Writer) -> None:
        """A chunk that is written again counts once."""
        writer.store.stage(writer.load(), {}, "1", rows_of({1: "old"})).finish_chunk({"n": 1})
        writer.store.stage(writer.load(), {}, "1", rows_of({1: "new"})).finish_chunk({"n": 2})
        staging = writer.described.staging
        assert staging is not None
        assert [(writer.fetch(part.query), part.end) for part in staging.parts] == [([(1, "new")], {"n": 2})]

    def test_staging_on_top_of_an_older_commit_is_forgotten(self, writer: Writer) -> None:
        """What was staged before another commit is not resumed."""
        writer.write("append", rows_of({1: "a"}))
        writer.store.stage(writer.load("two"), {"m": 1}, "1", rows_of({2: "b"})).finish_chunk({})
        writer.write("append", rows_of({3: "c"}), load=writer.load("three"))
        forgotten = writer.described.staging
        assert forgotten is None
        writer.store.stage(writer.load("two"), {"m": 2}, "2", rows_of({4: "d"})).finish_chunk({})
        staging = writer.described.staging
        assert staging is not None
        assert (staging.manifest, [part.chunk for part in staging.parts]) == ({"m": 2}, ["2"])
        writer.write("append", rows_of({5: "e"}), load=writer.load("four"))
        assert writer.store.maintain([writer.table], {})[writer.table].staging_removed == 1
        assert writer.read() == [(1, "a"), (3, "c"), (5, "e")]

    def test_rejects_become_visible_with_their_commit(self, writer: Writer) -> None:
        """Rejects appear with their commit, each key once."""

        def rejects(*keys: str) -> str:
            values = ", ".join(f"('{key}', 'b', now(), 'f.csv', 1, 'cast', 'why', 'raw')" for key in keys)
            return f"SELECT * FROM (VALUES {values})"

        def refuse(query: str) -> None:
            raise ArithmeticError

        with pytest.raises(ArithmeticError):
            writer.write("append", rows_of({1: "a"}), rejects=rejects("k0"), load=writer.load(audit=refuse))
        writer.write("append", rows_of({1: "a"}), rejects=rejects("k1", "k2"))
        writer.write("record", rejects=rejects("k2", "k3"), version=1)
        writer.write("append", rows_of({2: "b"}))
        query = writer.described.rejects
        names = [column for column, _ in REJECT_COLUMNS]
        assert writer.connection.sql(query).columns == names
        assert writer.fetch(f"SELECT _reject_key FROM ({query})") == [("k1",), ("k2",), ("k3",)]

    def test_positions_are_merged_over_many_commits(self, writer: Writer, make_store: Callable[[], Store]) -> None:
        """Files of every commit are remembered, other keys are replaced."""
        writer.write("append", rows_of({0: "a"}), position={"files": {"0": [0]}, "once": True})
        for number in range(1, 53):
            gone = {str(number - 1): None} if number % 10 == 0 else {}
            position = {"files": {str(number): [number], **gone}, "cursor": number}
            writer.write("record", position=position, version=1)
        files = {str(number): [number] for number in range(53) if number % 10 != 9}
        state = make_store().describe()[writer.table]
        assert state.position == {"files": files, "cursor": 52, "once": True}
        writer.write("record", position={"files": {"x": 1}, "complete": True}, version=1)
        assert writer.described.position == {"files": {"x": 1}}
