"""The store of artefacts: versions of files, all or nothing, whoever is killed or comes late."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.contracts import Change, Load
from headwater.core.commit import Commit
from headwater.errors import ConnectorError, StateError
from headwater.storage.artefacts.store import Artefacts

NAME = "dashboards.sales"


@dataclass
class Session:
    read_only: bool = False
    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self.connection.cursor()


class Killed(BaseException):
    pass


def files(folder: Path, **texts: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def commit(
    store: Artefacts, folder: str, previous: int | None = None, *, die_at: str = "", mode: Any = "replace"
) -> Any:
    def notify(name: str) -> None:
        if name == die_at:
            raise Killed

    asked = Commit(NAME, (previous or 0) + 1, previous, "run", "print.0", "2024-01-01", (previous or 0) + 1)
    load = Load(NAME, NAME, "run", store._session.cursor(), notify=notify)
    return store.commit(load, Change(mode, files=folder), asked)


@pytest.fixture
def store(tmp_path: Path) -> Artefacts:
    return Artefacts(str(tmp_path / "artefacts"), Session())


def text_of(store: Artefacts) -> str:
    return (Path(store.describe()[NAME].location) / "page").read_text()


def test_a_version_is_its_folder_and_the_newest_is_linked(store: Artefacts, tmp_path: Path) -> None:
    assert store.describe() == {}
    commit(store, files(tmp_path / "made", page="one", parts__chart="x"))
    receipt = commit(store, files(tmp_path / "made", page="two"), 1)
    state = store.describe()[NAME]
    assert receipt.changed
    assert (state.commit.sequence if state.commit else 0, state.size_bytes, state.foreign) == (2, 3, "")
    assert text_of(store) == "two"
    place = tmp_path / "artefacts" / "dashboards" / "sales"
    assert os.readlink(place / "latest") == "load=00000002"
    assert (place / "load=00000001" / "parts" / "chart").read_text() == "x"
    assert not (place / "load=00000002" / "parts").exists()


def test_the_same_bytes_are_no_new_version(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    receipt = commit(store, files(tmp_path / "made", page="one"), 1)
    assert (receipt.changed, receipt.commit.sequence, receipt.commit.version) == (False, 2, 1)
    assert text_of(store) == "one"
    third = commit(store, files(tmp_path / "made", page="one", more="x"), 2)
    assert (third.changed, third.commit.version) == (True, 3)


def test_a_record_keeps_the_files(store: Artefacts, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nothing to record"):
        commit(store, "", mode="record")
    commit(store, files(tmp_path / "made", page="one"))
    assert not commit(store, "", 1, mode="record").changed
    assert text_of(store) == "one"


@pytest.mark.parametrize("at", ["before_commit", "claimed", "after_commit"])
def test_who_is_killed_leaves_the_last_or_the_new_version(store: Artefacts, tmp_path: Path, at: str) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    with pytest.raises(Killed):
        commit(store, files(tmp_path / "made", page="two"), 1, die_at=at)
    fresh = Artefacts(store._path, Session())
    state = fresh.describe()[NAME]
    assert state.commit is not None
    assert (text_of(fresh), state.commit.sequence) == (("two", 2) if at == "after_commit" else ("one", 1))
    again = commit(fresh, files(tmp_path / "made", page="three"), state.commit.sequence)
    assert text_of(fresh) == "three"
    assert os.readlink(Path(state.location).parent / "latest") == f"load={again.commit.sequence:08d}"


def test_the_link_is_mended_by_who_may_write(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    link = tmp_path / "artefacts" / "dashboards" / "sales" / "latest"
    link.unlink()
    Artefacts(store._path, Session(read_only=True)).describe()
    assert not os.path.lexists(link)
    store.describe()
    assert os.readlink(link) == "load=00000001"


def test_a_copy_that_followed_the_link_shows_no_old_version(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    shutil.copytree(store._path, tmp_path / "copy")
    copied = Artefacts(str(tmp_path / "copy"), Session())
    latest = tmp_path / "copy" / "dashboards" / "sales" / "latest"
    assert not latest.is_symlink()
    commit(copied, files(tmp_path / "made", page="two"), 1)
    assert (latest / "page").read_text() == "two"


def test_one_of_two_writers_wins(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    commit(store, files(tmp_path / "made", page="two"), 1)
    with pytest.raises(StateError, match="another writer came in between"):
        commit(store, files(tmp_path / "made", page="late"), 1)
    with pytest.raises(StateError, match="another writer came in between"):
        commit(store, files(tmp_path / "made", page="first"))
    assert text_of(store) == "two"


def test_a_writer_that_slept_through_a_drop_changes_nothing(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    other = Artefacts(store._path, Session())

    def drop(name: str) -> None:
        if name == "claimed":
            assert other.maintain([NAME], {"drop": True})[NAME].dropped

    load = Load(NAME, NAME, "run", store._session.cursor(), notify=drop)
    asked = Commit(NAME, 2, 1, "run", "print.0", "2024-01-01", 2)
    with pytest.raises((StateError, ConnectorError)):
        store.commit(load, Change("replace", files=files(tmp_path / "made", page="late")), asked)
    assert store.describe() == {}
    first = commit(store, files(tmp_path / "made", page="anew"))
    assert first.commit.sequence > 2
    assert text_of(store) == "anew"


def test_damage_is_told_and_the_way_out_works(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    place = tmp_path / "artefacts" / "dashboards" / "sales" / "load=00000001"
    (place / "page").write_text("ONE")
    assert store.describe()[NAME].foreign == ""  # of the same size: only who compares bytes sees it
    assert "its bytes are not those" in store.find_damaged(NAME)[0]
    (place / "page").write_text("longer")
    assert "6 bytes instead of 3" in store.describe()[NAME].foreign
    with pytest.raises(StateError):
        commit(store, files(tmp_path / "made", page="two"), 2)
    (place / "_commit.json").write_text("{}")
    assert "damaged" in store.describe()[NAME].foreign
    (place / "_commit.json").unlink()
    assert "has lost its _commit.json" in store.describe()[NAME].foreign
    assert store.maintain([NAME], {"drop": True})[NAME].dropped
    assert store.describe() == {}
    commit(store, files(tmp_path / "made", page="anew"))
    assert text_of(store) == "anew"


def test_a_version_that_is_gone_is_told(store: Artefacts, tmp_path: Path) -> None:
    commit(store, files(tmp_path / "made", page="one"))
    commit(store, files(tmp_path / "made", page="two"), 1)
    shutil.rmtree(tmp_path / "artefacts" / "dashboards" / "sales" / "load=00000002")
    assert "load=00000002 is gone" in store.describe()[NAME].foreign


def test_maintenance_keeps_the_last_and_the_young(store: Artefacts, tmp_path: Path) -> None:
    for number, text in enumerate(("one", "two", "three", "three")):
        commit(store, files(tmp_path / "made", page=text), number or None)
    place = tmp_path / "artefacts" / "dashboards" / "sales"
    assert store.maintain([NAME], {})[NAME].files_removed == 0
    assert store.maintain([NAME], {"age_s": 0, "versions": 2})[NAME].files_removed == 1
    assert sorted(path.parent.name for path in place.glob("load=*/page")) == ["load=00000002", "load=00000003"]
    assert store.maintain([NAME], {"age_s": 0})[NAME].files_removed == 1
    assert text_of(store) == "three"
    assert store.describe()[NAME].foreign == ""


def test_reading_only_and_rows_are_refused(store: Artefacts, tmp_path: Path) -> None:
    reader = Artefacts(store._path, Session(read_only=True))
    with pytest.raises(ConnectorError, match="opened for reading only"):
        commit(reader, files(tmp_path / "made", page="one"))
    with pytest.raises(ConnectorError, match="cannot append"):
        commit(store, files(tmp_path / "made", page="one"), mode="append")


def test_its_name_in_lineage_does_not_change_with_versions(store: Artefacts, tmp_path: Path) -> None:
    place = str((tmp_path / "artefacts" / "dashboards" / "sales").resolve())
    commit(store, files(tmp_path / "made", page="one"))
    for location in ("", store.describe()[NAME].location):
        assert store.lineage_name(store._path, NAME, location) == ("file", place)
