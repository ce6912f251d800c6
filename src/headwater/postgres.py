"""Reaching a PostgreSQL server: connection strings, sessions with settings of our own, and errors told apart."""

from __future__ import annotations

import os
import re
import secrets
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.near import find_near
from headwater.core.secrets import redact
from headwater.errors import ConnectorError, ProjectError, Retryable, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

READER_MARK = f"r{secrets.token_hex(6)}"
"""What the names of sessions that read end in."""

_NAMED_CHARACTERS = 40

CONNECT_TIMEOUT_S = 2
"""libpq's limit for one host, in whole seconds, 2 at least."""

SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "0",
}
"""What decides how values are written as text; and a snapshot is held while rows are stored."""

_SECRET = ("password", "sslpassword", "oauth_client_secret")
_MAY_PASS = ("08", "40", "53", "57", "58")
_MAY_PASS_STATES = ("25P03", "25P04", "55P03")
_FINAL = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|permission denied|(role|database) \".*\" does not exist"
    r"|not permitted to log in|invalid (connection option|port|URI|sslmode)|server does not support SSL",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"server closed the connection|terminating connection|connection (refused|reset|timed out|to server|not open)"
    r"|no connection to the server|could not (connect|receive|send)|SSL SYSCALL|broken pipe|starting up|shutting down"
    r"|recovery mode|canceling statement|too many (clients|connections)|unable to connect|connection has been closed"
    r"|remaining connection slots|could not serialize|deadlock detected|lost synchronization"
    r"|snapshot \".*\" does not exist",
    re.IGNORECASE,
)


_SCANNER = "duckdb_extension_postgres_scanner"

_UNKNOWN_WORD = re.compile(r'invalid (?:connection option|URI query parameter):? "(\w{1,40})"')


def find_scanner() -> tuple[Path | None, str]:
    """Return the file of DuckDB's extension for PostgreSQL; or None and why, and what to do about it.

    It reads tables and writes the format of binary COPY. It is a wheel, `duckdb-extension-postgres-scanner`, and works
    only with the very version of DuckDB that it was made for.
    """
    import duckdb

    spec = find_spec(_SCANNER)
    if spec is None or spec.origin is None:
        return None, f"rows are read by COPY, several times slower: pip install {_SCANNER.replace('_', '-')}"
    folder = Path(spec.origin).parent / "extensions"
    file = folder / f"v{duckdb.__version__}" / "postgres_scanner.duckdb_extension"
    if file.is_file():
        return file, ""
    made = ", ".join(sorted(found.name.removeprefix("v") for found in folder.glob("v*"))) or "another version"
    return None, (
        f"rows are read by COPY, several times slower: the installed scanner is for duckdb {made}, "
        f"and duckdb is {duckdb.__version__}; pip install duckdb=={made}"
    )


def reader_name(asked: str) -> str:
    """Return the name of a session that reads: as the connection says, then the mark; a long one is cut before."""
    plain = "".join(character for character in asked if " " <= character <= "~")
    return f"{plain[:_NAMED_CHARACTERS].strip()} {READER_MARK}".strip()


class PostgresError(ConnectorError, Terminal):
    """The server refuses, or does not have what is asked for."""


class PostgresUnavailableError(ConnectorError, Retryable):
    """The server cannot be reached now, or broke off."""


class Server:
    """A server and a database; nothing of it that is secret is ever shown.

    Args:
        connection: A libpq URI, a key=value string, or a mapping of libpq's keywords.

    Raises:
        ProjectError: libpq cannot read it.
    """

    def __init__(self, connection: str | Mapping[str, Any]) -> None:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict, make_conninfo
        except ImportError:
            raise ProjectError(
                "kind 'postgres' needs the package psycopg", fix="pip install 'headwater[postgres]'"
            ) from None

        try:
            if isinstance(connection, str):
                self._parameters = dict(conninfo_to_dict(connection))
            else:
                make_conninfo("", **{key: str(value) for key, value in connection.items()})
                self._parameters = {key: str(value) for key, value in connection.items()}
        except ProgrammingError as error:
            raise _explain_words(str(error)) from None
        port = str(self._parameters.get("port") or "")
        if not all(part.strip().isdecimal() for part in port.split(",") if part):
            raise ProjectError("the port of the connection is not a number", fix="write port: 5432")
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        self._parameters["options"] = f"{self._parameters.get('options') or ''} {options}".strip()
        self._parameters.setdefault("connect_timeout", str(CONNECT_TIMEOUT_S))
        self._parameters.setdefault("application_name", "headwater")
        self._make = make_conninfo
        reading = {**self._parameters, "application_name": reader_name(str(self._parameters["application_name"]))}
        self._reading = self._with_options(reading, "default_transaction_read_only=on")

    @staticmethod
    def _with_options(parameters: Mapping[str, Any], setting: str) -> dict[str, Any]:
        escaped = re.sub(r"([\\\s])", r"\\\1", setting)
        return {**parameters, "options": f"{parameters.get('options') or ''} -c {escaped}".strip()}

    def searching(self, path: str) -> Server:
        """Return the same target whose sessions that read find unqualified names on a path of schemas."""
        found = copy(self)
        found._reading = self._with_options(self._reading, f"search_path={path}")
        return found

    def split_secrets(self) -> tuple[str, dict[str, str]]:
        """Return the connection string of the scanner's sessions, without what is secret of it, and that."""
        secret = {name: str(self._reading[name]) for name in _SECRET if self._reading.get(name)}
        public = {name: value for name, value in self._reading.items() if name not in secret}
        return self._make("", **public), secret

    @property
    def label(self) -> str:
        """Host and database, for messages."""
        found = self._parameters
        return f"{found.get('host') or found.get('hostaddr') or 'localhost'}/{found.get('dbname') or ''}".rstrip("/")

    @property
    def server(self) -> str:
        """Host and port: one server, whatever the database."""
        found = self._parameters
        return f"{found.get('host') or found.get('hostaddr') or 'localhost'}:{found.get('port') or 5432}"

    @property
    def database(self) -> str:
        """The database, as far as the connection names one."""
        return str(self._parameters.get("dbname") or "postgres")

    @property
    def names_database(self) -> bool:
        """Whether the connection says which database: itself, by a service, or by the environment."""
        return bool(self._parameters.get("dbname") or self._parameters.get("service") or os.environ.get("PGDATABASE"))

    def connect(self) -> psycopg.Connection[Any]:
        """Open a session that reads, in autocommit mode, and is known as one; the caller closes it.

        Raises:
            ConnectorError: The server refuses or cannot be reached.
        """
        return self._connect(self._reading)

    def connect_writing(self) -> psycopg.Connection[Any]:
        """Open a session that may write (rows, publications, slots), in autocommit mode; the caller closes it.

        Raises:
            ConnectorError: The server refuses or cannot be reached.
        """
        return self._connect(self._parameters)

    def _connect(self, parameters: Mapping[str, Any]) -> psycopg.Connection[Any]:
        import psycopg

        try:
            return psycopg.connect(self._make("", **parameters), autocommit=True)
        except psycopg.Error as error:
            raise self.explain(error) from None

    def connect_replication(self, lock_limit_s: int) -> psycopg.Connection[Any]:
        """Open a session for replication commands, which give up when they wait for a lock; the caller closes it.

        Raises:
            ConnectorError: The server refuses or cannot be reached.
        """
        import psycopg

        options = f"{self._parameters['options']} -c lock_timeout={lock_limit_s}s"
        conninfo = self._make("", **{**self._parameters, "options": options, "replication": "database"})
        try:
            return psycopg.connect(conninfo, autocommit=True, cursor_factory=psycopg.ClientCursor)
        except psycopg.Error as error:
            raise self.explain(error) from None

    def explain(self, error: Exception) -> ConnectorError:
        """Turn an error of libpq, psycopg or the scanner into one that says what to do, without secrets."""
        state = getattr(error, "sqlstate", None) or ""
        text = self._redact(" ".join(str(error).split()))
        if self._passes(state, text, error):
            return PostgresUnavailableError(f"{self.label}: {text}", fix="run again when the server answers")
        fix = "check the query, the table and the rights of the user"
        if "authentication failed" in text or "no password" in text:
            fix = "check user and password of the connection"
        elif state == "42501" or "permission denied" in text:
            fix = "grant the user of the connection SELECT on the table and USAGE on its schema"
        elif "does not exist" in text and ("database" in text or "role" in text) and not state.startswith("42"):
            fix = "check the database and the user of the connection"
        return PostgresError(f"{self.label}: {text}", fix=fix)

    def _passes(self, state: str, text: str, error: Exception) -> bool:
        import psycopg

        if state:
            return state.startswith(_MAY_PASS) or state in _MAY_PASS_STATES
        if _FINAL.search(text):
            return False
        return isinstance(error, psycopg.OperationalError) or bool(_BROKEN.search(text))

    def _redact(self, text: str) -> str:
        return redact(text, self._secrets())

    def _secrets(self) -> Iterator[str]:
        yield self._make("", **self._parameters)
        yield self._make("", **self._reading)
        for name in (*_SECRET, "passfile"):
            if found := self._parameters.get(name):
                yield str(found)


def _explain_words(text: str) -> ProjectError:
    """Say what is wrong with a connection; libpq's text is not shown: what it takes for a word may be of a password."""
    from psycopg.pq import Conninfo

    word = _UNKNOWN_WORD.search(text)
    known = [option.keyword.decode() for option in Conninfo.get_defaults()]
    near = find_near(word[1], known, cutoff=0.75) if word else ""
    if word and near:
        what = f"the connection has a word that libpq does not know: {word[1]}"
        return ProjectError(what, fix=f"did you mean {near!r}?")
    return ProjectError(
        "the connection is neither a URI nor key=value words that libpq knows",
        fix="write postgresql://user:password@host:5432/database, or host=… dbname=… user=…",
    )
