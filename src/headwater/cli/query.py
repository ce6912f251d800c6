"""`headwater query`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Any

import click

from headwater.cli.options import errors_as_json, json_option, load

_FORMATS = {"table": "text", "csv": "text", "json": "json", "parquet": "parquet", "arrow": "arrow"}
"""The ways to write rows, each with the form that values are asked for."""


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(list(_FORMATS)), default="table", help="How rows are written.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file; Parquet and Arrow need one or a pipe.")
@click.option("--limit", default=100, help="Rows shown as a table; 0 for all.")
@json_option
@click.pass_context
def command(ctx: click.Context, sql: str, form: str, output: str | None, limit: int, as_json: bool) -> None:
    """Run one SELECT over the datasets by name, whichever store they are in. Read-only."""

    def body() -> int:
        chosen = "json" if as_json else form
        _write(load(ctx).query(sql, form=_FORMATS[chosen]), chosen, output, limit)
        return 0

    ctx.exit(errors_as_json(body, as_json))


def _write(table: Any, form: str, output: str | None, limit: int) -> None:
    if form in ("parquet", "arrow"):
        _write_binary(table, form, output)
        return
    text = {"csv": _csv, "json": _json}[form](table) if form != "table" else _table(table, limit)
    if output:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        click.echo(text, nl=False)


def _write_binary(table: Any, form: str, output: str | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if output is None and sys.stdout.isatty():
        raise click.UsageError(f"{form} is not text: name a file with -o, or pipe it")
    with open(output, "wb") if output else nullcontext(sys.stdout.buffer) as sink:
        if form == "parquet":
            pq.write_table(table, sink)
        else:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)


def _csv(table: Any) -> str:
    rows = [table.column_names, *_rows(table)]
    return "".join(",".join(map(_field, row)) + "\n" if row != (None,) else '""\n' for row in rows)


def _field(text: str | None) -> str:
    """A NULL is an empty field, an empty text is one in quotes; so is a NULL that is alone in its line."""
    if text is None:
        return ""
    plain = text and not any(sign in text for sign in ',"\n\r')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _json(table: Any) -> str:
    names = [json.dumps(name, ensure_ascii=False) for name in table.column_names]
    lines = [
        "{" + ", ".join(f"{name}: {value or 'null'}" for name, value in zip(names, row, strict=True)) + "}"
        for row in _rows(table)
    ]
    return "[\n " + ",\n ".join(lines) + "\n]\n" if lines else "[]\n"


def _rows(table: Any) -> list[tuple[str | None, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _table(table: Any, limit: int) -> str:
    shown = table.slice(0, limit) if limit else table
    rows = [["NULL" if value is None else value for value in row] for row in _rows(shown)]
    widths = [
        min(max([len(name), *(len(row[index]) for row in rows)]), 60) for index, name in enumerate(table.column_names)
    ]
    lines = ["  ".join(f"{name:<{width}}" for name, width in zip(table.column_names, widths, strict=True)).rstrip()]
    lines.append("  ".join("-" * width for width in widths))
    lines += ["  ".join(f"{_cut(v, w):<{w}}" for v, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    if shown.num_rows < table.num_rows:
        lines.append(f"… {table.num_rows - shown.num_rows:,} more rows (--limit 0 shows all)")
    lines.append(f"{table.num_rows:,} row{'s' if table.num_rows != 1 else ''}")
    return "\n".join(lines) + "\n"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
