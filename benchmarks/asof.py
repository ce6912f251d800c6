"""Training rows, 1 M of a spine and 5 M of a feature, beside the bare ASOF join of DuckDB."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

ENTITIES = 100_000
BARE = "SELECT s.k, s.t, f.x, f.y, f.z, s.l FROM m.s AS s ASOF LEFT JOIN m.f AS f ON s.k = f.k AND s.t >= f.a"
DECLARED = {
    "spine": {"from": "m.s", "key": "k", "time": "t", "label": "l"},
    "features": [{"from": "m.f", "columns": ["x", "y", "z"], "available": "a", "max_age": "365d"}],
    "train": "learn.py:train",
}


def connect(spine: int, feature: int) -> Any:
    """Return a connection with both tables; times are of seconds, so a few rows have one key and time."""
    import duckdb

    connection = duckdb.connect()
    key = f"(hash(range, 1) % {ENTITIES})::bigint"
    time_of = "timestamp '2024-01-01' + to_seconds((hash(range, 2) % 31536000)::bigint)"
    connection.execute(
        "SET threads = 2; CREATE SCHEMA m;"
        f"CREATE TABLE m.f AS SELECT {key} AS k, {time_of} AS a, (hash(range, 3) % 1000) / 7 AS x, "
        f"(hash(range, 4) % 1000)::bigint AS y, (hash(range, 5) % 1000) / 3 AS z FROM range({feature});"
        f"CREATE TABLE m.s AS SELECT (hash(range, 6) % {ENTITIES})::bigint AS k, "
        f"timestamp '2024-01-01' + to_seconds((hash(range, 7) % 31536000)::bigint) AS t, hash(range) % 2 = 0 AS l "
        f"FROM range({spine})"
    )
    return connection


def measure_asof(folder: Path, rounds: int = 7, spine: int = 1_000_000, feature: int = 5_000_000) -> dict[str, float]:
    """Return the least CPU seconds of several rounds of both, their medians, and the ratio of the least."""
    from headwater.consumption.ml.consumer import LearnedModel
    from headwater.consumption.ml.spec import LearnedModelSpec
    from headwater.core.consumer import DeclaredConsumer
    from headwater.core.graph import Location

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "learn.py").write_text("def train(rows): ...\n", encoding="utf-8")
    spec = LearnedModelSpec.model_validate(DECLARED)
    model = LearnedModel(DeclaredConsumer("ml.asof", "model", spec, Location("asof.yaml", 1), str(folder)))
    connection = connect(spine, feature)
    figures: dict[str, list[float]] = {"bare": [], "headwater": []}
    for _ in range(rounds):
        for name in figures:
            connection.execute("DROP TABLE IF EXISTS temp.made")
            begin = time.process_time()
            query = BARE if name == "bare" else model.fastest(connection, "training")
            connection.execute(f"CREATE TEMP TABLE made AS {query}")
            figures[name].append(time.process_time() - begin)
    connection.close()
    least = {f"{name}_s": min(values) for name, values in figures.items()}
    medians = {f"{name}_median_s": statistics.median(values) for name, values in figures.items()}
    return least | medians | {"ratio": least["headwater_s"] / least["bare_s"]}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        print(measure_asof(Path(place)))
