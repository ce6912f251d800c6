"""Files that a store keeps as they are, as tests of the conformance suite of stores."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.contracts import ObjectStore
from headwater.core.commit import Column
from headwater.core.fragments import SelectSql
from headwater.errors import ConnectorError
from headwater.testing.store_fixtures import MemorySession, StoreFixtures, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.contracts import ObjectCopy, Store

CATALOGUE = (Column("path", "VARCHAR"), Column("object", "VARCHAR"))
"""Columns of the tables here."""


def rows_of_objects(copies: dict[str, ObjectCopy]) -> SelectSql:
    """Return a SELECT of `path` and `object` that names the copies."""
    listed = ", ".join(f"('{path}', '{copy.place}')" for path, copy in copies.items())
    return SelectSql(f"SELECT path, object FROM (VALUES {listed}) AS v(path, object)")


class ObjectContract(StoreFixtures):
    """What a store does with objects; one without `keep_object` is skipped."""

    @pytest.fixture
    def keep(self, writer: Writer, tmp_path: Path) -> Callable[[str, bytes], ObjectCopy]:
        """Writes a file of a name and has the store keep it."""
        store = writer.store
        if not isinstance(store, ObjectStore):
            pytest.skip(f"{store.kind} keeps no objects")

        def write(name: str, content: bytes) -> ObjectCopy:
            path = tmp_path / "given" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return store.keep_object(writer.table, str(path))

        return write

    @pytest.mark.parametrize("name", ["a.png", "ü 😀's [1]*?.PNG", "no extension", ".gz", "dot.", "a.b c"])
    @pytest.mark.parametrize("content", [b"", b"bytes\0\xff"])
    def test_an_object_is_kept_as_it_is(
        self, keep: Callable[[str, bytes], ObjectCopy], store_path: str, name: str, content: bytes
    ) -> None:
        """Whatever its name, the bytes lie at its place, whose name tells them."""
        copy = keep(name, content)
        assert Path(store_path, copy.place).read_bytes() == content
        assert (copy.sha256, copy.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert copy.sha256 in copy.place

    def test_the_same_bytes_are_kept_once(self, keep: Callable[[str, bytes], ObjectCopy], store_path: str) -> None:
        """Another file of the same bytes and extension is the same object, and the first copy stays."""
        one = keep("one.txt", b"same")
        before = Path(store_path, one.place).stat().st_ino
        assert keep("two.txt", b"same") == one
        assert Path(store_path, one.place).stat().st_ino == before
        assert keep("three.txt", b"other").place != one.place

    def test_a_damaged_copy_is_made_whole(self, keep: Callable[[str, bytes], ObjectCopy], store_path: str) -> None:
        """What is shorter than the file it was made from is no copy of it."""
        place = Path(store_path, keep("a.txt", b"whole").place)
        place.write_bytes(b"wh")
        keep("a.txt", b"whole")
        assert place.read_bytes() == b"whole"

    def test_many_are_kept_at_once(self, keep: Callable[[str, bytes], ObjectCopy], store_path: str) -> None:
        """Threads keep equal and different files at the same time."""
        with ThreadPoolExecutor(8) as pool:
            copies = list(pool.map(lambda n: keep(f"{n}.txt", b"%d" % (n % 10)), range(40)))
        assert len({copy.place for copy in copies}) == 10
        for number, copy in enumerate(copies):
            assert Path(store_path, copy.place).read_bytes() == b"%d" % (number % 10)

    def test_a_missing_file_leaves_nothing(self, writer: Writer, keep: object, tmp_path: Path) -> None:
        """The error names the file."""
        assert isinstance(writer.store, ObjectStore)
        with pytest.raises(FileNotFoundError, match="gone"):
            writer.store.keep_object(writer.table, str(tmp_path / "gone"))
        assert writer.state is None

    def test_an_object_alone_is_no_table(
        self, writer: Writer, keep: Callable[[str, bytes], ObjectCopy], make_store: Callable[[], Store]
    ) -> None:
        """Objects come before the commit that names them: until then readers see nothing, and a first load works."""
        copy = keep("a.txt", b"a")
        assert make_store().describe() == {}
        writer.write("append", rows_of_objects({"a": copy}), columns=CATALOGUE)
        assert writer.read() == [("a", copy.place)]

    def test_maintain_keeps_what_a_row_names(
        self, writer: Writer, keep: Callable[[str, bytes], ObjectCopy], store_path: str
    ) -> None:
        """Objects of rows that can be read or are staged stay, however old; of the others, those old enough go."""
        kept = {name: keep(name, name.encode()) for name in ("first", "second", "staged", "lost")}
        writer.write("append", rows_of_objects({"first": kept["first"]}), columns=CATALOGUE)
        writer.write("replace", rows_of_objects({"second": kept["second"]}), columns=CATALOGUE)
        rows = rows_of_objects({"staged": kept["staged"]})
        writer.store.stage(writer.load("going on"), {}, "1", rows).finish_chunk({})

        def there() -> set[str]:
            return {name for name, copy in kept.items() if Path(store_path, copy.place).exists()}

        writer.store.maintain([writer.table], {"age_s": 3600.0})
        assert there() == set(kept)
        for copy in kept.values():
            os.utime(Path(store_path, copy.place), (0, 0))
        writer.store.maintain([writer.table], {"age_s": 3600.0})
        assert there() == {"first", "second", "staged"}
        writer.write("append", rows, columns=CATALOGUE, load=writer.load("going on"))
        writer.store.maintain([writer.table], {"age_s": 0.0, "versions": 2})
        assert there() == {"first", "second", "staged"}
        result = writer.store.maintain([writer.table], {"age_s": 0.0})[writer.table]
        assert there() == {"second", "staged"}
        assert result.files_removed == 2  # the first load's rows and its object
        assert result.bytes_removed > 0

    def test_a_dropped_table_takes_its_objects_along(
        self, writer: Writer, keep: Callable[[str, bytes], ObjectCopy], store_path: str
    ) -> None:
        """And the next table keeps its own."""
        copy = keep("a.txt", b"a")
        writer.write("append", rows_of_objects({"a": copy}), columns=CATALOGUE)
        assert writer.store.maintain([writer.table], {"drop": True})[writer.table].dropped
        assert not Path(store_path, copy.place).exists()
        assert keep("a.txt", b"a") == copy
        assert Path(store_path, copy.place).read_bytes() == b"a"

    def test_nothing_is_kept_for_readers(self, keep: object, store_path: str) -> None:
        """A store that is opened for reading refuses."""
        session = MemorySession(read_only=True)
        store = self.store_class(store_path, session)
        assert isinstance(store, ObjectStore)
        with pytest.raises(ConnectorError, match="reading only"):
            store.keep_object("shop.orders", __file__)
        session.close()
