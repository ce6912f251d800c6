"""REST: resources of an HTTP API that answers in JSON, page by page."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from headwater.contracts import Reading, Source, TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import quote_text
from headwater.core.layers import Family
from headwater.core.policies import LoadMode
from headwater.errors import ProjectError
from headwater.sources.common.json_rows import proposed_type
from headwater.sources.rest.auth import Credentials
from headwater.sources.rest.client import Client, RestError, RestUnavailableError, join_url
from headwater.sources.rest.cursor import find_cursor
from headwater.sources.rest.parents import find_chain
from headwater.sources.rest.read import TableRead, Walker
from headwater.sources.rest.spec import RestConnection, RestTable
from headwater.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.contracts import ReadRequest
    from headwater.core.specs import Spec
    from headwater.sources.rest.client import ApiAnswer

DESCRIBE_PATIENCE_S = 10.0
"""How long describing waits for one answer."""

_SAMPLE_RECORDS = 10_000


class Rest(Source):
    """An HTTP API.

    Emits: the declared columns, `_raw` (the record as it came), `_rule` and `_reason` for records that do not fit.
    Units and time zone: `epoch_s` and `epoch_ms` are numbers since 1970-01-01 UTC; a time with a zone becomes an
    instant in UTC. Cursors are sent in UTC.
    State: `cursor`: the highest value read; with a parent `cursors`, one per digest of a parent's fields.
    Delivery: what the API gives, at least once: rows that move between pages while they are read may come twice, which
    a key repairs, or be missed where pages are counted; what is changed meanwhile comes with the next load. A resumed
    read goes on at the first page that was not staged; parents that came in between come with the next load. The upper
    bound is fixed only with `send_cursor: {until: …}`.
    Raises: RestError for answers that are not what is declared, and RestUnavailableError (retryable) when the API
    cannot be reached or wants to be left alone for long.
    Source: `path` below the URL in `connection`, by GET; answers are JSON in UTF-8.
    """

    kind: ClassVar[str] = "rest"
    family: ClassVar[Family] = Family.APIS
    connection_spec: ClassVar[type[Spec]] = RestConnection
    table_spec: ClassVar[type[Spec]] = RestTable

    def __init__(self, spec: RestConnection, root: str) -> None:
        self._spec = spec
        self._root = root
        self._credentials = Credentials(spec.auth)
        self._tables: dict[str, RestTable] = {}

    @classmethod
    def check_tables(cls, tables: Mapping[str, RestTable]) -> dict[str, ProjectError]:
        """Return the tables whose parent is no table of the source, or that are their own parent's parent."""
        wrong = {}
        for name in tables:
            try:
                find_chain(name, tables)
            except ProjectError as error:
                wrong[name] = error
        return wrong

    def lineage_name(self, table: str, options: RestTable) -> tuple[str, str]:
        """Return host and port as the namespace, and the path."""
        parts = urlsplit(self._spec.connection)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}", f"{parts.path.rstrip('/')}/{options.path.lstrip('/')}"

    def describe(self, tables: Mapping[str, Any]) -> dict[str, TableDescription]:
        """Describe tables: columns are proposed from a first page unless all are declared.

        A table has a version only when it is loaded full out of one answer, whose ETag or Last-Modified it is.
        """
        self._tables.update(tables)  # one that is asked for alone may have its parent among those of another call
        with ThreadPoolExecutor(max_workers=4) as pool:
            found = pool.map(lambda name: self._describe(name, self._tables), tables)
            return dict(zip(tables, found, strict=True))

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: its bound is the time it begins; nothing is asked before the first chunk is taken."""
        if not request.columns:
            raise ProjectError(
                f"table {table!r} has no columns, and nothing is inferred unattended",
                fix="declare columns, or run once in a terminal to have them proposed",
            )
        cursor = find_cursor(table, request)
        manifest = dict(request.manifest) if request.manifest is not None else {"until": request.now.isoformat()}
        hides = request.ingest.hides_values
        tables = {**request.tables, table: request.options}
        find_chain(table, tables)

        def open_walker() -> Walker:
            client = Client(self._spec, self._credentials, hides=hides)
            return self._walker(client, request.options, tables)

        read = TableRead(table, request, cursor, datetime.fromisoformat(manifest["until"]), open_walker)
        return Reading(manifest, read.chunks(), ("_raw", "_rule", "_reason"), read.keys)

    def _walker(self, client: Client, table: RestTable, tables: Mapping[str, RestTable]) -> Walker:
        return Walker(client, ThreadPoolExecutor(max_workers=table.in_flight), self._spec.connection, tables)

    def _describe(self, name: str, tables: Mapping[str, Any]) -> TableDescription:
        table = tables[name]
        declared = getattr(table, "columns", {})
        full = getattr(table, "load", LoadMode.FULL) == LoadMode.FULL
        known = bool(declared) and all(column.type is not None for column in declared.values())
        if known and not (full and table.single):
            return TableDescription()
        spec = self._spec.model_copy(update={"retries": min(self._spec.retries, 1)})
        hides = getattr(table, "hides_values", False)
        client = Client(spec, self._credentials, hides=hides, patience_s=DESCRIBE_PATIENCE_S)
        walker = self._walker(client, table, tables)
        try:
            version = self._version(client, table) if full and table.single else None
            if known:
                return TableDescription(version=version)
            columns = self._propose(name, table, walker)
            return TableDescription(columns, version=version, proposed=bool(columns))
        finally:
            walker.close()

    def _version(self, client: Client, table: RestTable) -> str | None:
        """Ask for the head of the one answer; None when the API does not tell."""

        def read_version(answer: ApiAnswer) -> str | None:
            for header in ("etag", "last-modified"):
                if value := answer.headers.get(header):
                    return f"{header}: {value}"
            return None

        try:
            return client.fetch(join_url(self._spec.connection, table.path), table.params, read_version, "HEAD")
        except (RestError, RestUnavailableError):
            return None

    def _propose(self, name: str, table: RestTable, walker: Walker) -> tuple[Column, ...]:
        """Infer columns from the records of the first page, for somebody to confirm."""
        for parent, page, _, _ in walker.pages(table, walker.parents(name, table)):
            if page.records:
                return _infer(self._root, [parent.complete(record) for record in page.records[:_SAMPLE_RECORDS]])
        return ()


def _infer(root: str, records: list[bytes]) -> tuple[Column, ...]:
    import duckdb

    with temporary_folder(root) as folder, duckdb.connect() as connection:
        file = os.path.join(folder, "sample.jsonl")
        with open(file, "wb") as stream:
            stream.writelines(b" ".join(record.split(b"\n")) + b"\n" for record in records)
        scan = f"read_json({quote_text(file)}, format='newline_delimited', maximum_depth=2, ignore_errors=true)"
        rows = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    return tuple(Column(name, proposed_type(type_text)) for name, type_text, *_ in rows)
