"""A second load parses nothing, and the cache is never more than a cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.core.project import Model
from headwater.project.cache import ParseCache
from headwater.project.loader import load_project
from headwater.project.readers import queries as queries_module
from headwater.sql import parse

from ..conftest import ORDERS, Files

FILES = {
    "headwater.yaml": "name: demo\nvars: {least: 3}\n",
    "sources/shop.yaml": ORDERS,
    "models/m/a.sql": "select id from shop.orders where id > $least",
    "models/m/b.sql": "select id from m.a",
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that DuckDB's parser is given."""
    texts: list[str] = []
    genuine = parse.serialize_query

    def count(text: str) -> str:
        texts.append(text)
        return genuine(text)

    monkeypatch.setattr(parse, "serialize_query", count)
    return texts


def test_a_second_load_parses_nothing(write_project: Callable[[Files], Path], parsed: list[str]) -> None:
    folder = write_project(FILES)
    first = load_project(folder)
    assert len(parsed) == 2
    parsed.clear()
    assert load_project(folder).declared(Model) == first.declared(Model)
    assert parsed == []


def test_only_what_changed_is_parsed_again(write_project: Callable[[Files], Path], parsed: list[str]) -> None:
    load_project(write_project(FILES))
    parsed.clear()
    load_project(write_project({**FILES, "models/m/b.sql": "select id + 1 as id from m.a"}))
    assert parsed == ["select id + 1 as id from m.a"]


def test_a_variable_is_part_of_what_is_parsed(write_project: Callable[[Files], Path], parsed: list[str]) -> None:
    load_project(write_project(FILES))
    parsed.clear()
    load_project(write_project({**FILES, "headwater.yaml": "name: demo\nvars: {least: 4}\n"}))
    assert parsed == ["select id from shop.orders where id > 4"]


def test_a_wrong_project_keeps_the_old_cache(write_project: Callable[[Files], Path]) -> None:
    folder = write_project(FILES)
    load_project(folder)
    file = folder / ".headwater" / "cache" / "parsed.json"
    before = file.read_text(encoding="utf-8")
    write_project({**FILES, "models/m/b.sql": "select id from nowhere.x"})
    with pytest.raises(Exception, match="nothing declares"):
        load_project(folder)
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stamp": "other", "entries": {}}', "\x00\x01"])
def test_a_damaged_cache_counts_as_empty(text: str, write_project: Callable[[Files], Path]) -> None:
    folder = write_project(FILES)
    first = load_project(folder)
    (folder / ".headwater" / "cache" / "parsed.json").write_text(text, encoding="utf-8")
    assert load_project(folder).declared(Model) == first.declared(Model)


def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ParseCache(tmp_path / "file" / "parsed.json")
    assert cache.get("a", lambda: 1) == 1
    cache.save()
    assert (tmp_path / "file").read_text() == ""


def test_entries_that_nobody_asked_for_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "x.json"
    first = ParseCache(file)
    assert [first.get(key, lambda key=key: key * 2) for key in ("a", "b")] == ["aa", "bb"]
    first.save()
    second = ParseCache(file)
    assert second.get("a", lambda: "new") == "aa"
    second.save()
    third = ParseCache(file)
    assert third.get("b", lambda: "new") == "new"
    assert list(tmp_path.rglob("*.tmp")) == []


def test_the_judge_of_queries_is_what_is_counted() -> None:
    """The counting fixture replaces the name that `parse_query` looks up."""
    assert queries_module._judge("select 1 as x")["tables"] == []
