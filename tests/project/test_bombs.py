"""A few bytes of YAML or SQL never take more than a moment and a little memory: each ends in an error of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.documents import MAX_REPEATED, parse_document
from headwater.errors import ProjectError

MORE_BYTES = 100_000_000
"""So much more memory than without it may a bomb take."""

MEASURE = """
import resource, sys
from headwater.api import load
from headwater.errors import HeadwaterError
{warm}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load(sys.argv[1])
    print("loaded")
except HeadwaterError as error:
    print(str(error)[:2000])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
WARM = "load(sys.argv[2])"

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""341 bytes that name 3.4 GB."""

MAPPINGS = "a: &a {k: x, l: x}\n" + "".join(
    f"{name}: &{name} {{k: *{before}, l: *{before}}}\n"
    for before, name in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)
)
DEEP = "[" * 100_000
BOMBS = {
    "aliases of lists": ALIASES,
    "aliases of mappings": MAPPINGS,
    "an alias of a long text": f'a: &a "{"x" * 1_000_000}"\nb: [{", ".join(["*a"] * (MAX_REPEATED + 1))}]\n',
    "many aliases of one": f"a: &a x\nb: [{', '.join(['*a'] * (MAX_REPEATED + 1))}]\n",
    "lists in lists": DEEP,
    "lists in lists that end": "[" * 3000 + "]" * 3000,
    "mappings in mappings": "{a: " * 3000 + "}" * 3000,
    "blocks in blocks": "".join(f"{' ' * at}a:\n" for at in range(2000)),
    "items in items": "- " * 5000 + "x",
    "an alias in itself": "a: &a [*a]\n",
    "keys that are lists": "? " * 3000,
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "headwater.yaml").write_text("name: demo\n", encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "a.sql").write_text("/* headwater\nowner: x\n*/\nselect 1 as x", encoding="utf-8")
    return folder


def explode(folder: Path, plain: Path) -> tuple[str, int]:
    """Load a project in a process of its own; return what it says, and how many bytes more it took than another."""
    command = [sys.executable, "-c", MEASURE.format(warm=WARM), str(folder), str(plain)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said, _, more = done.stdout.strip().rpartition("\n")
    return said, int(more) * 1024


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_document_that_explodes_is_refused(bomb: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse_document(BOMBS[bomb], "x.yaml")
    assert caught.value.fix
    assert caught.value.line


@pytest.mark.parametrize(
    "file", ["headwater.yaml", "sources/s.yaml", "sources/shop.schema.yaml", "tests/t.yaml", "models/m/a.sql"]
)
@pytest.mark.parametrize("bomb", ["aliases of lists", "aliases of mappings", "lists in lists"])
def test_no_file_of_a_project_explodes(bomb: str, file: str, tmp_path: Path, plain: Path) -> None:
    text = f"/* headwater\n{BOMBS[bomb]}\n*/\nselect 1 as x" if file.endswith(".sql") else BOMBS[bomb]
    shop = "kind: files\ntables: {orders: {path: a.csv}}\n"
    for name, content in {"headwater.yaml": "name: demo\n", "sources/shop.yaml": shop, file: text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    said, more_bytes = explode(tmp_path, plain)
    assert f"{file}:" in said
    assert "aliases repeat more than" in said or "nested too deeply" in said
    assert more_bytes < MORE_BYTES


def test_aliases_in_measure_are_what_they_name() -> None:
    document = parse_document("a: &a [1, {b: 2}]\nc: *a\nd: [*a, *a]\n", "x.yaml")
    assert document.data == {
        "a": ["1", {"b": "2"}],
        "c": ["1", {"b": "2"}],
        "d": [["1", {"b": "2"}], ["1", {"b": "2"}]],
    }


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "(" * 5000 + "1" + ")" * 5000,
        "select 1" + "+1" * 50_000,
        "select [" * 400 + "1" + "]" * 400,
        "select " + "case when true then " * 3000 + "1" + " end" * 3000,
        "from (" * 3000 + "select 1" + ")" * 3000,
        " union all ".join(["select 1"] * 5000),
        "with " + ", ".join(f"t{n} as (from t{n - 1})" for n in range(1, 1000)) + " from t999",
        "select " + "not " * 20_000 + "true",
        "select '" + "a" * 5_000_000 + "', " + "(" * 2000,
    ],
    ids=range(9),
)
def test_a_query_that_is_nested_without_end_ends_in_an_error(sql: str, tmp_path: Path, plain: Path) -> None:
    """Where the engine's parser takes it, a model of it may load; it never ends the process."""
    (tmp_path / "headwater.yaml").write_text("name: demo\n", encoding="utf-8")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.sql").write_text(sql, encoding="utf-8")
    said, more_bytes = explode(tmp_path, plain)
    assert "models/a.sql" in said or said == "loaded"
    assert more_bytes < MORE_BYTES


def test_the_limit_is_one_of_this_process_too() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in BOMBS.values():
        with pytest.raises(ProjectError):
            parse_document(bomb, "x.yaml")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MORE_BYTES
