"""`headwater query`."""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any

import click

from headwater.cli.options import errors_as_json, json_option, load
from headwater.cli.out import say
from headwater.core.texts import visible, visible_json
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headwater.workspace.query import Answer

_FORMATS = {"table": "text", "csv": "text", "json": "json", "parquet": "parquet", "arrow": "arrow"}
"""The ways to write rows, each with the form that values are asked for."""

_BINARY = ("parquet", "arrow")


@click.command()
@click.argument("sql", required=False)
@click.option(
    "-m", "--metric", "metrics", multiple=True, metavar="NAME", help="A metric of metrics/; several, several numbers."
)
@click.option(
    "--by", multiple=True, metavar="FIELDS", help="What metrics are grouped by: carrier,month or orders.day__week."
)
@click.option("--where", multiple=True, metavar="CONDITION", help="Rows that metrics count: a condition on fields.")
@click.option("--sql", "show_sql", is_flag=True, help="Print the SELECT instead of running it.")
@click.option("--format", "form", type=click.Choice(list(_FORMATS)), default="table", help="How rows are written.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file; Parquet and Arrow need one or a pipe.")
@click.option("--limit", default=100, help="Rows shown as a table; 0 for all.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, sql: str | None, metrics: tuple[str, ...], by: tuple[str, ...], where: tuple[str, ...],
    show_sql: bool, form: str, output: str | None, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """Run one SELECT over the datasets by name, whichever store they are in, or ask for metrics. Read-only."""

    def body() -> int:
        from headwater.workspace.metrics import answer_metrics
        from headwater.workspace.query import AnswerEndedError

        if (sql is None) == (not metrics):
            raise click.UsageError("write one SELECT, or name a metric with --metric")
        if sql is not None and (by or where):
            raise click.UsageError("--by and --where are for metrics: write them into the SELECT")
        chosen = "json" if as_json else form
        if chosen in _BINARY and output is None and sys.stdout.isatty():
            raise click.UsageError(f"{chosen} is not text: name a file with -o, or pipe it")
        loaded = load(ctx)
        asked = str(answer_metrics(loaded.project, _words(metrics), _words(by), where)) if sql is None else sql
        if show_sql:
            say(asked)
            return 0
        while True:
            try:
                with loaded.stream(asked, form=_FORMATS[chosen]) as answer:
                    return _write(answer, chosen, output, limit)
            except AnswerEndedError:
                if output is not None and not _is_file(output):  # what went into a pipe cannot be taken back
                    raise

    ctx.exit(errors_as_json(body, as_json))


def _words(lists: Iterable[str]) -> list[str]:
    """Take lists with commas apart."""
    return [word.strip() for words in lists for word in words.split(",") if word.strip()]


def _write(answer: Answer, form: str, output: str | None, limit: int) -> int:
    """Write the rows; an error behind rows that were printed is told beside them. Returns the exit code."""
    if form in _BINARY:
        with _file(output, "wb") if output else nullcontext(sys.stdout.buffer) as sink:
            return _print(_binary(answer, form, sink), sink, output)
    texts = _table(answer, limit) if form == "table" else _csv(answer) if form == "csv" else _json(answer)
    if form == "csv" and output is None and sys.stdout.isatty():  # exact, but for a terminal
        texts = map(visible, texts)
    with _file(output, "w") if output else nullcontext(sys.stdout) as sink:
        return _print(texts, sink, output)


def _print(parts: Iterator[Any], sink: IO[Any], output: str | None) -> int:
    begun = False
    try:
        for part in parts:
            sink.write(part)
            begun = True
    except HeadwaterError as error:
        if output is not None or not begun:
            raise
        sink.flush()
        say(f"{error}", err=True)
        return error.exit_code
    return 0


def _is_file(output: str) -> bool:
    """Whether a name is a file's, or will be: no pipe, no device, nothing that another process has opened."""
    try:
        return stat.S_ISREG(os.stat(output).st_mode) and not output.startswith(("/dev/", "/proc/"))
    except OSError:
        return True


@contextmanager
def _file(output: str, mode: str) -> Iterator[IO[Any]]:
    """Open a file that takes its name only when it is whole; a device or a pipe is written as it is."""
    if not _is_file(output):
        with open(output, mode, encoding=None if "b" in mode else "utf-8") as sink:
            yield sink
        return
    place = os.path.realpath(output)
    aside = f"{place}.{os.getpid()}.part"
    try:
        with _open(aside, mode, output) as sink:
            yield sink
        with suppress(FileNotFoundError):
            os.chmod(aside, stat.S_IMODE(os.stat(place).st_mode))
        os.replace(aside, place)
    finally:
        with suppress(OSError):
            os.unlink(aside)


def _open(aside: str, mode: str, output: str) -> IO[Any]:
    try:
        return open(aside, mode, encoding=None if "b" in mode else "utf-8")
    except OSError as error:
        error.filename = output
        raise


def _binary(answer: Answer, form: str, sink: IO[bytes]) -> Iterator[bytes]:
    """Write batches into the sink; what is still to be written there is nothing, after each of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = pq.ParquetWriter(sink, answer.schema) if form == "parquet" else pa.ipc.new_stream(sink, answer.schema)
    with writer:
        for batch in answer.batches:
            writer.write_batch(batch)
            yield b""


def _csv(answer: Answer) -> Iterator[str]:
    yield _line(answer.schema.names)
    for batch in answer.batches:
        yield "".join(map(_line, _rows(batch)))


def _line(row: Sequence[str | None]) -> str:
    """A NULL is an empty field, an empty text is one in quotes; so is a NULL that is alone in its line."""
    return ",".join(map(_field, row)) + "\n" if tuple(row) != (None,) else '""\n'


def _field(text: str | None) -> str:
    if text is None:
        return ""
    plain = text and not any(sign in text for sign in ',"\n\r')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _json(answer: Answer) -> Iterator[str]:
    names = [json.dumps(name, ensure_ascii=False) for name in answer.schema.names]
    before = "[\n "
    for row in (row for batch in answer.batches for row in _rows(batch)):
        pairs = ", ".join(f"{n}: {value or 'null'}" for n, value in zip(names, row, strict=True))
        yield visible_json(f"{before}{{{pairs}}}")
        before = ",\n "
    yield "\n]\n" if before == ",\n " else "[]\n"


def _rows(table: Any) -> list[tuple[str | None, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _table(answer: Answer, limit: int) -> Iterator[str]:
    kept: list[tuple[str | None, ...]] = []
    total = 0
    for batch in answer.batches:
        total += batch.num_rows
        kept += _rows(batch.slice(0, max(limit - len(kept), 0)) if limit else batch)
    names = [visible(name, one_line=True) for name in answer.schema.names]
    rows = [["NULL" if value is None else visible(value, one_line=True) for value in row] for row in kept]
    widths = [min(max([len(name), *(len(row[index]) for row in rows)]), 60) for index, name in enumerate(names)]
    yield "  ".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True)).rstrip() + "\n"
    yield "  ".join("-" * width for width in widths) + "\n"
    for row in rows:
        yield "  ".join(f"{_cut(v, w):<{w}}" for v, w in zip(row, widths, strict=True)).rstrip() + "\n"
    if len(kept) < total:
        yield f"… {total - len(kept):,} more rows (--limit 0 shows all)\n"
    yield f"{total:,} row{'s' if total != 1 else ''}\n"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
