"""A dashboard's file as it is declared: prose and blocks in order, queries with their parameters filled in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.blocks import ShownBlock, SqlBlock, check_queries, read_block, read_sql
from headwater.consumption.dashboards.markdown import Prose, check_prose, parse_page
from headwater.core.consumer import ConsumerQuery
from headwater.core.fragments import SelectSql
from headwater.core.graph import Location
from headwater.errors import ProjectError, ProjectErrors
from headwater.sql.metrics.compiling import compile_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.consumption.dashboards.parameters import Parameters
    from headwater.core.metrics import SemanticModel


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


def read_page(
    text: str, path: str, title: str, params: Parameters, models: Sequence[SemanticModel] = ()
) -> DeclaredPage:
    """Read a dashboard's Markdown, its head blanked; `models` are those whose metrics it may show.

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
            if block.spec.metric and all(query.name != block.spec.query for query in queries):
                queries += _read_metrics(block, models, params, errors)
    blocks = [piece for piece in shown if isinstance(piece, ShownBlock)]
    asked = tuple(
        ConsumerQuery(
            query.name, params.fill_sql(query.sql, query.location, errors), query.location, metrics=query.metrics
        )
        for query in check_queries(blocks, queries, errors)
    )
    if errors:
        errors.sort(key=lambda error: (error.line, error.column))
        raise errors[0] if len(errors) == 1 else ProjectErrors(errors)
    return DeclaredPage(title, tuple(shown), asked, params)


def _read_metrics(
    block: ShownBlock, models: Sequence[SemanticModel], params: Parameters, errors: list[ProjectError]
) -> Iterator[SqlBlock]:
    """Yield the query that the metrics of a block are answered by."""
    if quoted := next((name for name in params.texts if f"'${name}'" in block.spec.where), ""):
        what = f"{block.word}: '${quoted}' in quotes is a text with a dollar sign"
        errors.append(ProjectError.at(block.location, what, f"write ${quoted}: its value comes with its type"))
    request = replace(block.spec.request, where=params.fill_sql(block.spec.where, block.location, errors))
    try:
        sql = compile_metrics(models, request)
    except ProjectError as error:
        errors.append(ProjectError.at(block.location, f"{block.word}: {error.what}", error.fix))
        sql = SelectSql("SELECT 1")
    yield SqlBlock(block.spec.query, sql, block.location, request.metrics)
