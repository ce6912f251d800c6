"""`run --openlineage`: events that OpenLineage's own classes accept, with names, facets and no secret."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import attr
import openlineage.client.generated as generated
import pytest
from click.testing import CliRunner
from openlineage.client import event_v2
from openlineage.client.naming import dataset as naming

from headwater.cli import group
from headwater.core.project import SourceTable
from headwater.plan.observe import open_sources
from headwater.project.loader import load_project
from tests.run.projects import STORES, files_project, write

if TYPE_CHECKING:
    from pathlib import Path

MODULES = [importlib.import_module(f"{generated.__name__}.{m.name}") for m in pkgutil.iter_modules(generated.__path__)]
FACETS = {cls._get_schema(): cls for module in MODULES for cls in vars(module).values() if hasattr(cls, "_get_schema")}


def run(folder: Path, *options: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a project; return the events, each checked."""
    file = folder / "events.ndjson"
    file.unlink(missing_ok=True)
    done = CliRunner().invoke(group, ["-p", str(folder), "run", "--json", "--openlineage", str(file), *options])
    assert done.exit_code == code, done.output
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for event in events:
        accept(event)
    return events


def accept(event: dict[str, Any]) -> None:
    """Build the event and each of its facets with OpenLineage's classes: an unknown or missing key fails."""
    assert set(event) == {"eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL"}
    run = event_v2.Run(event["run"]["runId"], facets(event["run"]["facets"]))
    job = event_v2.Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]["facets"]))
    for key, cls in (("inputs", event_v2.InputDataset), ("outputs", event_v2.OutputDataset)):
        for dataset in event[key]:
            own = f"{key[:-1]}Facets"
            assert set(dataset) <= {"namespace", "name", "facets", own}
            more = {own: facets(dataset.get(own, {})), "facets": facets(dataset.get("facets", {}))}
            cls(dataset["namespace"], dataset["name"], **more)
    kind = event_v2.RunState[event["eventType"]]
    event_v2.RunEvent(eventTime=event["eventTime"], run=run, job=job, eventType=kind, producer=event["producer"])


def facets(found: dict[str, Any]) -> dict[str, Any]:
    """Build facets by the schema they name."""
    return {name: build(FACETS[value["_schemaURL"]], value) for name, value in found.items()}


def build(cls: Any, value: Any) -> Any:
    """Build one attrs class from JSON; what is declared as another class is built too."""
    known = {field.name: field for field in attr.fields(cls)}
    given = {key: inner for key, inner in value.items() if key not in ("_producer", "_schemaURL")}
    assert set(given) <= set(known), (cls.__name__, set(given) - set(known))
    module = importlib.import_module(cls.__module__)
    for key, inner in given.items():
        named = re.findall(r"[A-Z]\w+", str(known[key].type))
        nested = next((getattr(module, n) for n in named if attr.has(getattr(module, n, object))), None)
        if nested and not key.endswith("facets"):
            many = inner if isinstance(inner, list) else inner.values() if "dict" in str(known[key].type) else [inner]
            for one in many:
                build(nested, one)
    return cls(**{key: inner for key, inner in given.items() if key != "facets"})


def of(events: list[dict[str, Any]], job: str, kind: str) -> dict[str, Any]:
    (found,) = [e for e in events if e["job"]["name"] == job and e["eventType"] == kind]
    return found


def project(folder: Path) -> Path:
    return write(
        folder,
        {
            "headwater.yaml": "name: shop\n",
            "sources/crm.yaml": (
                "kind: files\ntables:\n  people:\n    path: in/*.csv\n    owner: team-crm\n    key: id\n"
                "    columns: {id: bigint, email: varchar, city: varchar}\n"
                '    prepare: [{mask: {columns: [email], key: "${env:MASK}"}}]\n'
            ),
            "in/1.csv": "id,email,city\n1,a@x.org,Oslo\n2,b@x.org,Bergen\n",
            "models/marts/cities.sql": (
                "/* headwater\ndescription: People per city.\nowner: team-marts\n"
                "columns: {city: {description: Where they live., checks: [not_null]}}\n"
                "checks: [{row_count: {min: 1}}, {unique: city, severity: warning}]\n*/\n"
                "select city, count(id) as people from crm.people where id > 0 group by city\n"
            ),
        },
    )


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASK", "very-secret-key")
    return project(tmp_path)


def test_every_step_is_a_run_below_the_run(shop: Path) -> None:
    events = run(shop)
    told = [(event["job"]["name"], event["eventType"]) for event in events]
    steps = ("crm.people/extract", "crm.people/load", "marts.cities/checks", "marts.cities/transform")
    assert sorted(told) == sorted(
        (n, k) for n in ("shop", *(f"shop.{s}" for s in steps)) for k in ("START", "COMPLETE")
    )
    assert told[0] == ("shop", "START")
    assert told[-1] == ("shop", "COMPLETE")
    whole = events[0]["run"]["runId"]
    for event in events[1:-1]:
        assert event["run"]["facets"]["parent"]["run"]["runId"] == whole
        assert event["run"]["runId"] != whole
    assert len({event["run"]["runId"] for event in events}) == 5


def test_a_model_says_what_it_reads_writes_and_is_made_of(shop: Path) -> None:
    event = of(run(shop), "shop.marts.cities/transform", "COMPLETE")
    (read,), (written,) = event["inputs"], event["outputs"]
    assert read["namespace"] == "file"
    assert read["name"] == str(shop / "data/lakehouse/crm/people")
    assert read["facets"]["ownership"]["owners"] == [{"name": "team-crm", "type": "OWNER"}]
    assert (written["namespace"], written["name"]) == (
        f"duckdb://{shop}/data/warehouse.duckdb",
        "warehouse.marts.cities",
    )
    assert written["facets"]["schema"]["fields"] == [
        {"name": "city", "type": "VARCHAR", "description": "Where they live."},
        {"name": "people", "type": "BIGINT"},
    ]
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 2
    lineage = written["facets"]["columnLineage"]
    place = {"namespace": read["namespace"], "name": read["name"]}
    direct = [{"type": "DIRECT"}]
    assert lineage["fields"]["city"]["inputFields"] == [{**place, "field": "city", "transformations": direct}]
    assert {(one["field"], how["subtype"]) for one in lineage["dataset"] for how in one["transformations"]} == {
        ("id", "FILTER"),
        ("city", "GROUP_BY"),
    }
    assert event["job"]["facets"]["sql"]["query"].startswith("select city")
    assert event["job"]["facets"]["jobType"]["jobType"] == "TRANSFORM"


def test_a_load_is_traced_to_the_source_and_tells_what_is_masked(shop: Path) -> None:
    event = of(run(shop), "shop.crm.people/load", "COMPLETE")
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [("file", f"{shop}/in/*.csv")]
    fields = event["outputs"][0]["facets"]["columnLineage"]["fields"]
    (email,) = fields["email"]["inputFields"]
    assert (email["name"], email["field"]) == (f"{shop}/in/*.csv", "email")
    assert email["transformations"] == [{"type": "DIRECT", "masking": True}]
    assert fields["city"]["inputFields"][0]["transformations"] == [{"type": "DIRECT"}]


def test_checks_are_assertions_on_what_was_read(shop: Path) -> None:
    (read,) = of(run(shop), "shop.marts.cities/checks", "COMPLETE")["inputs"]
    found = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    told = [(one["assertion"], one.get("column"), one["success"], one["severity"]) for one in found]
    assert told == [
        ("not_null", "city", True, "error"),
        ("row_count", None, True, "error"),
        ("unique", "city", True, "warn"),
    ]


def test_a_step_that_is_skipped_is_not_told_and_a_new_run_has_new_ids(shop: Path) -> None:
    first, second = run(shop), run(shop)
    assert [event["job"]["name"] for event in second] == ["shop", "shop"]
    assert first[0]["run"]["runId"] != second[0]["run"]["runId"]


def test_a_failing_check_fails_its_step_and_the_run(shop: Path) -> None:
    write(shop, {"in/1.csv": "id,email,city\n1,a@x.org,\n"})
    events = run(shop, code=1)
    failed = of(events, "shop.marts.cities/transform", "FAIL")
    assert "not_null" in failed["run"]["facets"]["errorMessage"]["message"]
    assert "columnLineage" not in failed["outputs"][0]["facets"]
    assert "marts.cities" in of(events, "shop", "FAIL")["run"]["facets"]["errorMessage"]["message"]


def test_no_secret_is_written(shop: Path) -> None:
    write(shop, {"models/marts/leak.sql": "select 'very-secret-key' as k, city from marts.cities\n"})
    events = run(shop)
    assert of(events, "shop.marts.leak/transform", "COMPLETE")
    assert "very-secret-key" not in (shop / "events.ndjson").read_text(encoding="utf-8")


def test_events_are_added_to_a_file(shop: Path) -> None:
    events = run(shop)
    CliRunner().invoke(group, ["-p", str(shop), "run", "--json", "--openlineage", str(shop / "events.ndjson")])
    assert len((shop / "events.ndjson").read_text(encoding="utf-8").splitlines()) == len(events) + 2


@pytest.mark.parametrize("store", STORES)
def test_a_dataset_has_one_name_before_and_after_its_first_commit(store: str, tmp_path: Path) -> None:
    events = run(files_project(tmp_path, store, "full"))
    for job in ("kills.shop.orders/load", "kills.marts.totals/transform"):
        before, after = (of(events, job, kind)["outputs"][0] for kind in ("START", "COMPLETE"))
        assert (before["namespace"], before["name"]) == (after["namespace"], after["name"])


def test_a_name_in_postgres_is_the_specification_s_and_holds_no_password(tmp_path: Path) -> None:
    table = "tables: {orders: {columns: {id: bigint}}}\n"
    write(
        tmp_path,
        {
            "headwater.yaml": "name: names\n",
            "sources/url.yaml": f'kind: postgres\nconnection: "postgresql://me:pw@db.local:5433/shop"\n{table}',
            "sources/words.yaml": f'kind: postgres\nconnection: "host=db.local dbname=shop password=pw"\n{table}',
            "sources/api.yaml": (
                'kind: rest\nconnection: "https://api.local:8443/v2/"\n'
                "tables: {orders: {path: /orders, columns: {id: bigint}}}\n"
            ),
        },
    )
    loaded = load_project(tmp_path)
    sources = open_sources(loaded)
    tables = loaded.declared(SourceTable).values()
    names = {table.source: sources[table.source].lineage_name(table.table, table.options) for table in tables}
    for source, port in (("url", "5433"), ("words", "5432")):
        official = naming.Postgres("db.local", port, "shop", "public", "orders")
        assert names[source] == (official.get_namespace(), official.get_name())
    assert names["api"] == ("https://api.local:8443", "/v2/orders")


def test_the_tests_see_a_key_that_openlineage_does_not_know(shop: Path) -> None:
    event = run(shop)[0]
    event["run"]["facets"]["nominalTime"]["nominalBegin"] = "x"
    with pytest.raises(AssertionError, match="nominalBegin"):
        accept(event)
