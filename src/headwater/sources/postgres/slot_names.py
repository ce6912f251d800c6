"""The names of a table's slot and publication: which no other table, environment or copy of a project has."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.files import read_regular
from headwater.postgres import PostgresError

if TYPE_CHECKING:
    from headwater.postgres import Server

_NAME_BYTES = 63
_COPY_FILE = ".headwater/copy"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose tables a source's are: the project's folder, the environment, the source, and the copy of the project.

    `copy` is drawn at random for a folder's first slot, so that the same folder on another machine, or in another
    container, has other names.
    """

    root: str
    environment: str = ""
    source: str = ""
    copy: str = ""

    def of_copy(self, *, make: bool = False) -> Owner:
        """Return it with what tells this copy of the project from others; drawn now if there is none, and `make`."""
        file = Path(self.root, _COPY_FILE)
        if not self.root or not (make or file.is_file()):
            return self
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            drawn = file.with_name(f"copy-{uuid.uuid4().hex}")
            drawn.write_text(drawn.name[5:], encoding="utf-8")
            try:
                os.link(drawn, file)  # whole or not at all, and the first one stays
            finally:
                drawn.unlink()
        return replace(self, copy=read_regular(file).decode().strip())


def _digest(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def environment_suffix(environment: str) -> str:
    """Return what the name of a slot ends in that a table gives: nothing in the default environment."""
    plain = re.fullmatch(r"[a-z0-9_]{1,20}", environment)
    return f"_{environment if plain else _digest(environment)[:8]}" if environment else ""


def too_long(name: str) -> bool:
    """Whether the server would cut a name, and two might become one."""
    return len(name.encode()) > _NAME_BYTES


@dataclass(frozen=True, slots=True)
class Slot:
    """A table's slot and publication: their names, and the table they are of."""

    name: str
    publication: str
    table: str

    @classmethod
    def of(cls, options: Any, target: Server, schema: str, table: str, owner: Owner) -> Slot:
        """Name them: after whose table it is and what it reads; or as the options say, and the environment."""
        relation = options.table or table
        facts = (target.label, schema, relation, owner.root, owner.environment, owner.source, table, owner.copy)
        made_up = f"headwater_{_digest(*facts)}"
        given = f"{options.slot}{environment_suffix(owner.environment)}" if options.slot else ""
        return cls(given or made_up, options.publication or given or made_up, table)

    @classmethod
    def of_old(cls, options: Any, target: Server, schema: str, table: str, root: str) -> Slot:
        """Name them as they were named once, when every table of a relation had the same; loaded tables go on so."""
        name = f"headwater_{_digest(target.label, schema, options.table or table, root)}"
        return cls(options.slot or name, options.publication or options.slot or name, table)

    def lost(self, what: str, position: str) -> PostgresError:
        """Return the error that the log after a position cannot be had any more."""
        return PostgresError(
            f"{what}: the changes of table {self.table!r} after {position} are lost",
            fix="read the table anew, with a new slot: headwater run --full and the table's name",
        )
