"""`headwater query`."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from typing import Any

import click

from headwater.cli.options import errors_as_json, json_option, load

_FORMATS = ("table", "csv", "json", "parquet", "arrow")


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="table", help="How rows are written.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file; Parquet and Arrow need one or a pipe.")
@click.option("--limit", default=100, help="Rows shown as a table; 0 for all.")
@json_option
@click.pass_context
def command(ctx: click.Context, sql: str, form: str, output: str | None, limit: int, as_json: bool) -> None:
    """Run one SELECT over the datasets by name, whichever store they are in. Read-only."""

    def body() -> int:
        _write(load(ctx).query(sql), "json" if as_json else form, output, limit)
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
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([_text(value) for value in row] for row in _rows(table))
    return out.getvalue()


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else value


def _json(table: Any) -> str:
    import json

    rows = [dict(zip(table.column_names, map(_plain, row), strict=True)) for row in _rows(table)]
    return json.dumps(rows, default=str, ensure_ascii=False, indent=1) + "\n"


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: what is no number is null, bytes are hexadecimal."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _rows(table: Any) -> list[tuple[Any, ...]]:
    """Return rows as tuples: two columns may have one name."""
    return list(zip(*(_values(column) for column in table.columns), strict=True))


def _values(column: Any) -> list[Any]:
    """Return a column's values; as DuckDB writes them where Python has no such date (infinity, before Christ)."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("shown", pa.table({"shown": column}))
            return [text for (text,) in connection.execute("SELECT CAST(shown AS VARCHAR) FROM shown").fetchall()]


def _table(table: Any, limit: int) -> str:
    shown = table.slice(0, limit) if limit else table
    rows = [["NULL" if value is None else str(_text(value)) for value in row] for row in _rows(shown)]
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
