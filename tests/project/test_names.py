"""A name is never a path: what is declared under one that could lead elsewhere is an error with its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.api import find_problems
from headwater.core.project import Model, Project
from headwater.project.names import MAX_BYTES, folded, name_problem
from headwater.storage.common.folders import dataset_folder

from ..conftest import Files

Errors = Callable[..., list[str]]

BAD = {
    "..": "dot",
    ".": "dot",
    ".hidden": "dot",
    "ends.": "dot",
    "../x": "slash",
    "a/b": "slash",
    "/etc": "slash",
    "a\\b": "backslash",
    "a\0b": r"\x00",
    "a\nb": r"\n",
    "a\rb": r"\r",
    "a\x1b[2Jb": r"\x1b",
    "a\u202eb": r"\u202e",
    "a\u200bb": r"\u200b",
    "\ufeffa": r"\ufeff",
    "": "empty",
    " ": "blank",
    " a": "blank",
    "a ": "blank",
    "e\u0301": "NFC",
    "x" * 201: "too long",
    "é" * 40: "too long",
}


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_may_lead_elsewhere(name: str) -> None:
    assert BAD[name] in name_problem(name)


@pytest.mark.parametrize("name", ["orders", "Orders_2", "a-b", "größe", "注文", "a b", "x" * MAX_BYTES, "ß", "..a"[2:]])
def test_a_name_that_does_not(name: str) -> None:
    assert name_problem(name) == ""


@given(st.text(max_size=300), st.text(max_size=300))
@example("..", "a")
@example("a", "..")
def test_a_name_without_a_problem_stays_in_its_folder(one: str, other: str) -> None:
    if name_problem(one) or name_problem(other):
        return
    folder = dataset_folder("/store", f"{one.replace('.', '_')}.{other.replace('.', '_')}")
    assert folder.parts[:2] == ("/", "store")
    assert len(folder.parts) == 4
    assert ".." not in folder.parts
    assert all(len(part.encode()) <= 255 for part in folder.parts)
    plain = Path("/kept", one, f"{one}.{other}.parquet")
    assert plain.resolve().parent.parent == Path("/kept")


@given(st.text(max_size=20))
def test_names_that_a_file_system_takes_for_one_are_one(name: str) -> None:
    assert folded(name) == folded(name.upper().lower().casefold()) or folded(name.upper()) != folded(name)
    assert folded(unicodedata.normalize("NFD", name)) == folded(name)


def quoted(name: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in name) + '"'


@pytest.mark.parametrize("name", [name for name in BAD if name], ids=ascii)
def test_a_table_of_a_source(name: str, errors_of: Errors) -> None:
    found = errors_of({"sources/shop.yaml": f"kind: files\ntables:\n  {quoted(name)}: {{path: a.csv}}\n"})
    assert any(text.startswith("sources/shop.yaml:3:3: ") for text in found), found


@pytest.mark.parametrize("name", [name for name in BAD if name], ids=ascii)
def test_an_environment(name: str, errors_of: Errors) -> None:
    text = f"name: demo\nenvironments:\n  {quoted(name)}: {{stores: {{}}}}\n"
    found = errors_of({"headwater.yaml": text})
    assert [text.partition(" ")[0] for text in found] == ["headwater.yaml:3:3:"]
    assert BAD[name] in found[0]


@pytest.mark.parametrize(
    "path",
    [
        "sources/.x.yaml",
        "sources/a\u202eb.yaml",
        "models/m/a\x1bb.sql",
        "models/.m/a.sql",
        "sources/e\u0301.yaml",
        "models/a\\b/c.sql",
    ],
    ids=ascii,
)
def test_a_file_or_a_folder(path: str, errors_of: Errors) -> None:
    text = "select 1 as x" if path.endswith(".sql") else "kind: files\ntables: {t: {path: a.csv}}\n"
    found = errors_of({path: text})
    assert any(" the name " in line for line in found), found
    assert all("\x1b" not in line.partition(": ")[2] and "\u202e" not in line.partition(": ")[2] for line in found)


@pytest.mark.parametrize(
    "pair",
    [("Straße", "STRASSE"), ("ORDERS", "orders"), ("Ǆ", "ǆ"), ("Σ", "ς")],
)
def test_names_that_differ_only_by_case(pair: tuple[str, str], errors_of: Errors) -> None:
    tables = "".join(f"  {name}: {{path: a.csv}}\n" for name in pair)
    (found,) = errors_of({"sources/shop.yaml": f"kind: files\ntables:\n{tables}"})
    assert "differ only in case" in found
    text = "name: demo\nenvironments:\n" + "".join(f"  {name}: {{}}\n" for name in pair)
    (found,) = errors_of({"headwater.yaml": text, "sources/shop.yaml": "kind: files\ntables: {a: {path: a.csv}}\n"})
    assert "differ only in case" in found


def test_the_name_of_no_environment_is_taken(errors_of: Errors) -> None:
    (found,) = errors_of({"headwater.yaml": "name: demo\nenvironments: {default: {}}\n"})
    assert "has the name of the one without a name" in found


@pytest.mark.parametrize("name", ["../../escaped", "../escaped", "/tmp/headwater-escaped", "a\0b", "..", "x/../../y"])
def test_an_environment_that_is_asked_for_makes_no_file_elsewhere(
    name: str, write_project: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project({"models/m/a.sql": "select 1 as x", "sources/broken.yaml": "kind: x\n"})
    outside = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
    problems = find_problems(folder, name)
    assert "unknown environment" in str(problems)
    assert {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)} == outside
    assert not Path("/tmp/headwater-escaped.db").exists()
    assert {file.name for file in (folder / ".headwater").iterdir() if file.is_file()} <= {"journal.db", "lease"}


@pytest.mark.parametrize("path", ["", "a\0b", "data\x1b", "a\nb"], ids=ascii)
def test_the_path_of_a_store(path: str, errors_of: Errors) -> None:
    found = errors_of({"headwater.yaml": f"name: demo\nstores:\n  lake: {{path: {quoted(path)}}}\n"})
    assert [text.partition(" ")[0] for text in found] == ["headwater.yaml:3:10:"]


@pytest.mark.parametrize("key", ["path: {}\ntables: {{t: {{path: a.csv}}}}", "tables: {{t: {{path: {}}}}}"])
@pytest.mark.parametrize("kind", ["files", "logs"])
def test_the_path_of_a_source(kind: str, key: str, errors_of: Errors) -> None:
    more = "{path: a.csv, format: common" if kind == "logs" else "{path: a.csv"
    text = key.format(quoted("a\0b")).replace("{path: a.csv", more)
    text = text.replace("}}", ", format: common}}") if kind == "logs" and "a.csv" not in text else text
    found = errors_of({"sources/s.yaml": f"kind: {kind}\n{text}\n"})
    assert any("\\x00" in line for line in found), found


def test_no_project_of_the_tests_has_a_bad_name(load_files: Callable[..., Project]) -> None:
    assert load_files({"models/größe/x_1.sql": "select 1 as x"}).declared(Model).keys() == {"größe.x_1"}
