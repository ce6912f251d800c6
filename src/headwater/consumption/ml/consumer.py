"""A model that learns from what was known at the time, and is kept when it is good enough on later rows."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.consumption.ml import point_in_time as pit
from headwater.consumption.ml.artefact import CARD, MODEL, TRAINING
from headwater.consumption.ml.process import new_folder, run_child
from headwater.consumption.ml.scoring import score_rows
from headwater.consumption.ml.spec import LearnedModelSpec
from headwater.consumption.ml.tasks import LEARN
from headwater.consumption.ml.ties import find_ties
from headwater.consumption.ml.training import TrainingRows, read_types
from headwater.consumption.ml.types import check_types
from headwater.consumption.ml.words import MetricName
from headwater.contracts.consumer import Consumer, Made, ScoredRows
from headwater.core.consumer import ConsumerQuery
from headwater.core.layers import Family
from headwater.core.near import suggest
from headwater.errors import ProjectError
from headwater.project_code import imported_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from headwater.consumption.ml.types import ColumnTypes
    from headwater.contracts.consumer import Consumption
    from headwater.core.consumer import DeclaredConsumer
    from headwater.core.fragments import SelectSql

TRAINING_QUERY = "training"
SCORE_QUERY = "score"


class LearnedModel(Consumer):
    """A model of scikit-learn's kind, trained by a function of the project's.

    Emits:
        `model.skops` (the fitted estimator), `training.parquet` (the rows it was trained and measured on, with `split`)
        and `model.json` (its card: version, metrics, inputs, libraries).
    Units and time zone:
        Times are compared as they are; dates are their midnight. A `test_from` without a zone is UTC for instants.
    State:
        None: each training is from the beginning.
    Delivery:
        All files, or none: nothing is left for a commit when a check, the training or a metric fails.

    Raises:
        ProjectError: The declaration, or a type it meets, is wrong.
        UserCodeError: The project's function failed, or returned no estimator that may be saved.
        StepError: There is nothing to learn from or to measure on, or the process of the training died.
    Source:
        https://scikit-learn.org/stable/developers/develop.html, https://skops.readthedocs.io/en/stable/persistence.html
    """

    kind = "model"
    family = Family.MACHINE_LEARNING
    spec = LearnedModelSpec

    def __init__(self, declared: DeclaredConsumer) -> None:
        self._declared = declared
        self._spec = cast("LearnedModelSpec", declared.options)
        file, _, self._function = self._spec.train.rpartition(":")
        self._root = Path(declared.root)
        self._file = (Path(declared.folder) if declared.folder else self._root) / file
        self._path = self._file.relative_to(self._root).as_posix()
        self._tree = self._parsed()
        self._check_function()

    def queries(self) -> tuple[ConsumerQuery, ...]:
        """Return the training rows, `training`, and where the model scores, the rows that get scores, `score`."""
        found = [ConsumerQuery(TRAINING_QUERY, self._query(pit.training_spine(self._spec)), self._declared.location)]
        if spine := pit.score_spine(self._spec):
            found.append(ConsumerQuery(SCORE_QUERY, self._query(spine), self._declared.location))
        return tuple(found)

    def files(self) -> tuple[str, ...]:
        """Return the function's file and the project's files that it imports."""
        found: dict[Path, None] = {}
        waiting = [(self._file, self._tree)]
        while waiting:
            file, tree = waiting.pop()
            if file in found:
                continue
            found[file] = None
            for imported in imported_files(file, self._root, tree):
                waiting.append((imported, _tree_of(imported)))
        return tuple(sorted(map(str, found)))

    def scored(self) -> ScoredRows | None:
        """Return the rows of `score`, and where their scores are kept."""
        return ScoredRows(SCORE_QUERY, self._spec.score.into) if self._spec.score else None

    def rows_to_score(self, connection: DuckDBPyConnection) -> SelectSql:
        """Return the query `score` as it is fastest on the rows of a connection."""
        return self.fastest(connection, SCORE_QUERY)

    def check_types(self, types: ColumnTypes) -> None:
        """Check the declaration against DuckDB's types of the columns it reads, by dataset and column.

        Datasets that are not there are not checked.

        Raises:
            ProjectError: A column is missing, or of a type that cannot be used or compared as it would be.
        """
        check_types(self._spec, types, self._declared.location)

    def fastest(self, connection: DuckDBPyConnection, name: str) -> SelectSql:
        """Return the query `training` or `score` as it is fastest on the rows of a connection.

        It is the plain join, and a choice only among the rows of a feature that have one key and time.
        """
        spine = pit.score_spine(self._spec) if name == SCORE_QUERY else pit.training_spine(self._spec)
        assert spine is not None
        known: dict[tuple[str, ...], pit.Ties] = {}
        ties = []
        for feature in self._spec.features:
            columns = (*pit.feature_key(self._spec, feature).values(), feature.available)
            if (feature.from_, *columns) not in known:
                known[feature.from_, *columns] = find_ties(connection, feature.from_, columns)
            ties.append(known[feature.from_, *columns])
        return pit.point_in_time(self._spec, spine, ties)

    def make(self, consumption: Consumption) -> Made:
        """Train, measure and save the model.

        Raises:
            ProjectError: A column's type does not do.
            UserCodeError: The function failed, or returned something else than an estimator.
            StepError: A half is empty, there is one class only, a metric is no number, or the process died.
        """
        spec, connection = self._spec, consumption.connection
        types = read_types(spec, connection)
        check_types(spec, types, self._declared.location)
        rows = TrainingRows(spec, types, self._declared.location)
        counts = rows.count(connection)
        query = self.fastest(connection, TRAINING_QUERY)
        rows.write(connection, query, consumption.folder / TRAINING, counts)
        request = self._request() | rows.request() | {"training": str(consumption.folder / TRAINING)}
        hide = rows.hider(consumption.folder / TRAINING)
        with new_folder(consumption.temporary) as folder:
            learned, printed = run_child(request | {"task": LEARN}, Path(folder), hide)
            shutil.move(Path(folder, MODEL), consumption.folder / MODEL)
        details = self._details(learned, rows.request()["features"]) | counts.to_json()
        card = details | {"inputs": dict(consumption.versions), "libraries": learned["libraries"]}
        (consumption.folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        if printed:  # not in a file: it may hold what only the reader of the commit takes out of it
            details["printed"] = printed
        return Made(counts.train + counts.test, details, refused=self._why_refused(learned))

    def score(self, folder: Path, rows: pa.Table | pa.RecordBatchReader, temporary: Path) -> pa.Table:
        """Return the scores of rows as the query `score` gives them, by the model in an artefact's folder.

        Returns:
            One row per row, in their order: key, time, `score`, `model_version`. The score is the probability of the
            second class (`positive` in `model.json`), of more than two the class, and for numbers the number.

        Raises:
            UserCodeError: The model cannot be loaded or asked.
            StepError: The process died, or the rows are not those the model knows.
        """
        names = [*self._spec.spine.key, self._spec.spine.time]
        return score_rows(folder, rows, names, self._request(), temporary)

    def _query(self, spine: pit.Spine) -> SelectSql:
        return pit.point_in_time(self._spec, spine)

    def _request(self) -> dict[str, Any]:
        """What every process is told: whose function it is, and who is trusted."""
        return {
            "root": str(self._root),
            "file": self._path,
            "function": self._function,
            "trust": list(self._spec.trust),
            "declared": self._declared.location.path,
            "declared_line": self._declared.location.line,
            "metrics": [name.value for name in self._spec.metrics],
            "baseline": self._spec.baseline.value if self._spec.baseline else "",
            "of": self._spec.task.value if self._spec.task else "",
        }

    def _details(self, measured: Mapping[str, Any], shapes: Mapping[str, str]) -> dict[str, Any]:
        details: dict[str, Any] = {
            "name": self._declared.name,
            "model_version": measured["model_version"],
            "task": measured["task"],
            "train": f"{self._path}:{self._function}",
            "features": dict(shapes),
            "label": self._spec.spine.label,
        }
        if "classes" in measured:
            details["classes"] = measured["classes"]
            if len(measured["classes"]) == 2:
                details["positive"] = measured["classes"][1]
        if "metrics" in measured:
            details["metrics"] = measured["metrics"]
        if "baseline" in measured:
            details["baseline"] = {"strategy": str(self._spec.baseline), "metrics": measured["baseline"]}
        return details

    def _why_refused(self, measured: Mapping[str, Any]) -> str:
        if not self._spec.must_beat_baseline:
            return ""
        first: MetricName = self._spec.metrics[0]
        value, base = measured["metrics"][first], measured["baseline"][first]
        from headwater.consumption.ml.measure import is_better

        if is_better(first, value, base):
            return ""
        return (
            f"{first} is {value:.4g} on the test half, no better than {base:.4g} of the baseline {self._spec.baseline}"
        )

    def _parsed(self) -> ast.Module:
        if not self._file.is_file():
            at = self._declared.location
            near = suggest(self._file.name, [file.name for file in self._file.parent.glob("*.py")], "create it")
            raise ProjectError.at(at, f"train: there is no file {self._path}", near)
        try:
            return ast.parse(self._file.read_bytes())
        except SyntaxError as error:
            raise ProjectError(
                f"not Python: {error.msg}", fix="mend the line", path=self._path, line=error.lineno or 0
            ) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ProjectError(f"not Python: {error or type(error).__name__}", path=self._path) from None

    def _check_function(self) -> None:
        """Find the function without running the file; one that is imported or assigned is looked at when it runs."""
        defined = {node.name: node for node in self._tree.body if isinstance(node, ast.FunctionDef)}
        function = defined.get(self._function)
        if function is None:
            if self._function not in set(_bound_names(self._tree)):
                raise ProjectError.at(
                    self._declared.location,
                    f"train: {self._path} has no function {self._function}",
                    suggest(self._function, defined, f"write def {self._function}(rows): … there"),
                )
            return
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        needed = len(positional) - len(arguments.defaults)
        needs_names = any(default is None for default in arguments.kw_defaults)
        takes_one = needed <= 1 <= len(positional) or (needed <= 1 and arguments.vararg is not None)
        if not takes_one or needs_names:
            raise ProjectError(
                f"{self._function}() does not take one argument, the rows",
                fix=f"write def {self._function}(rows): …",
                path=self._path,
                line=function.lineno,
            )


def _bound_names(tree: ast.Module) -> list[str]:
    """The names that the top level of a file, and what is nested in its statements, may bind."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
            found += ["*"] if any(alias.name == "*" for alias in node.names) else []
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
    return found


def _tree_of(file: Path) -> ast.Module:
    """Parse a file that may be imported; one that is no Python imports nothing."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
