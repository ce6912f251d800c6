"""Limits of a load, decided over the whole staged load before its commit: a load that breaks one changes nothing."""

from __future__ import annotations

from headwater.errors import CheckFailedError


def check_rejected(
    table: str, limit: float | None, *, good: int, rejected: int, swallowed: int = 0
) -> CheckFailedError | None:
    """Decide `max_rejected`: a number of rows (int) or a share of the rows read (float); None is no limit.

    The lines that a reject has `swallowed` (a quote that is not closed) count as rows: they would have been some.
    """
    if limit is None or not rejected:
        return None
    rejected += swallowed
    total = good + rejected
    if isinstance(limit, int):
        if rejected <= limit:
            return None
        allowed = f"{limit} allowed"
    else:
        if rejected <= limit * total:
            return None
        allowed = f"{limit:.4%} allowed".replace("00%", "%")
    took = f", {swallowed} of them lines that others took in: a quote is not closed" if swallowed else ""
    return CheckFailedError(
        f"{table}: {rejected} of {total} rows are rejects ({rejected / total:.2%}){took}, {allowed}",
        fix=f"mend the source, or raise max_rejected and see them with: headwater show --rejected {table}",
    )


def check_empty(
    table: str, allow_empty: bool, *, good: int, rejected: int, current_rows: int | None, load: str = "a full"
) -> CheckFailedError | None:
    """Decide `allow_empty`: a load without a good row never wipes a table that has rows."""
    if good or allow_empty or not current_rows:
        return None
    why = f"all {rejected} rows are rejects" if rejected else "the source gave no rows"
    return CheckFailedError(
        f"{table}: {why}, and {load} load would remove the {current_rows} rows there are",
        fix="mend the source, or set allow_empty: true",
    )


def check_emptied(table: str, allow_empty: bool, path: str, current_rows: int) -> CheckFailedError | None:
    """Decide `allow_empty` for a changed file of which every row is a reject: those it gave before would go."""
    if allow_empty:
        return None
    return CheckFailedError(
        f"{table}: {path} changed and all its rows are rejects; the load would remove the {current_rows} rows it gave",
        fix=f"mend the file (headwater show --rejected {table} shows what is wrong), or set allow_empty: true",
    )


def check_deleted(table: str, max_deleted: float, *, deleted: int, current_rows: int) -> CheckFailedError | None:
    """Decide `max_deleted`: the share of the table's rows that `deletes: compare_keys` may remove in one load."""
    if deleted <= max_deleted * current_rows:
        return None
    return CheckFailedError(
        f"{table}: {deleted} of {current_rows} rows ({deleted / current_rows:.1%}) are gone from the source, "
        f"{max_deleted:.1%} allowed",
        fix="if that is right, raise max_deleted",
    )


def check_keys(table: str, allow_empty: bool, *, keys: int, current_rows: int) -> CheckFailedError | None:
    """Decide on the keys that `deletes: compare_keys` read: none at all is an accident unless `allow_empty`."""
    if keys or allow_empty or not current_rows:
        return None
    return CheckFailedError(
        f"{table}: the source gave no keys, and comparing would remove all {current_rows} rows",
        fix="mend the source, or set allow_empty: true",
    )
