"""A server tells a secret back in every spelling there is; nothing that is printed, drawn or kept holds it."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from headwater.cli import group
from tests.core.test_secrets import WAYS, decoded, parts
from tests.run.runner import put
from tests.services.http import Reply, serve

SECRETS = ["tök\"en'🔑-0123456789", "p@ss/w ord+%&<>'\\.x~y", "Zm9vYmFyc2VjcmV0LTEyMw=="]
COMMANDS = """
check; check --json; plan; plan --json; run; run --json; run --log json; run --openlineage lineage.jsonl; status
status --json; show api.t; show api.t --json; show shop.orders --rejected; draw -o out.svg; draw -o out.html
draw -o out.dot
draw -o out.mmd; draw -o out.txt; draw --json; types shop; maintain; doctor; test
query 'select error(name) from shop.orders'
""".replace("\n", "; ")


def kept(folder: Path) -> str:
    """Every text below the project that a command has written."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and (".headwater" in file.parts or file.name.startswith(("out.", "lineage"))):
            if file.suffix == ".db":
                with sqlite3.connect(file) as database:
                    found += database.iterdump()
            else:
                found.append(file.read_bytes().decode(errors="replace"))
    assert len(found) > 10
    return "\n".join(found)


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_is_in_nothing_that_is_printed_drawn_or_kept(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", secret)
    told = "; ".join(f"{name}: {way(secret)}" for name, way in WAYS.items())
    with serve() as server:
        server.routes["/t"] = lambda asked: Reply(
            f"{asked.headers.get('authorization')} {told}".encode(), 400, {"Content-Type": "text/plain"}
        )
        put(
            tmp_path,
            {
                "headwater.yaml": 'name: demo\nvars: {secret: "${env:TOKEN}"}\n',
                "sources/api.yaml": f"kind: rest\nconnection: {server.url}\nretries: 0\n"
                'auth: {kind: basic, user: me, password: "${env:TOKEN}"}\n'
                "tables: {t: {path: /t, columns: {id: bigint}}}\n",
                "sources/shop.yaml": "kind: files\ntables:\n"
                "  orders: {path: in/*.csv, columns: {id: bigint, name: varchar}}\n",
                "in/1.csv": "id,name\n1,a\nx,b\n",
                "models/m/a.sql": "select error('with ' || $secret) as x from shop.orders\n",
                "models/m/b.sql": "select strptime(name, $secret) as x from shop.orders\n",
                "models/m/c.py": "import headwater as hw\n\n\n@hw.model(inputs={'o': 'shop.orders'})\n"
                "def c(o):\n    import os\n    raise ValueError('with ' + repr(os.environ['TOKEN'].encode()))\n",
            },
        )
        printed = []
        for command in filter(None, COMMANDS.split("; ")):
            outcome = CliRunner().invoke(group, shlex.split(command))
            assert outcome.exception is None or isinstance(outcome.exception, SystemExit | Exception)
            printed += [outcome.output, str(outcome.exception)]
    for text in ("\n".join(printed), kept(tmp_path)):
        assert "***" in text
        assert decoded(text).isdisjoint(parts(secret)), decoded(text) & parts(secret)
        for name, way in WAYS.items():
            assert way(secret) not in text, name
