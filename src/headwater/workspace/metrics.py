"""Questions about metrics, from outside of the project's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.metrics import MetricRequest
from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.sql.metrics.compiling import compile_metrics
from headwater.sql.metrics.trees import read_tree
from headwater.sql.parse import fold_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.fragments import SelectSql
    from headwater.core.project import Project


def answer_metrics(
    project: Project, metrics: str | Sequence[str], by: str | Sequence[str] = (), where: str | Sequence[str] = (),
    sql: str = "",
) -> SelectSql:  # fmt: skip
    """Return the SELECT over datasets by their full names that answers a question; `domain.metric` is of a domain.

    Of several conditions all have to hold.

    Raises:
        ProjectError: A name is not known, the metrics are of several domains, rows would be counted twice, or there is
            a SELECT (`sql`) as well.
    """
    metrics, by, where = ([one] if isinstance(one, str) else list(one) for one in (metrics, by, where))
    if not metrics or sql:
        raise ProjectError(
            "metrics and a SELECT are asked for at once" if sql else "no metric is asked for",
            fix="ask one of them" if sql else "name one: what by and where say is of metrics",
        )
    owners = {
        f"{m.domain}.{name}" if m.domain != ROOT else name: m for m in project.semantic_models for name in m.metrics
    }
    folded = {fold_name(name): model for name, model in owners.items()}
    for name in metrics:
        if fold_name(name) not in folded:
            same = [known for known in owners if fold_name(known).endswith(f".{fold_name(name)}")]
            fix = (
                f"write {' or '.join(same)}" if same else suggest(name, owners) if owners else "declare it in metrics/"
            )
            raise ProjectError(f"no metric is named {name}", fix=fix)
    domains = {folded[fold_name(name)].domain for name in metrics}
    if len(domains) > 1:
        raise ProjectError(f"{', '.join(metrics)} are of several domains", fix="ask them one by one")
    where = [one for one in where if one.strip()]
    for one in where:
        read_tree(one, "where")
    together = " AND ".join(f"({one}\n)" for one in where)
    local = tuple(name.rpartition(".")[2] for name in metrics)
    owned = [model for model in project.semantic_models if model.domain in domains]
    return compile_metrics(owned, MetricRequest(local, tuple(by), together))
