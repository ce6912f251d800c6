"""Scores of rows by a model that was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.consumption.ml.artefact import CARD, MODEL, model_version
from headwater.consumption.ml.process import new_folder, run_child
from headwater.consumption.ml.tasks import SCORE
from headwater.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


def score_rows(
    folder: Path, rows: pa.Table | pa.RecordBatchReader, names: Sequence[str], request: Mapping[str, Any],
    temporary: Path,
) -> pa.Table:  # fmt: skip
    """Return one row per row, in their order: the columns that are named, `score` and `model_version`.

    Args:
        folder: The artefact.
        rows: The columns that are named, and the features, under the names of the training.
        names: Key and time.
        request: Whose model it is, and what it trusts (`LearnedModel`).
        temporary: A folder for what is not kept.

    Raises:
        UserCodeError: The model cannot be loaded or asked.
        StepError: The process died, or the rows or the model are not what the card says.
    """
    import pyarrow as pa

    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    version = model_version(folder / MODEL)
    if version != card["model_version"]:
        raise StepError(f"{folder.name}: the model is not the one of its card", fix="train it again")
    missing = [name for name in (*names, *card["features"]) if name not in rows.schema.names]
    if missing:
        raise StepError(f"the rows have no {', '.join(missing)}, which the model knows", fix="train it again")
    with new_folder(temporary) as work:
        kept = _hand_over(rows, names, list(card["features"]), Path(work, "rows.arrow"))
        asked = {"task": SCORE, "model": str(folder / MODEL), "features": card["features"], "of": card["task"]}
        run_child({**request, **asked}, Path(work))
        with pa.OSFile(str(Path(work, "scores.arrow"))) as file:
            scores = pa.ipc.open_stream(file).read_all()
    if scores.num_rows != kept.num_rows:
        raise StepError(f"{scores.num_rows} scores of {kept.num_rows} rows", fix="run again")
    versions = pa.array([version], pa.string()).take(pa.array([0] * kept.num_rows, pa.int8()))
    return kept.append_column("score", scores["score"]).append_column("model_version", versions)


def _hand_over(
    rows: pa.Table | pa.RecordBatchReader, names: Sequence[str], features: Sequence[str], path: Path
) -> pa.Table:
    """Write the features of rows into a file, batch by batch, and return what else is kept of them."""
    import pyarrow as pa

    kept = []
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    schema = pa.schema([rows.schema.field(name) for name in features])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write(batch.select(features))
            kept.append(batch.select(names))
    return pa.Table.from_batches(kept, pa.schema([rows.schema.field(name) for name in names]))
