"""Selection terms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.core.project import Project
from headwater.errors import PlanError
from headwater.plan.select import select_datasets

from ..conftest import ORDERS

FILES = {
    "sources/shop.yaml": ORDERS.replace("    path:", "    tags: [raw, daily]\n    path:"),
    "sources/bank.yaml": "kind: files\ntables:\n  charges: {path: c.csv}\n",
    "models/staging/orders.sql": "/* headwater\nmaterialize: view\n*/\nselect * from shop.orders",
    "models/marts/revenue.sql": "/* headwater\ntags: daily\nstore: lake\n*/\n"
    "select * from staging.orders, bank.charges",
    "models/marts/report.sql": "select * from marts.revenue",
    "models/martsy/x.sql": "select 1 as x",
}
ORDERED = ["bank.charges", "marts.report", "marts.revenue", "martsy.x", "shop.orders", "staging.orders"]


@pytest.fixture
def select(load_files: Callable[..., Project]) -> Callable[..., list[str]]:
    graph = load_files(FILES).graph
    return lambda *terms: sorted(select_datasets(graph, terms, lambda name: name == "marts.revenue"))


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("marts.revenue", ["marts.revenue"]),
        ("revenue", ["marts.revenue"]),
        ("orders", ["shop.orders", "staging.orders"]),
        ("marts.*", ["marts.report", "marts.revenue"]),
        ("*", ORDERED),
        ("+marts.revenue", ["bank.charges", "marts.revenue", "shop.orders", "staging.orders"]),
        ("1+marts.revenue", ["bank.charges", "marts.revenue", "staging.orders"]),
        ("0+marts.revenue", ["marts.revenue"]),
        ("shop.orders+", ["marts.report", "marts.revenue", "shop.orders", "staging.orders"]),
        ("shop.orders+2", ["marts.revenue", "shop.orders", "staging.orders"]),
        ("2+marts.revenue+1", ["bank.charges", "marts.report", "marts.revenue", "shop.orders", "staging.orders"]),
        ("+staging.orders+1", ["marts.revenue", "shop.orders", "staging.orders"]),
        ("marts.report martsy.x", ["marts.report", "martsy.x"]),
        ("marts.*,revenue", ["marts.revenue"]),
        ("shop.orders+,+marts.revenue", ["marts.revenue", "shop.orders", "staging.orders"]),
        ("tag:daily", ["marts.revenue", "shop.orders"]),
        ("tag:raw+1", ["shop.orders", "staging.orders"]),
        ("source:shop", ["shop.orders"]),
        ("source:shop.orders", ["shop.orders"]),
        ("source:shop source:bank", ["bank.charges", "shop.orders"]),
        ("layer:sources", ["bank.charges", "shop.orders"]),
        ("layer:storage", ["bank.charges", "marts.report", "marts.revenue", "martsy.x", "shop.orders"]),
        ("domain:main,tag:daily", ["marts.revenue", "shop.orders"]),
        ("path:models/marts", ["marts.report", "marts.revenue"]),
        ("path:models/marts/", ["marts.report", "marts.revenue"]),
        ("path:models/marts/report.sql", ["marts.report"]),
        ("path:sources/shop.yaml", ["shop.orders"]),
        ("state:modified", ["marts.revenue"]),
        ("state:modified+", ["marts.report", "marts.revenue"]),
    ],
)
def test_what_a_term_selects(term: str, expected: list[str], select: Callable[..., list[str]]) -> None:
    assert select(term) == expected


def test_several_terms_add_up(select: Callable[..., list[str]]) -> None:
    assert select("martsy.x", "tag:raw") == ["martsy.x", "shop.orders"]


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("marts.revenu", "'marts.revenu' selects nothing\n  fix: did you mean 'marts.revenue'?"),
        ("zzz", "'zzz' selects nothing\n  fix: `headwater status` lists the names"),
        ("revenu", "'revenu' selects nothing\n  fix: did you mean 'revenue'?"),
        ("2+marts.revenu+", "'2[+]marts.revenu[+]' selects nothing\n  fix: did you mean 'marts.revenue'?"),
        ("tag:none", "'tag:none' selects nothing\n  fix: known: daily, raw"),
        ("tag:dayly", "'tag:dayly' selects nothing\n  fix: did you mean 'tag:daily'?"),
        ("source:marts", "'source:marts' selects nothing\n  fix: known: bank, shop"),
        ("source:shopp", "'source:shopp' selects nothing\n  fix: did you mean 'source:shop'?"),
        ("path:models/mart", "'path:models/mart' selects nothing\n  fix: did you mean 'path:models/marts'?"),
        ("layer:source", "'layer:source' selects nothing\n  fix: did you mean 'layer:sources'?"),
        ("domain:man", "'domain:man' selects nothing\n  fix: did you mean 'domain:main'?"),
        ("state:modified,tag:dayly", "'tag:dayly' selects nothing\n  fix: did you mean 'tag:daily'?"),
        ("state:modified,shop.order", "'shop.order' selects nothing\n  fix: did you mean 'shop.orders'?"),
        ("tga:daily", "'tga:daily' is not a selection\n  fix: did you mean 'tag:'?"),
        ("", "an empty selection"),
        ("  ", "an empty selection"),
        ("shop.orders,martsy.x", "'shop.orders,martsy.x' selects nothing"),
        ("kind:files", "'kind:files' is not a selection\n  fix: known: tag:, source:, layer:, domain:, path:, state:"),
        ("state:new", "'state:new' is not a selection"),
        ("+", "'\\+' is not a selection\n  fix: write a name"),
        ("a++b", "'a\\+\\+b' is not a selection"),
        ("a,,b", "'' is not a selection"),
    ],
)
def test_a_term_that_selects_nothing_is_an_error(term: str, message: str, select: Callable[..., list[str]]) -> None:
    with pytest.raises(PlanError, match=f"^{message.replace('?', '[?]').replace('(', '[(]')}"):
        select(term)


@pytest.mark.parametrize(
    "term", ["state:modified", "state:modified+", "state:modified,shop.orders", "tag:raw,state:modified"]
)
def test_what_has_no_such_state_is_no_error(term: str, load_files: Callable[..., Project]) -> None:
    assert select_datasets(load_files(FILES).graph, [term], lambda _: False) == set()
