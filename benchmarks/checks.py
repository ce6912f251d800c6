"""30 checks over 10 M rows beside the hand-written SQL that does them in one scan."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

COLUMNS = ("a", "b", "c", "d", "e", "f", "g")


def make_table(file: Path, rows: int) -> None:
    """Write a Parquet file of eight columns."""
    import duckdb

    duckdb.execute(
        f"COPY (SELECT range AS id, range % 1000 AS a, range % 77 AS b, range * 3 % 100000 AS c, range % 2 AS d, "
        f"'k' || (range % 50) AS e, range / 7.0 AS f, DATE '2020-01-01' + (range % 1000)::INT AS g "
        f"FROM range({rows})) TO '{file}' (FORMAT parquet)"
    )


def specs() -> list[dict[str, object]]:
    """Return 30 checks: not_null and range on every column, values, patterns, one key."""
    found: list[dict[str, object]] = [{"not_null": [name]} for name in ("id", *COLUMNS)]
    for name in ("a", "b", "c", "d", "f"):
        found += [{"column": name, "range": {"min": 0}}, {"column": name, "range": {"max": 10_000_000}}]
    found += [{"column": "d", "accepted_values": [0, 1]}, {"column": "e", "pattern": "k[0-9]+"}]
    found += [{"column": "g", "range": {"min": "2020-01-01", "max": "2023-12-31"}}, {"row_count": {"min": 1}}]
    found += [{"column": "b", "accepted_values": list(range(77))}, {"column": "a", "range": {"min": -5, "max": 999}}]
    found += [
        {"column": "e", "accepted_values": [f"k{n}" for n in range(50)]},
        {"column": "c", "range": {"max": 99_999}},
    ]
    found += [{"not_null": ["a", "b"]}, {"not_null": ["c", "d"]}, {"column": "id", "range": {"min": 0}}]
    found += [{"unique": ["id"]}]
    return found


def by_hand(this: str) -> str:
    """Return the same checks as one SELECT a person would write."""
    keys = ", ".join(f"'k{n}'" for n in range(50))
    numbers = ", ".join(str(n) for n in range(77))
    conditions = [f"{name} IS NULL" for name in ("id", *COLUMNS)]
    for name in ("a", "b", "c", "d", "f"):
        conditions += [f"{name} < 0", f"{name} > 10000000"]
    conditions += [
        "d IS NOT NULL AND d NOT IN (0, 1)", "NOT regexp_full_match(e, 'k[0-9]+')",
        "g < DATE '2020-01-01' OR g > DATE '2023-12-31'", f"b IS NOT NULL AND b NOT IN ({numbers})",
        "a < -5 OR a > 999", f"e IS NOT NULL AND e NOT IN ({keys})", "c > 99999", "a IS NULL OR b IS NULL",
        "c IS NULL OR d IS NULL", "id < 0",
    ]  # fmt: skip
    parts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
    return f"SELECT count(*), {parts}, count(id) - count(DISTINCT id) FROM ({this})"


def measure_checks(file: Path, rounds: int = 5) -> dict[str, float]:
    """Return medians in seconds, and the median of the ratios, pair by pair."""
    import duckdb

    from headwater.core.specs import CheckSpec
    from headwater.quality import compile_scan

    this = f"SELECT * FROM read_parquet('{file}')"
    checks = [CheckSpec.model_validate(spec) for spec in specs()]
    assert len(checks) == 30, len(checks)
    ours = compile_scan(checks, this, datetime(2026, 1, 1, tzinfo=UTC)).query
    connection = duckdb.connect()
    figures: dict[str, list[float]] = {"hand_s": [], "headwater_s": [], "ratio": []}
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        connection.execute(by_hand(this)).fetchall()
        middle = time.perf_counter()
        connection.execute(ours).fetchall()
        end = time.perf_counter()
        row = (middle - begin, end - middle, (end - middle) / (middle - begin))
        for key, value in zip(figures, row, strict=True):
            figures[key].append(value)
    connection.close()
    return {key: statistics.median(values[1:]) for key, values in figures.items()}
