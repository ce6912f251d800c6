from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.fragments import quote_identifier, quote_identifiers, quote_text
from headwater.storage.common.folders import (
    dataset_folder,
    decode_name,
    encode_name,
    is_used,
    list_datasets,
    own_folder,
    scratch_folder,
)
from headwater.storage.common.sql import match_keys, split_dataset
from headwater.testing.stores import MemorySession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@given(TEXT)
def test_every_name_has_a_folder_of_its_own(name: str) -> None:
    encoded = encode_name(name)
    assert decode_name(encoded) == name
    assert set(encoded) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-~")


@pytest.fixture(scope="module")
def session() -> Iterator[MemorySession]:
    session = MemorySession()
    yield session
    session.close()


@settings(deadline=None)
@given(TEXT.filter(lambda text: "\0" not in text))
def test_every_name_and_text_is_spelled(session: MemorySession, text: str) -> None:
    found = session.cursor().sql(f"SELECT {quote_text(text)} AS {quote_identifier(text)}")
    assert found.columns == [text]
    assert found.to_arrow_table().column(0).to_pylist() == [text]


@pytest.mark.parametrize(
    ("dataset", "place"),
    [("a.b", ("a", "b")), ("d.a.b", ("d__a", "b")), ("x", ("main", "x"))],
)
def test_datasets_are_split(dataset: str, place: tuple[str, str]) -> None:
    assert split_dataset(dataset) == place


def test_lists_of_names() -> None:
    assert quote_identifiers(["a", 'b"c'], "t.") == 't."a", t."b""c"'
    assert match_keys(["a", "b"], "x", "y") == 'x."a" = y."a" AND x."b" = y."b"'


def test_datasets_are_listed_by_their_folders(tmp_path: Path) -> None:
    for name in ("shop.orders", "d.shop.orders", "é.💶"):
        own_folder(dataset_folder(str(tmp_path), name)).mkdir(parents=True)
    (tmp_path / "theirs" / "table").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert set(list_datasets(str(tmp_path))) == {"shop.orders", "d.shop.orders", "é.💶"}
    assert list(list_datasets(str(tmp_path / "none"))) == []


def test_scratch_is_gone_afterwards(tmp_path: Path) -> None:
    places = []

    def leave() -> None:
        with scratch_folder(tmp_path) as place:
            (place / "x").write_text("x")
            places.append(place)
            raise KeyError

    with pytest.raises(KeyError):
        leave()
    assert [place.exists() for place in places] == [False]


def test_a_writer_is_locked_though_somebody_asks_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, asked = fcntl.flock, []

    def ask_meanwhile(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        other = os.open(next(own_folder(tmp_path).glob("scratch/*")), os.O_RDONLY)
        flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        asked.append(threading.Timer(0.05, os.close, [other]))
        asked[0].start()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", ask_meanwhile)
    with scratch_folder(tmp_path) as place:
        asked[0].join()
        assert is_used(place)
