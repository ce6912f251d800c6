"""`${env:X}` and `${file:X}`: the only substitutions; what they give is a secret and never leaves the process.

Where an API is (scheme, host and port) is none, though a reference gave it: it is told in errors and in lineage.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headwater.core.secrets import MIN_SECRET_LENGTH, URL
from headwater.core.values import Plain
from headwater.documents import read_text
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headwater.documents import Document, Key

_REFERENCE = re.compile(r"\$\{(?:(env|file):([^}]*)|[A-Za-z_][^}]*)\}")
_SECRET_KEY = re.compile(r"(password|passwd|secret|token|api_?key|private_?key)$", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(r"://[^/\s:@]+:[^@\s$]+@|\b(password|pwd)\s*=\s*[^\s;$]", re.IGNORECASE)
_PASSWORDS = re.compile(
    r"://[^/\s:@]*:(?P<password>[^\s@]+)@|://(?P<user>[^/\s:@]+)@"
    r"|\w*(?:password|passwd|pwd|secret|token|api_?key)\s*=\s*(?P<word>[^\s&;#]+)|[?&](?:key|sig)=(?P<key>[^\s&;#]+)",
    re.IGNORECASE,
)


def read_env_file(root: Path) -> dict[str, str]:
    """Read `.env` beside headwater.yaml: NAME=value lines, `#` comments, optional quotes and `export`.

    Raises:
        ProjectError: It is not UTF-8.
    """
    file = root / ".env"
    if not file.is_file():
        return {}
    found = {}
    for line in read_text(file, ".env").splitlines():
        match = re.match(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)", line.strip())
        if match:
            value = match[2]
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[match[1]] = value
    return found


class References:
    """Resolves references and remembers the values, so that they can be removed from every text."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.secrets: set[str] = set()
        self._env = {**read_env_file(root), **os.environ}

    def resolve(self, document: Document, data: Any, key: Key, errors: list[ProjectError]) -> Any:
        """Return `data` with every reference replaced; what cannot be resolved is added to `errors`."""
        if isinstance(data, dict):
            return {name: self.resolve(document, value, (*key, name), errors) for name, value in data.items()}
        if isinstance(data, list):
            return [self.resolve(document, value, (*key, i), errors) for i, value in enumerate(data)]
        if not isinstance(data, str) or "${" not in data:
            return data
        place = document.place(key)

        def replace(match: re.Match[str]) -> str:
            try:
                value = self._value(match)
            except ProjectError as error:
                errors.append(ProjectError.at(place, error.what, error.fix))
                return match[0]
            self.secrets.update(secret for secret in _secrets_of(value) if len(secret) >= MIN_SECRET_LENGTH)
            return value

        return _REFERENCE.sub(replace, str(data))

    def _value(self, match: re.Match[str]) -> str:
        kind, name = match[1], (match[2] or "").strip()
        if not kind:
            raise ProjectError(f"{match[0]} refers to nothing", fix="write ${env:NAME} or ${file:PATH}")
        if kind == "env":
            if name not in self._env:
                raise ProjectError(
                    f"the environment variable {name} is not set", fix=f"export {name}=… or write it to .env"
                )
            return self._env[name]
        file = self.root / name
        if not file.is_file():
            raise ProjectError(f"the file {name} of ${{file:{name}}} is not there", fix="create it or mend the path")
        return read_text(file, name).rstrip("\r\n")


def _secrets_of(value: str) -> Iterator[str]:
    """Yield what is secret of a value: the whole of it, and each password within it, as written and decoded."""
    url = URL.fullmatch(value)
    if url is None or "@" in value or url[4] not in (None, "/"):
        yield value
    for found in _PASSWORDS.finditer(value):
        password = next(part for part in found.groups() if part)
        yield from (password, unquote(password))


def find_plain_secrets(document: Document) -> list[str]:
    """Return a warning for every password, token or key that is written out instead of referenced."""
    warnings = []
    for key, place in document.places.items():
        if not key or not isinstance(key[-1], str):
            continue
        value = _value_at(document.data, key)
        named = _SECRET_KEY.search(key[-1]) or (key[-1] == "key" and "mask" in key)
        if isinstance(value, str) and "${" not in value and value and (named or _SECRET_IN_TEXT.search(value)):
            warnings.append(
                f'{place}: a password, token or key in plain text\n  fix: refer to it: {key[-1]}: "${{env:NAME}}"'
            )
    return warnings


def _value_at(data: Any, key: Key) -> Any:
    for part in key:
        data = data[part]
    return data


def plain(value: Any) -> Any:
    """Return values with `Plain` text as ordinary text, for hashing and JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Plain) else value
