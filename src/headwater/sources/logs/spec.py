"""What a project says of logs: where they are, and how their lines are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.core.policies import LoadMode
from headwater.core.specs import IngestSpec, Spec, StoreName, TypeName
from headwater.core.values import PathText, Size
from headwater.errors import ProjectError
from headwater.sources.common.encodings import Encoding
from headwater.sources.logs.format import own_format


class LogsConnection(Spec):
    """Where the logs are: a folder relative to the project, the project's own when left out."""

    path: PathText = ""


class LogsTable(IngestSpec):
    """One table of logs.

    `path` may hold `*`, `?`, `[…]` and `**`; let it match the rotated files too. `format` is a name, or `pattern` is a
    regular expression of RE2 with a named group per column; `types` says what is not text, and timestamps are read by
    `time_format` (in strptime's language). `json` needs `columns`. A line that is not text of `encoding` is a reject.
    `max_unpacked` is how much a packed file may hold; by default 100 MB and 200 times its own size.
    """

    path: Annotated[PathText, Field(min_length=1)]
    format: Literal["common", "combined", "json", "syslog", "rfc3164", "rfc5424"] | None = None
    pattern: str = ""
    types: dict[str, TypeName] = Field(default_factory=dict)
    time_format: str = ""
    encoding: Encoding = "utf-8"
    max_unpacked: Size | None = None
    load: LoadMode = LoadMode.INCREMENTAL
    into: StoreName = "lake"

    @model_validator(mode="after")
    def _says_how_lines_are_read(self) -> LogsTable:
        if bool(self.format) == bool(self.pattern):
            raise ValueError("a log has either a format or a pattern")
        if self.format == "json" and not self.columns:
            raise ValueError("format: json needs columns")
        if (self.types or self.time_format) and not self.pattern:
            raise ValueError("types and time_format belong to a pattern")
        if self.pattern:
            try:
                own_format(self.pattern, self.types, self.time_format)
            except ProjectError as error:
                raise ValueError(f"{error.what}; {error.fix}") from None
        return self
