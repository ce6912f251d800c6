"""OpenLineage: a run told as RunEvents, one line of JSON each, by a listener that reads the run's events.

The run is a job named like the project; every step that ran is a job below it (`parent`), and so are the checks on its
result: OpenLineage knows assertions as facets of a dataset that a job reads.
"""

from __future__ import annotations

import json
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.graph import Role, node_name
from headwater.core.policies import Severity
from headwater.core.run import Event, EventName, Status, StepResult
from headwater.core.secrets import redact_all
from headwater.core.specs import CHECK_KINDS
from headwater.core.texts import visible_json
from headwater.plan.describe import describe_dataset
from headwater.plan.lineage import Lineage, trace_project
from headwater.plugins import load_store
from headwater.project.cache import ParseCache

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from headwater.core.plan import Plan, Step
    from headwater.core.run import CheckResult
    from headwater.plan.describe import DatasetDescription
    from headwater.run.context import RunContext

Json = dict[str, Any]

_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
    "datasetVersion": "1-0-1/DatasetVersionDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "ownership": "1-0-1/OwnershipDatasetFacet",
    "parent": "1-2-0/ParentRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "sql": "1-1-0/SQLJobFacet",
}
_INDIRECT = {"filter": "FILTER", "join": "JOIN", "group": "GROUP_BY", "sort": "SORT", "window": "WINDOW"}
_ENDS = {Status.FAILED: "FAIL", Status.STOPPED: "ABORT"}


class OpenLineage:
    """Writes what a run does as OpenLineage events; add it to the run's listeners before the first step.

    Args:
        plan: The plan that is run.
        context: The run.
        out: Where the lines go; each is flushed, so that a killed run leaves whole lines.
    """

    def __init__(self, plan: Plan, context: RunContext, out: TextIO) -> None:
        self.project, self.context, self._out = context.project, context, out
        self._steps = {step.node: step for step in plan.steps}
        self._started: set[str] = set()
        self._failed: list[str] = []
        environment = self.project.environment
        self._namespace = f"{self.project.name}@{environment}" if environment else self.project.name
        self._producer = f"urn:headwater:{version('headwater')}"
        cache = ParseCache(Path(self.project.root, ".headwater", "cache", "lineage.json"))
        self._lineage: Lineage = trace_project(self.project, context.observed, context.catalogue.bound, cache)

    def __call__(self, event: Event) -> None:
        """Tell of the run's begin and end, and of every step that ran."""
        result = event.data.get("result")
        if event.name == EventName.RUN_STARTED:
            clock = {"nominalTime": self._facet("nominalTime", nominalStartTime=self.context.now.isoformat())}
            self._write("START", event.at, "", run=clock)
        elif event.name == EventName.STEP_STARTED:
            self._start(self._steps[event.step], event.at)
        elif isinstance(result, StepResult):
            self._finish(self._steps[event.step], result, event.at)
        elif event.name == EventName.RUN_FINISHED:
            errors = self._error("; ".join(f"{name} failed" for name in self._failed))
            self._write(_ENDS.get(Status(event.data["status"]), "COMPLETE"), event.at, "", run=errors)

    # --------------------------------------------------------------------------------------------------- events

    def _start(self, step: Step, at: str) -> None:
        self._started.add(step.node)
        self._write("START", at, step.node, inputs=self._inputs(step), outputs=self._outputs(step))

    def _finish(self, step: Step, result: StepResult, at: str) -> None:
        """Tell how a step ended; one that was skipped or blocked did nothing, and is not told."""
        if result.status is Status.FAILED and step.node not in self._started:
            self._start(step, result.started)
        if step.node not in self._started:
            return
        if result.status is Status.FAILED:
            self._failed.append(step.node)
        if result.checks:
            self._tell_checks(step, result.checks, at)
        outputs = self._outputs(step, None if result.status in _ENDS else result)
        end = _ENDS.get(result.status, "COMPLETE")
        self._write(end, at, step.node, self._inputs(step), outputs, self._error(result.error))

    def _tell_checks(self, step: Step, checks: tuple[CheckResult, ...], at: str) -> None:
        """Tell of the checks as a job that reads the result."""
        name = f"{step.dataset}/checks"
        facet = self._facet("dataQualityAssertions", assertions=[_assertion(check) for check in checks])
        read = {**self._dataset(step.dataset), "inputFacets": {"dataQualityAssertions": facet}}
        held = all(check.passed or check.severity != Severity.ERROR for check in checks)
        self._write("START", at, name, [self._dataset(step.dataset)])
        self._write("COMPLETE" if held else "FAIL", at, name, [read])

    def _write(
        self, kind: str, at: str, step: str, inputs: Iterable[Json] = (), outputs: Iterable[Json] = (),
        run: Json | None = None,
    ) -> None:  # fmt: skip
        facets = {"processing_engine": self._engine(), **(run or {})}
        if step:
            parent = {"run": {"runId": self._run_id("")}, "job": self._job("")}
            facets["parent"] = self._facet("parent", **parent)
        event = {
            "eventType": kind,
            "eventTime": at,
            "run": {"runId": self._run_id(step), "facets": facets},
            "job": {**self._job(step), "facets": self._job_facets(step)},
            "inputs": list(inputs),
            "outputs": list(outputs),
            "producer": self._producer,
            "schemaURL": _EVENT,
        }
        self._out.write(visible_json(json.dumps(redact_all(event, self.project.secrets), ensure_ascii=False)) + "\n")
        self._out.flush()

    # -------------------------------------------------------------------------------------------- runs and jobs

    def _facet(self, name: str, /, **values: Any) -> Json:
        path, _, kind = _FACETS[name].partition("/")
        url = f"https://openlineage.io/spec/facets/{path}/{kind}.json#/$defs/{kind}"
        return {"_producer": self._producer, "_schemaURL": url, **values}

    def _run_id(self, step: str) -> str:
        """Return a UUID that anybody can derive from the run's id and the step's name."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"headwater:{self._namespace}:{self.context.run_id}:{step}"))

    def _job(self, step: str) -> Json:
        return {"namespace": self._namespace, "name": f"{self.project.name}.{step}" if step else self.project.name}

    def _engine(self) -> Json:
        own = version("headwater")
        return self._facet("processing_engine", name="DuckDB", version=version("duckdb"), openlineageAdapterVersion=own)

    def _error(self, text: str) -> Json:
        return {"errorMessage": self._facet("errorMessage", message=text, programmingLanguage="SQL")} if text else {}

    def _job_facets(self, name: str) -> Json:
        step = self._steps.get(name)
        job = step.role.value.upper() if step else "CHECK" if name else "PROJECT"
        kind = self._facet("jobType", processingType="BATCH", integration="HEADWATER", jobType=job)
        facets = {"jobType": kind}
        if step and step.sql:
            facets["sql"] = self._facet("sql", query=step.sql, dialect="duckdb")
        return facets

    # ------------------------------------------------------------------------------------------------- datasets

    def _name(self, dataset: str) -> tuple[str, str]:
        """Return the name of a dataset, or of what a source's node reads."""
        node = self.project.graph.nodes.get(dataset)
        if node is not None and node.role is Role.SOURCE:
            table = node.spec
            named = self.context.catalogue.connectors.sources[table.source].lineage_name(table.table, table.options)
            return named or (f"{table.kind}://{table.source}", table.table)
        state, store = self.context.catalogue.states.get(dataset), self.project.stores[self.project.store_of(dataset)]
        return load_store(store.kind).lineage_name(store.path, dataset, state.location if state else "")

    def _dataset(self, dataset: str) -> Json:
        namespace, name = self._name(dataset)
        found: Json = {"namespace": namespace, "name": name}
        if self.project.find(dataset) is not None:
            found["facets"] = self._facets(dataset)
        return found

    def _facets(self, dataset: str) -> Json:
        """Return what is known of a stored dataset: owner, description, columns, version."""
        about, facets = self._about(dataset), {}
        spec = about.dataset.spec
        if spec.owner:
            facets["ownership"] = self._facet("ownership", owners=[{"name": spec.owner, "type": "OWNER"}])
        if spec.description:
            facets["documentation"] = self._facet("documentation", description=spec.description)
        if about.commit is not None:
            facets["datasetVersion"] = self._facet("datasetVersion", datasetVersion=str(about.version))
            fields = []
            for column in about.columns:
                if not column.is_system:
                    more = {"description": column.description} if column.description else {}
                    fields.append({"name": column.name, "type": column.type, **more})
            facets["schema"] = self._facet("schema", fields=fields)
        return facets

    def _about(self, dataset: str) -> DatasetDescription:
        return describe_dataset(
            self.project, dataset, self.context.catalogue.states.get(dataset), lineage=self._lineage
        )

    def _inputs(self, step: Step) -> list[Json]:
        if self.project.everything[step.dataset].is_loaded:
            return [self._dataset(node_name(step.dataset, Role.SOURCE))]
        return [self._dataset(name) for name in self.project.physical_inputs(step.dataset)]

    def _outputs(self, step: Step, result: StepResult | None = None) -> list[Json]:
        """Return what a step writes; of one that went well, also where its columns come from and the rows written."""
        if not step.commits:
            return []
        output = self._dataset(step.dataset)
        if result is not None:
            output["facets"] |= self._column_lineage(step)
            if result.rows_inserted is not None:
                statistics = self._facet("outputStatistics", rowCount=result.rows_inserted)
                output["outputFacets"] = {"outputStatistics": statistics}
        return [output]

    def _column_lineage(self, step: Step) -> Json:
        """Return which columns a value is made of, and which decide over the rows; what is unknown is left out."""
        if step.dataset not in self._lineage.datasets:
            return {}
        traced = self._about(step.dataset).traced
        fields = {}
        for column in traced.columns:
            how: Json = {"type": "DIRECT", **({"masking": True} if column.name in step.hidden_columns else {})}
            if column.leaves:
                fields[column.name] = {"inputFields": [self._input_field(leaf, how) for leaf in column.leaves]}
        indirect: dict[tuple[str, str], list[Json]] = {}
        for kind, leaves in traced.indirect.items():
            for leaf in leaves:
                indirect.setdefault(leaf, []).append({"type": "INDIRECT", "subtype": _INDIRECT[kind]})
        dataset = [self._input_field(leaf, *how) for leaf, how in indirect.items()]
        return {"columnLineage": self._facet("columnLineage", fields=fields, dataset=dataset)}

    def _input_field(self, leaf: tuple[str, str], *how: Json) -> Json:
        namespace, name = self._name(leaf[0])
        return {"namespace": namespace, "name": name, "field": leaf[1], "transformations": list(how)}


def _assertion(check: CheckResult) -> Json:
    """Return a check's outcome."""
    found: Json = {
        "assertion": check.kind if check.kind in CHECK_KINDS else "custom",
        "success": check.passed,
        "severity": "error" if check.severity == Severity.ERROR else "warn",
        "name": check.check,
        "actual": f"{check.failing} of {check.rows} rows",
    }
    return {**found, "column": check.column} if check.column else found
