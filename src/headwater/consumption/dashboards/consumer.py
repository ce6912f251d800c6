"""A dashboard: Markdown with queries becomes one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from headwater.consumption.dashboards.columns import find_missing
from headwater.consumption.dashboards.declaration import read_page
from headwater.consumption.dashboards.making import make_page
from headwater.consumption.dashboards.parameters import Parameters, ParamSpecs
from headwater.contracts.consumer import Consumer
from headwater.core.layers import Family
from headwater.core.specs.base import Spec
from headwater.errors import ProjectErrors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.contracts.consumer import Consumption, Made
    from headwater.core.consumer import ConsumerQuery, DeclaredConsumer


class DashboardSpec(Spec):
    """The head of a dashboard's file."""

    title: str = ""
    description: str = ""
    owner: str = ""
    params: ParamSpecs = Field(default_factory=dict)


class Dashboard(Consumer):
    """Markdown with fenced blocks `sql NAME`, `big_number`, `chart`, `table` and `text`, made into `index.html`.

    A query that fails, and a block that cannot be shown, leave an error in their place; the rest of the page stands.

    Raises:
        ProjectError: The declaration is wrong; several problems come as `ProjectErrors`.

    Source: CommonMark 0.31, https://spec.commonmark.org; Vega-Lite 6, https://vega.github.io/vega-lite.
    """

    kind: ClassVar[str] = "dashboard"
    family: ClassVar[Family] = Family.BI
    spec: ClassVar[type[Spec]] = DashboardSpec

    def __init__(self, declared: DeclaredConsumer) -> None:
        self._head = declared.options if isinstance(declared.options, DashboardSpec) else DashboardSpec()
        self._path = declared.location.path
        params = Parameters.of(self._head.params)
        title = self._head.title or declared.name.rpartition(".")[2]
        self._page = read_page(declared.text, self._path, title, params, declared.models)

    def queries(self) -> tuple[ConsumerQuery, ...]:
        """Return its queries, parameters replaced by typed literals."""
        return self._page.queries

    def files(self) -> tuple[str, ...]:
        """Return no files: all of a dashboard stands in its declaration."""
        return ()

    def check_columns(self, columns: Mapping[str, Sequence[str]]) -> None:
        """See that the columns that its blocks name are there.

        Raises:
            ProjectError: One is not; several problems come as `ProjectErrors`.
        """
        if missing := list(find_missing(self._page, columns)):
            raise ProjectErrors(missing)

    def make(self, consumption: Consumption) -> Made:
        """Write `index.html`.

        Raises:
            HeadwaterError: The page is too large, or it has charts and the extra `charts` is not installed.
        """
        return make_page(self._page, self._head.description, self._head.owner, consumption)
