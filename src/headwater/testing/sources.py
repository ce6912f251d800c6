"""The conformance suite of a batch source: subclass `SourceContract` in a test module and give it your source.

    class TestMySource(SourceContract):
        def make_source(self, folder): ...
        def options(self): ...
        ...

Every test asks one promise of the contract. A source that cannot do something says so by the class attributes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import Chunk, ChunkEnd, Reading, ReadRequest, Source, TableDescription
from headwater.core.commit import Column, merge_positions
from headwater.core.layers import Family, Layer
from headwater.core.specs import IngestSpec, Spec
from headwater.core.stores import DeclaredStore
from headwater.ingestion import compile_prepare, set_mask_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

Row = tuple[Any, ...]

_WAREHOUSE = DeclaredStore("warehouse", "warehouse", "")
_LOADED_AT = "TIMESTAMPTZ '2024-05-01 00:00:00+00'"


class SourceContract:
    """What every batch source promises.

    Subclasses give a source over a table `items` with the columns `id` (whole numbers), `changed` (whole numbers that
    grow) and `name` (text), and write rows into it.

    Attributes:
        table: Name of the table.
        incremental: Keys of `IngestSpec` for an incremental read.
        lists_keys: The source can list its keys for `deletes: compare_keys`.
        many_chunks: A read of enough rows with `chunk_rows=2` gives several chunks that can be resumed.
        fixes_bound: Rows that come after a read has begun are kept out of it, also when it is resumed.
        rereads_last: An incremental read may give again what it gave before (`cursor >= last`), to be merged by key.
    """

    table: ClassVar[str] = "items"
    incremental: ClassVar[Mapping[str, Any]] = {"load": "incremental", "key": ["id"], "cursor": "changed"}
    lists_keys: ClassVar[bool] = True
    many_chunks: ClassVar[bool] = True
    fixes_bound: ClassVar[bool] = True
    rereads_last: ClassVar[bool] = True

    # ------------------------------------------------------------------------------------- what a subclass gives

    def make_source(self, folder: Path) -> Source:
        """Return a source over an empty table in `folder`; called again, another instance over the same table."""
        raise AssertionError("a subclass gives make_source")

    def options(self) -> Any:
        """Return the table's options: an instance of the source's `table_spec`."""
        raise AssertionError("a subclass gives options")

    def write(self, folder: Path, rows: Sequence[Row]) -> None:
        """Add rows of (id, changed, name) to the table, or replace those with the same id."""
        raise AssertionError("a subclass gives write")

    def columns(self, described: TableDescription) -> tuple[Column, ...]:
        """Return the columns to ask for: the described ones, unless the source only proposes."""
        return described.columns

    # --------------------------------------------------------------------------------------------------- harness

    def _connect(self) -> DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(config={"enable_external_file_cache": False})
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _request(
        self, folder: Path, connection: DuckDBPyConnection, ingest: Mapping[str, Any] | None = None, **more: Any
    ) -> ReadRequest:
        described = self.make_source(folder).describe({self.table: self.options()})[self.table]
        return ReadRequest(
            options=self.options(),
            ingest=IngestSpec.model_validate({"into": "warehouse", **(ingest or {})}),
            columns=self.columns(described),
            position=more.pop("position", {}),
            connection=connection,
            now=datetime(2024, 5, 1, tzinfo=UTC),
            **more,
        )

    def _run(self, request: ReadRequest, reading: Reading) -> tuple[list[Row], dict[str, Any], list[str]]:
        """Read to the end: (rows of id, changed, name), merged position, ids of the chunks."""
        rows: list[Row] = []
        positions, ids = [], []
        for chunk in reading.chunks:
            found, end = self._take(request, reading, chunk)
            rows += found
            positions.append(end.position)
            ids.append(chunk.id)
        return rows, merge_positions(positions), ids

    def _take(self, request: ReadRequest, reading: Reading, chunk: Chunk) -> tuple[list[Row], ChunkEnd]:
        connection = request.connection
        prepared = compile_prepare(
            request.ingest, reading.columns or request.columns, store=_WAREHOUSE, extra=reading.extra
        )
        set_mask_keys(connection, request.ingest)
        projection = prepared.projection(chunk.query, "batch", _LOADED_AT)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE contract AS {projection}")
        end = chunk.finish()
        if end.rejects:
            counted = connection.execute(f"SELECT count(*) FROM ({end.rejects})").fetchone()
            assert counted == (end.rejected,)
        good = connection.execute(f"SELECT id, changed, name FROM ({prepared.good_rows('contract')})")
        return good.fetchall(), end

    def _read(
        self, folder: Path, ingest: Mapping[str, Any] | None = None, **more: Any
    ) -> tuple[list[Row], dict[str, Any], list[str]]:
        connection = self._connect()
        try:
            request = self._request(folder, connection, ingest, **more)
            return self._run(request, self.make_source(folder).read(self.table, request))
        finally:
            connection.close()

    # ------------------------------------------------------------------------------------------------- the tests

    def test_it_registers_itself(self, tmp_path: Path) -> None:
        """Kind, family and specs are class attributes; the family is a source's."""
        source = self.make_source(tmp_path)
        for name in ("kind", "family", "connection_spec", "table_spec", "describe", "read"):
            assert hasattr(source, name), name  # the rest has a default, see `headwater.contracts.Source`
        assert source.kind
        assert source.kind == source.kind.lower()
        assert isinstance(source.family, Family)
        assert source.family.layer is Layer.SOURCES
        assert issubclass(source.connection_spec, Spec)
        assert issubclass(source.table_spec, Spec)

    def test_its_keys_do_not_clash_with_those_of_every_kind(self, tmp_path: Path) -> None:
        """A table's own keys stand beside those of `IngestSpec` in one file; a subclass of it has own defaults."""
        spec = self.make_source(tmp_path).table_spec
        assert issubclass(spec, IngestSpec) or not set(spec.model_fields) & set(IngestSpec.model_fields)

    def test_describe_knows_the_columns(self, tmp_path: Path) -> None:
        """Names and types are known before a row is read."""
        self.write(tmp_path, [(1, 1, "a")])
        described = self.make_source(tmp_path).describe({self.table: self.options()})[self.table]
        found = {column.name: column.type for column in self.columns(described)}
        assert {"id", "changed", "name"} <= set(found)
        assert found["name"] == "VARCHAR"

    def test_the_version_changes_with_the_rows(self, tmp_path: Path) -> None:
        """A version that stays the same means that nothing changed; None means that the source cannot know."""

        def version() -> str | None:
            return self.make_source(tmp_path).describe({self.table: self.options()})[self.table].version

        self.write(tmp_path, [(1, 1, "a")])
        before = version()
        assert version() == before
        self.write(tmp_path, [(2, 2, "bb")])
        assert before is None or version() != before

    def test_a_full_read_gives_every_row_once(self, tmp_path: Path) -> None:
        """NULLs, empty texts and texts of every alphabet come as they are."""
        rows = [(1, 1, "a"), (2, 2, "ü 😀 'quoted' \"twice\""), (3, 3, None)]
        self.write(tmp_path, rows)
        found, _, ids = self._read(tmp_path)
        assert sorted(found) == rows
        assert len(set(ids)) == len(ids)

    def test_an_empty_table_is_no_error(self, tmp_path: Path) -> None:
        """Nothing there gives nothing."""
        self.write(tmp_path, [(1, 1, "a")])
        columns = self.columns(self.make_source(tmp_path).describe({self.table: self.options()})[self.table])
        empty = tmp_path / "empty"
        empty.mkdir()
        connection = self._connect()
        source = self.make_source(empty)
        request = ReadRequest(
            options=self.options(),
            ingest=IngestSpec.model_validate({"into": "warehouse"}),
            columns=columns,
            position={},
            connection=connection,
            now=datetime(2024, 5, 1, tzinfo=UTC),
        )
        found, _, _ = self._run(request, source.read(self.table, request))
        connection.close()
        assert found == []

    def test_an_incremental_read_goes_on_from_its_position(self, tmp_path: Path) -> None:
        """New and changed rows come; a position is plain JSON."""
        self.write(tmp_path, [(1, 1, "a"), (2, 2, "b")])
        first, position, _ = self._read(tmp_path, self.incremental)
        assert sorted(first) == [(1, 1, "a"), (2, 2, "b")]
        position = json.loads(json.dumps(position))
        again, _, _ = self._read(tmp_path, self.incremental, position=position)
        assert set(again) <= set(first)
        if not self.rereads_last:
            assert again == []
        self.write(tmp_path, [(3, 3, "c"), (2, 4, "changed")])
        second, _, _ = self._read(tmp_path, self.incremental, position=position)
        assert {(3, 3, "c"), (2, 4, "changed")} <= set(second)

    def test_reading_again_from_the_same_position_gives_the_same(self, tmp_path: Path) -> None:
        """A load that was lost before its commit is repeated without loss."""
        self.write(tmp_path, [(n, n, f"row {n}") for n in range(5)])
        one, position, ids = self._read(tmp_path, self.incremental)
        other, again, same = self._read(tmp_path, self.incremental)
        assert (sorted(one), position, ids) == (sorted(other), again, same)

    def test_the_upper_bound_is_fixed_when_the_read_begins(self, tmp_path: Path) -> None:
        """Rows that come later belong to the next read, of which none is lost."""
        self.write(tmp_path, [(n, n, "early") for n in range(1, 6)])
        connection = self._connect()
        request = self._request(tmp_path, connection, self.incremental, chunk_rows=2)
        reading = self.make_source(tmp_path).read(self.table, request)
        manifest = json.loads(json.dumps(reading.manifest))
        assert manifest == reading.manifest
        first, position, _ = self._run(request, reading)
        connection.close()
        self.write(tmp_path, [(9, 9, "late")])
        connection = self._connect()
        request = self._request(tmp_path, connection, self.incremental, chunk_rows=2, manifest=manifest)
        resumed, _, _ = self._run(request, self.make_source(tmp_path).read(self.table, request))
        connection.close()
        if self.fixes_bound:
            assert sorted(first) == sorted(resumed)
        rest, _, _ = self._read(tmp_path, self.incremental, position=position)
        assert (9, 9, "late") in rest

    def test_a_resumed_read_leaves_out_finished_chunks(self, tmp_path: Path) -> None:
        """Chunks before the kill and after it make the whole, for each place of the kill."""
        if not self.many_chunks:
            return
        for number in range(3):
            self.write(tmp_path, [(n, n, f"row {n}") for n in range(3 * number, 3 * number + 3)])
        connection = self._connect()
        request = self._request(tmp_path, connection, self.incremental, chunk_rows=2)
        reading = self.make_source(tmp_path).read(self.table, request)
        parts, ends = [], {}
        for chunk in reading.chunks:
            rows, end = self._take(request, reading, chunk)
            parts.append((chunk.id, rows))
            ends[chunk.id] = json.loads(json.dumps(end.resume))
        connection.close()
        assert len(parts) > 1
        for killed in range(len(parts) + 1):
            staged = [row for _, rows in parts[:killed] for row in rows]
            finished = frozenset(name for name, _ in parts[:killed])
            rest, _, ids = self._read(
                tmp_path,
                self.incremental,
                chunk_rows=2,
                manifest=reading.manifest,
                finished=finished,
                ends={name: ends[name] for name in finished},
            )
            assert not finished & set(ids)
            assert sorted(staged + rest) == [(n, n, f"row {n}") for n in range(9)]

    def test_keys_are_those_of_the_source_now(self, tmp_path: Path) -> None:
        """Asked for after the chunks, they hold every row that was read."""
        self.write(tmp_path, [(1, 1, "a"), (2, 2, "b")])
        connection = self._connect()
        request = self._request(tmp_path, connection, {**self.incremental, "key": ["id"], "deletes": "compare_keys"})
        reading = self.make_source(tmp_path).read(self.table, request)
        rows, _, _ = self._run(request, reading)
        if not self.lists_keys:
            assert reading.keys is None
        else:
            assert reading.keys is not None
            keys = connection.execute(f"SELECT id FROM ({reading.keys(('id',))})").fetchall()
            assert sorted(keys) == sorted({(row[0],) for row in rows})
        connection.close()

    def test_a_hidden_value_is_in_no_reject(self, tmp_path: Path) -> None:
        """Neither a reason nor a raw row shows what `mask` or `drop` hides."""
        self.write(tmp_path, [(1, 1, "HIDDEN"), (2, 2, "HIDDEN")])
        connection = self._connect()
        ingest = {"prepare": [{"mask": {"columns": ["name"], "key": "k"}}], "reject_if": {"one": "id = 1"}}
        request = self._request(tmp_path, connection, ingest)
        reading = self.make_source(tmp_path).read(self.table, request)
        for chunk in reading.chunks:
            self._take(request, reading, chunk)
            found = connection.sql("SELECT * FROM contract").to_arrow_table()
            assert "HIDDEN" not in str(
                [found.column(name).to_pylist() for name in ("_reason", "_rejected_raw", "name")]
            )
        connection.close()
