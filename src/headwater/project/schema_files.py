"""`sources/<source>.schema.yaml`: schemas that were proposed from a sample, for people to read and commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headwater.core.files import read_regular
from headwater.errors import ProjectError
from headwater.project.readers.sources import SCHEMA_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.contracts import TableDescription
    from headwater.core.project import Project


def find_unconfirmed(project: Project, described: Mapping[str, TableDescription]) -> dict[str, TableDescription]:
    """Return the source tables whose columns were inferred and that nobody declared."""
    return {
        name: about
        for name, about in described.items()
        if about.proposed and about.columns and name in project.datasets and not project.datasets[name].columns
    }


def refuse_unconfirmed(project: Project, described: Mapping[str, TableDescription]) -> list[ProjectError]:
    """Return what a run says that nobody watches: it infers no type."""
    return [
        ProjectError.at(
            project.datasets[name].location,
            f"{name}: its schema is not declared, and nothing is inferred unattended",
            f"declare `columns` there, or run once in a terminal to propose {_file(name)}",
        )
        for name in find_unconfirmed(project, described)
    ]


def write_proposals(project: Project, proposals: Mapping[str, TableDescription]) -> list[str]:
    """Write the proposed columns into each source's schema file; return a line for people per table."""
    lines = []
    for name, about in proposals.items():
        file = Path(project.root) / _file(name)
        text = (
            read_regular(file).decode() if file.exists() else "# Proposed from a sample; read it, mend it, commit it.\n"
        )
        columns = "".join(f"    {_quote(c.name)}: {_quote(_spell(c.type))}\n" for c in about.columns)
        file.write_text(f"{text}{_quote(name.rpartition('.')[2])}:\n  columns:\n{columns}", encoding="utf-8")
        lines.append(f"proposed the schema of {name}: {len(about.columns)} columns, in {_file(name)}")
    return lines


def _file(name: str) -> str:
    *domain, source, _ = name.split(".")
    return "/".join([*(["domains", *domain] if domain else []), f"sources/{source}{SCHEMA_SUFFIX}"])


def _spell(type_text: str) -> str:
    """Write a type in small letters unless it holds names of its own (fields, values)."""
    return type_text if type_text.startswith(("STRUCT", "MAP", "UNION", "ENUM")) else type_text.lower()


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return text if text.replace("_", "a").isalnum() and text[0].isalpha() else f'"{escaped}"'
