"""References are resolved, and what they give is in no error, text, cache or fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.core.project import Project, SourceTable
from headwater.core.secrets import redact
from headwater.errors import ProjectError, ProjectErrors
from headwater.plan.bind import bind_project
from headwater.plan.planning import Observed
from headwater.project.cache import ParseCache
from headwater.project.loader import load_project

from ..conftest import Files

Load = Callable[..., Project]
SECRET = "s3cr3t-value"

SOURCE = """kind: files
path: "${env:HEADWATER_FOLDER}"
tables:
  orders:
    path: "${file:where}/*.csv"
    columns: {id: bigint, mail: varchar}
    prepare:
      - mask: {columns: mail, key: "${env:HEADWATER_KEY}"}
"""


@pytest.fixture
def secret_project(write_project: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_KEY", SECRET)
    return write_project(
        {
            ".env": f"# where\nexport HEADWATER_FOLDER = '{SECRET}-folder'\nHEADWATER_KEY=not-this\nnoise\n",
            "where": f"{SECRET}-files\n",
            "sources/shop.yaml": SOURCE,
            "headwater.yaml": 'name: demo\nvars: {region: "${env:HEADWATER_KEY}"}\n',
            "models/m/a.sql": "select id, $region as region from shop.orders",
        }
    )


def test_references_are_resolved_from_the_environment_then_dotenv_then_files(secret_project: Path) -> None:
    table = load_project(secret_project).declared(SourceTable)["shop.orders"]
    assert table.connection.path == f"{SECRET}-folder"  # type: ignore[attr-defined]  # the files connector's own key
    assert table.options.path == f"{SECRET}-files/*.csv"  # type: ignore[attr-defined]  # the files connector's own key
    assert table.ingest.prepare[0].mask is not None
    assert table.ingest.prepare[0].mask.key == SECRET


def test_secrets_are_in_no_text_of_a_source_and_in_no_file(secret_project: Path) -> None:
    project = load_project(secret_project)
    assert project.secrets == {SECRET, f"{SECRET}-folder", f"{SECRET}-files"}
    assert SECRET not in repr(project.declared(SourceTable))
    assert SECRET not in repr(project.graph.nodes)
    cache = ParseCache(secret_project / ".headwater" / "cache" / "bound.json")
    assert bind_project(project, Observed(), cache).errors == []
    cache.save()
    kept = [file for file in (secret_project / ".headwater").rglob("*") if file.is_file()]
    assert {file.name for file in kept} == {"parsed.json", "bound.json"}
    assert all(SECRET not in file.read_text(encoding="utf-8") for file in kept)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://api.example.org:8443", False),
        ("http://127.0.0.1:80/", False),
        ("https://hooks.example.org/T0/B0/x", True),
        ("https://api.example.org?key=1", True),
    ],
)
def test_an_address_alone_is_no_secret(
    write_project: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch, url: str, secret: bool
) -> None:
    monkeypatch.setenv("HEADWATER_URL", url)
    text = "kind: rest\nconnection: ${env:HEADWATER_URL}\ntables: {t: {path: /t, columns: {id: bigint}}}\n"
    project = load_project(write_project({"headwater.yaml": "name: demo\n", "sources/api.yaml": text}))
    assert project.secrets == ({url} if secret else set())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://api.example.org:8443/v1", "https://api.example.org:8443/***"),
        ("https://me:hunt%24r2@api.example.org/v1?a=1", "https://api.example.org/***"),
        ("https://hunt%24r2@[::1]:80", "https://[::1]:80/***"),
        ("https://me:12/3456@api.example.org", "***"),
        ("https://api.example.org/v1?a=1&key=hunt%24r2", "https://api.example.org/***"),
        ("https://api.example.org/v1?access_token=hunt%24r2&a=1", "https://api.example.org/***"),
        ("postgresql://me:hunt%24r2@db.example.org/shop", "***"),
        ("host=db.example.org password=hunt%24r2 dbname=shop", "***"),
    ],
)
def test_of_a_url_the_host_is_told_and_a_password_in_it_never(
    write_project: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("HEADWATER_URL", value)
    files = {"headwater.yaml": 'name: demo\nvars: {url: "${env:HEADWATER_URL}"}\n'}
    secrets = load_project(write_project(files)).secrets
    assert redact(f"asked {value}/t", secrets) == f"asked {shown}/t"
    if "hunt" in value:
        assert "hunt" not in redact(f"asked with {value.replace('%24', '$')}, hunt%24r2, hunt$r2", secrets)


@pytest.mark.parametrize("wrong", ["[{}]", "{{a: {}, b: 1}}", "{}"])
def test_a_value_that_is_refused_is_no_way_out_for_a_secret(
    write_project: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    secret = "it's a \\ secret of more than sixty characters, so that it is cut " * 2
    monkeypatch.setenv("HEADWATER_KEY", secret)
    given = wrong.format('"${env:HEADWATER_KEY}"')
    text = f"kind: files\ntables:\n  orders: {{path: a.csv, header: {given}, columns: {{id: bigint}}}}\n"
    with pytest.raises(ProjectErrors) as caught:
        load_project(write_project({"headwater.yaml": "name: demo\n", "sources/shop.yaml": text}))
    assert "header" in str(caught.value)
    assert "it's a" not in str(caught.value)


def test_a_secret_does_not_change_the_fingerprint_of_a_source(
    secret_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_project(secret_project).declared(SourceTable)["shop.orders"].fingerprint
    monkeypatch.setenv("HEADWATER_KEY", "another-value")
    assert load_project(secret_project).declared(SourceTable)["shop.orders"].fingerprint == before


def test_a_secret_in_a_wrong_place_is_not_in_the_error(errors_of: Callable[..., list[str]]) -> None:
    found = errors_of(
        {
            ".env": f"NAME={SECRET}\n",
            "sources/shop.yaml": 'kind: files\ntables:\n  a: {path: x.csv, lag: "${env:NAME}", into: "${env:NAME}"}\n',
        }
    )
    assert [text.partition(" ")[0] for text in found] == ["sources/shop.yaml:3:20:", "sources/shop.yaml:3:40:"]
    assert all(SECRET not in text for text in found)
    assert "'***' is not a duration" in found[0]


def test_a_secret_in_sql_is_not_in_a_binder_error_nor_in_its_cache(
    load_files: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_KEY", f"{SECRET}%Q")
    project = load_files(
        {
            "headwater.yaml": 'name: demo\nvars: {form: "${env:HEADWATER_KEY}"}\n',
            "models/m/a.sql": "select strptime('a', $form) as x",
        }
    )
    cache = ParseCache(Path(project.root) / ".headwater" / "cache" / "bound.json")
    bound = bind_project(project, Observed(), cache)
    cache.save()
    assert len(bound.errors) == 1
    assert "***" in bound.errors[0].what
    assert SECRET not in str(bound.errors[0])
    assert SECRET not in cache.file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "password: hunter2",
        "api_key: abc",
        "auth_token: abc",
        "url: postgres://me:hunter2@host/db",
        "dsn: host=x password=abc",
    ],
)
def test_a_password_in_plain_text_is_warned_of_without_showing_it(line: str, load_files: Load) -> None:
    project = load_files({"headwater.yaml": f"name: demo\nvars:\n  {line}\n"})
    key = line.partition(":")[0]
    assert project.warnings == (
        f'headwater.yaml:3:3: a password, token or key in plain text\n  fix: refer to it: {key}: "${{env:NAME}}"',
    )


@pytest.mark.parametrize("line", ['password: "${env:PATH}"', "key: id", "url: https://host/x@y", "keyboard: us"])
def test_what_is_no_secret_is_not_warned_of(line: str, load_files: Load) -> None:
    assert load_files({"headwater.yaml": f"name: demo\nvars:\n  {line}\n"}).warnings == ()


def test_a_mask_key_in_plain_text_is_warned_of(load_files: Load) -> None:
    project = load_files(
        {
            "sources/shop.yaml": "kind: files\ntables:\n  a:\n    path: x.csv\n    prepare:\n"
            "      - mask: {columns: mail, key: abcd}\n"
        }
    )
    assert [text.partition(" ")[0] for text in project.warnings] == ["sources/shop.yaml:6:31:"]


def test_dotenv_that_is_not_utf_8_says_so(write_project: Callable[[Files], Path]) -> None:
    folder = write_project({})
    (folder / ".env").write_bytes(b"A=1\nB=\xff\n")
    with pytest.raises(ProjectError, match=r"^\.env:2: not UTF-8"):
        load_project(folder)


def test_a_value_too_short_to_be_a_secret_is_not_taken_for_one(load_files: Load) -> None:
    files = {".env": "N=7\n", "sources/shop.yaml": 'kind: files\npath: "${env:N}"\ntables: {a: {path: x.csv}}\n'}
    assert load_files(files).secrets == frozenset()


def test_longer_secrets_are_removed_first() -> None:
    assert redact("a=secret-long b=secret", ["secret", "secret-long"]) == "a=*** b=***"
