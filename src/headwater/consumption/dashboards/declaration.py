"""A dashboard's file as it is declared: prose and blocks in order, queries with their parameters filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.blocks import ShownBlock, SqlBlock, check_queries, read_block, read_sql
from headwater.consumption.dashboards.markdown import Prose, check_prose, parse_page
from headwater.core.consumer import ConsumerQuery
from headwater.core.graph import Location
from headwater.errors import ProjectError, ProjectErrors

if TYPE_CHECKING:
    from headwater.consumption.dashboards.parameters import Parameters


@dataclass(frozen=True, slots=True)
class DeclaredPage:
    """What a page says.

    Attributes:
        title: Its title, parameters filled in.
        pieces: Prose and the blocks that show something, in order.
        queries: Its queries, parameters replaced by literals.
        params: Its parameters.
    """

    title: str
    pieces: tuple[Prose | ShownBlock, ...] = field(repr=False)
    queries: tuple[ConsumerQuery, ...]
    params: Parameters


def read_page(text: str, path: str, title: str, params: Parameters) -> DeclaredPage:
    """Read a dashboard's Markdown, its head blanked.

    Raises:
        ProjectError: It is wrong; several problems come together, in the order of their lines.
    """
    errors: list[ProjectError] = []
    shown: list[Prose | ShownBlock] = []
    queries: list[SqlBlock] = []
    title = params.fill_text(title, Location(path, 1), errors)
    for piece in parse_page(text, path, errors):
        if isinstance(piece, Prose):
            errors += check_prose(
                piece.tokens, params.texts, lambda name, line: params.unknown(name, Location(path, line))
            )
            shown.append(piece)
        elif piece.word == "sql":
            if (query := read_sql(piece, path, errors)) is not None:
                queries.append(query)
        elif (block := read_block(piece, path, params, errors)) is not None:
            shown.append(block)
    blocks = [piece for piece in shown if isinstance(piece, ShownBlock)]
    asked = tuple(
        ConsumerQuery(query.name, params.fill_sql(query.sql, query.location, errors), query.location)
        for query in check_queries(blocks, queries, errors)
    )
    if errors:
        errors.sort(key=lambda error: (error.line, error.column))
        raise errors[0] if len(errors) == 1 else ProjectErrors(errors)
    return DeclaredPage(title, tuple(shown), asked, params)
