"""Lineage of a project: through rules of prepare, views, snapshots and Python; and what a lost column hits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.api import LoadedProject
from headwater.contracts import TableDescription
from headwater.core.breaks import Break, Hit
from headwater.core.commit import Column, TableState
from headwater.core.project import Project, SourceTable
from headwater.errors import ProjectErrors
from headwater.plan.bind import bind_project
from headwater.plan.breaks import find_breaks
from headwater.plan.lineage import Lineage, trace_project
from headwater.plan.planning import Observed
from headwater.project.cache import ParseCache
from headwater.sql.lineage_walk import trace_columns

from .states import made

Load = Callable[..., Project]
Files = dict[str, str]

SHOP = """kind: files
tables:
  orders:
    path: in/*.csv
    key: [ID]
    load: incremental
    columns: {id: bigint, amount: bigint, who: varchar, mail: varchar, placed: timestamp, junk: varchar}
    prepare:
      - rename: {who: customer}
      - trim: [customer]
      - mask: {columns: [mail], key: secret}
      - sql: {vat: amount * 0.2, amount: amount + 1, label: "upper(customer) || mail"}
      - drop: [junk]
      - dedupe: {by: [id], order: placed desc}
    reject_if: {free: amount <= 0 or vat is null}
"""
VIEW = "/* headwater\nmaterialize: view\n*/\n"
PYTHON = (
    "import headwater as hw\n\n\n@hw.model(inputs={'o': 'm.t'}, columns={'id': 'bigint'})\n"
    "def p(o: hw.Relation) -> hw.Relation:\n    return o\n"
)


def cache_of(project: Project) -> ParseCache:
    return ParseCache(Path(project.root) / ".headwater" / "cache" / "lineage.json")


def trace(project: Project, observed: Observed | None = None, cache: ParseCache | None = None) -> Lineage:
    observed = observed or Observed()
    bound = bind_project(project, observed, ParseCache(Path(project.root) / "bound.json"))
    assert bound.errors == []
    return trace_project(project, observed, bound, cache or cache_of(project))


def shown(lineage: Lineage, dataset: str) -> dict[str, str]:
    """Column to its leaves, or to "?" when they are unknown."""
    return {
        c.name: "?" if c.unknown else " ".join(f"{d}.{n}" for d, n in c.leaves)
        for c in lineage.datasets[dataset].columns
    }


def decided(lineage: Lineage, dataset: str) -> dict[str, str]:
    indirect = lineage.datasets[dataset].traced.indirect
    return {kind: " ".join(f"{d}.{n}" for d, n in leaves) for kind, leaves in indirect.items()}


def test_a_loaded_column_is_traced_through_the_rules_of_prepare(load_files: Load) -> None:
    lineage = trace(load_files({"sources/shop.yaml": SHOP}))
    node = "shop.orders/source"
    assert shown(lineage, "shop.orders") == {
        "id": f"{node}.id", "amount": f"{node}.amount", "customer": f"{node}.who", "mail": f"{node}.mail",
        "placed": f"{node}.placed", "vat": f"{node}.amount", "label": f"{node}.mail {node}.who",
    }  # fmt: skip
    assert decided(lineage, "shop.orders") == {
        "filter": f"{node}.amount", "group": f"{node}.id", "sort": f"{node}.placed",
    }  # fmt: skip
    assert lineage.datasets["shop.orders"].inputs == (node,)


def test_an_expression_that_cannot_be_traced_is_unknown_and_so_is_what_is_made_of_it(load_files: Load) -> None:
    source = SHOP.replace("vat: amount * 0.2", 'vat: "len(columns(*)::varchar)"').replace(" or vat is null", "")
    project = load_files({"sources/shop.yaml": source.replace("label:", "other: customer, label:")})
    lineage = trace_rules(project)
    assert lineage["vat"] == "?"
    assert lineage["label"] == "shop.orders/source.mail shop.orders/source.who"


def trace_rules(project: Project) -> dict[str, str]:
    """Trace a table whose rules need not be valid SQL for the engine."""
    from headwater.plan.bind import declared_columns
    from headwater.plan.lineage_prepare import trace_prepare

    table = project.declared(SourceTable)["shop.orders"]
    names = ["vat", "label"]
    traced = trace_prepare(table.ingest, "shop.orders/source", declared_columns(table), names, "gone")
    return {c.name: "?" if c.unknown else " ".join(f"{d}.{n}" for d, n in c.leaves) for c in traced.columns}


def test_a_column_that_the_source_no_longer_gives_is_unknown(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": SHOP})
    columns = (Column("id", "BIGINT"), Column("old", "VARCHAR"), Column("_batch", "VARCHAR"))
    state = made("shop.orders", project.declared(SourceTable)["shop.orders"].fingerprint, columns=columns)
    assert shown(trace(project, Observed({"shop.orders": state})), "shop.orders") == {
        "id": "shop.orders/source.id", "old": "?",
    }  # fmt: skip


def test_a_column_that_evolved_comes_from_what_the_source_says_it_has(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": SHOP})
    columns = (Column("id", "BIGINT"), Column("Colour", "VARCHAR"), Column("size", "VARCHAR"))
    state = made("shop.orders", project.declared(SourceTable)["shop.orders"].fingerprint, columns=columns)
    said = TableDescription((Column("id", "VARCHAR"), Column("colour", "VARCHAR")))
    lineage = trace(project, Observed({"shop.orders": state}, {"shop.orders": said}))
    assert shown(lineage, "shop.orders") == {
        "id": "shop.orders/source.id", "Colour": "shop.orders/source.colour", "size": "?",
    }  # fmt: skip
    assert "not declared" in lineage.datasets["shop.orders"].columns[2].unknown


def test_a_source_whose_columns_nobody_knows(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": "kind: files\ntables:\n  orders: {path: in/*.csv}\n",
                          "models/m/t.sql": "select * from shop.orders"})  # fmt: skip
    lineage = trace(project)
    assert shown(lineage, "shop.orders") == {}
    assert "not known yet" in lineage.datasets["m.t"].traced.unknown
    assert lineage.datasets["m.t"].inputs == ("shop.orders",)


MODELS = {
    "sources/shop.yaml": SHOP,
    "models/m/v.sql": f"{VIEW}select id, amount + vat as gross, placed from shop.orders where customer <> ''",
    "models/m/w.sql": f"{VIEW}select id as k, gross from m.v",
    "models/m/t.sql": "select k, sum(gross) as total, $now as at_, count(*) as n from m.w group by all",
    "models/m/h.sql": "/* headwater\nmaterialize: snapshot\nkey: id\ntime: placed\n*/\nselect id, placed from m.v",
    "models/m/p.py": PYTHON,
    "models/m/last.sql": "select id from m.p",
}


def test_views_are_traced_through(load_files: Load) -> None:
    lineage = trace(load_files(MODELS))
    assert shown(lineage, "m.w") == {"k": "shop.orders.id", "gross": "shop.orders.amount shop.orders.vat"}
    assert shown(lineage, "m.t") == {
        "k": "shop.orders.id", "total": "shop.orders.amount shop.orders.vat", "at_": "", "n": "",
    }  # fmt: skip
    assert decided(lineage, "m.t") == {"filter": "shop.orders.customer", "group": "shop.orders.id"}
    assert lineage.datasets["m.t"].inputs == ("shop.orders",)
    assert lineage.datasets["m.w"].is_view


def test_what_reads_an_unknown_view_is_unknown(load_files: Load) -> None:
    pivot = "from (select id, amount from shop.orders) pivot (sum(amount) for id in (1, 2))"
    lineage = trace(
        load_files(
            {
                "sources/shop.yaml": SHOP,
                "models/m/v.sql": f"{VIEW}{pivot}",
                "models/m/t.sql": """select "1" as one, 3 as three from m.v where "2" > 1""",
            }
        )
    )
    assert shown(lineage, "m.t") == {"one": "?", "three": ""}
    assert "PIVOT" in lineage.datasets["m.t"].traced.unknown
    assert decided(lineage, "m.t") == {}
    assert lineage.datasets["m.t"].inputs == ("shop.orders",)


def test_the_columns_a_snapshot_adds_come_from_its_time(load_files: Load) -> None:
    assert shown(trace(load_files(MODELS)), "m.h") == {
        "id": "shop.orders.id", "placed": "shop.orders.placed", "valid_from": "shop.orders.placed",
        "valid_to": "shop.orders.placed",
    }  # fmt: skip


def test_of_a_python_model_only_its_inputs_are_known(load_files: Load) -> None:
    lineage = trace(load_files(MODELS))
    assert lineage.datasets["m.p"].inputs == ("m.t",)
    assert shown(lineage, "m.p") == {"id": "?"}
    assert shown(lineage, "m.last") == {"id": "m.p.id"}


def test_up_down_and_to_the_top(load_files: Load) -> None:
    lineage = trace(load_files(MODELS))
    assert lineage.upstream("m.t", "total") == (("shop.orders", "amount"), ("shop.orders", "vat"))
    assert lineage.roots("m.t", "total") == (("shop.orders/source", "amount"),)
    assert lineage.roots("m.t", "n") == ()
    assert lineage.upstream("m.t", "nothing") == ()
    assert lineage.upstream("nothing", "x") == ()
    assert ("m.t", "total") in lineage.downstream("shop.orders", "vat")
    assert lineage.downstream("m.t", "total") == ()


def test_it_is_kept_by_text_and_schemas(load_files: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    project = load_files(MODELS)
    cache = cache_of(project)
    first = trace(project, cache=cache)
    cache.save()
    assert "secret" not in cache.file.read_text()
    traced: list[str] = []
    real = trace_columns
    monkeypatch.setattr("headwater.plan.lineage.trace_columns", lambda *a: traced.append(a[0]) or real(*a))
    assert trace(project, cache=cache_of(project)) == first
    assert traced == []
    changed = load_files({"models/m/w.sql": f"{VIEW}select k, gross from (select id as k, gross from m.v)"})
    assert trace(changed, cache=cache_of(project)).datasets["m.t"] == first.datasets["m.t"]
    assert len(traced) == 1


# ------------------------------------------------------------------------------------------------- what a change hits


BEFORE = (Column("id", "BIGINT"), Column("amount", "BIGINT"), Column("lost", "BIGINT"), Column("_batch", "VARCHAR"))
BROKEN = {
    "sources/shop.yaml": SHOP,
    "models/m/base.sql": "select id, amount::varchar as amount from shop.orders",
    "models/m/v.sql": f"{VIEW}select * from m.base",
    "models/m/copy.sql": "select * from m.v",
    "models/m/far.sql": "select id as k, lost + 1 as more from m.copy",
    "models/m/flt.sql": "select id from m.base where amount <> '1'",
    "models/m/quiet.sql": "select id from m.base",
    "models/m/p.py": PYTHON.replace("m.t", "m.base"),
}


def breaks(project: Project, states: dict[str, TableState]) -> tuple[Break, ...]:
    observed = Observed(states)
    bound = bind_project(project, observed, ParseCache(Path(project.root) / "bound.json"))
    return find_breaks(project, observed, bound, cache_of(project))


def test_lost_and_retyped_columns_are_followed_down(load_files: Load) -> None:
    project = load_files(BROKEN)
    found = breaks(project, {"m.base": made("m.base", columns=BEFORE)})
    assert [str(one) for one in found] == [
        "m.base: column amount changes from BIGINT to VARCHAR; "
        "hits m.flt (filter), m.p (unknown), m.v.amount (value), m.copy.amount (value)",
        "m.base: column lost is gone; hits m.p (unknown), m.v.lost (value), m.copy.lost (value), m.far.more (value)",
    ]
    assert found[0].hits[0] == Hit("m.flt", "", "filter", "table")


def test_a_column_that_nothing_reads(load_files: Load) -> None:
    project = load_files({k: v for k, v in BROKEN.items() if k in ("sources/shop.yaml", "models/m/base.sql")})
    (first, second) = breaks(project, {"m.base": made("m.base", columns=BEFORE)})
    assert str(second) == "m.base: column lost is gone; nothing reads it"
    assert first.hits == ()


def test_of_many_hits_a_line_names_the_first() -> None:
    one = Break("m.a", "x", "is gone", tuple(Hit(f"m.t{i}", "y", "value") for i in range(23)))
    assert str(one).endswith("m.t19.y (value) and 3 more")


def test_new_columns_and_other_cases_break_nothing(load_files: Load) -> None:
    project = load_files({"sources/shop.yaml": SHOP, "models/m/t.sql": "select id, amount as b from shop.orders"})
    assert breaks(project, {"m.t": made("m.t", columns=(Column("ID", "BIGINT"),))}) == ()
    gone = made("m.t", columns=(Column("ID", "VARCHAR"),))
    foreign = TableState("m.t", columns=gone.columns, commit=gone.commit, foreign="somebody changed it")
    assert breaks(project, {"m.t": foreign}) == ()
    assert len(breaks(project, {"m.t": gone})) == 1


def test_nothing_is_traced_when_no_column_changed(load_files: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    project = load_files(BROKEN)
    monkeypatch.setattr("headwater.plan.breaks.Tracer", None)
    same = (Column("id", "BIGINT"), Column("amount", "VARCHAR"))
    assert breaks(project, {"m.base": made("m.base", columns=same)}) == ()


def test_plan_names_what_a_lost_column_hits(write_project: Callable[[Files], Path]) -> None:
    folder = write_project(
        {
            "in/a.csv": "id,amount\n1,2\n",
            "sources/shop.yaml": "kind: files\ntables:\n  orders:\n    path: in/*.csv\n"
            "    columns: {id: bigint, amount: bigint}\n",
            "models/m/a.sql": "select id, amount from shop.orders",
            "models/m/b.sql": "select id, amount * 2 as twice from m.a where amount > 0",
            "models/m/c.sql": "select twice from m.b",
        }
    )
    assert LoadedProject(load_again(folder)).run().status == "done"
    assert LoadedProject(load_again(folder)).plan().breaks == ()
    write_project({"models/m/a.sql": "select id, amount::varchar as amount from shop.orders"})
    write_project({"models/m/b.sql": "select id, amount::int * 2 as twice from m.a where amount > '0'"})
    (one,) = (b for b in LoadedProject(load_again(folder)).plan().breaks if b.dataset == "m.a")
    assert {str(hit) for hit in one.hits} == {"m.b.twice (value)", "m.b (filter)", "m.c.twice (value)"}
    write_project({"models/m/a.sql": "select id from shop.orders"})
    with pytest.raises(ProjectErrors) as caught:
        LoadedProject(load_again(folder)).plan()
    told = str(caught.value)
    assert "models/m/b.sql:1" in told
    assert "m.a: column amount is gone; hits m.b.twice (value), m.b (filter), m.c.twice (value)" in told


def load_again(folder: Path) -> Project:
    from headwater.project.loader import load_project

    return load_project(folder)
