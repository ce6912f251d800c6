"""Questions about metrics, from outside of the project's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.metrics import MetricRequest
from headwater.core.names import ROOT
from headwater.errors import ProjectError
from headwater.sql.metrics.compiling import compile_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.fragments import SelectSql
    from headwater.core.project import Project


def answer_metrics(
    project: Project, metrics: str | Sequence[str], by: str | Sequence[str] = (), where: str = ""
) -> SelectSql:
    """Return the SELECT over datasets by their full names that answers a question; `domain.metric` is of a domain.

    Raises:
        ProjectError: A name is not known, the metrics are of several domains, or rows would be counted twice.
    """
    metrics, by = ([one] if isinstance(one, str) else one for one in (metrics, by))
    if not metrics:
        raise ProjectError("no metric is asked for", fix="name one: what by and where say is of metrics")
    domains = {domain or ROOT for domain, _, _ in (name.rpartition(".") for name in metrics)}
    if len(domains) > 1:
        raise ProjectError(f"{', '.join(metrics)} are of several domains", fix="ask them one by one")
    owned = [model for model in project.semantic_models if {model.domain} == domains]
    local = tuple(name.rpartition(".")[2] for name in metrics)
    return compile_metrics(owned, MetricRequest(local, tuple(by), where))
