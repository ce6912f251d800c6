"""Names of tables and predicates on keys, shared by the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.fragments import PredicateSql, quote_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable


def split_dataset(dataset: str) -> tuple[str, str]:
    """Return the physical namespace and the name of a dataset: `a.b.c` is `("a__b", "c")`, `x` is `("main", "x")`."""
    namespace, _, name = dataset.rpartition(".")
    return namespace.replace(".", "__") or "main", name


def match_keys(key: Iterable[str], one: str, other: str) -> PredicateSql:
    """Return the predicate that two relations hold the same key."""
    return PredicateSql(
        " AND ".join(f"{one}.{quote_identifier(name)} = {other}.{quote_identifier(name)}" for name in key)
    )
