"""A named environment states every store that is used, or lists it as shared."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from headwater.core.project import Project

from ..conftest import ORDERS

Load = Callable[..., Project]
BASE = """name: demo
engine: {threads: 3}
stores: {lakehouse: {path: dev/house}}
environments:
  prod:
    engine: {threads: 1}
"""
FILES = {"sources/shop.yaml": ORDERS, "models/m/a.sql": "select id from shop.orders"}


def relative(project: Project, store: str) -> str:
    return os.path.relpath(project.stores[store].path, project.root)


def test_the_default_environment_needs_no_name(load_files: Load) -> None:
    project = load_files({"headwater.yaml": BASE, **FILES})
    assert (project.environment, relative(project, "lakehouse"), project.engine.threads) == ("", "dev/house", 3)


def test_a_used_store_that_is_not_stated_is_an_error(errors_of: Callable[..., list[str]]) -> None:
    assert errors_of({"headwater.yaml": BASE, **FILES}, "prod") == [
        "headwater.yaml:5:3: environment 'prod' does not say where lakehouse, warehouse is\n"
        "  fix: state the store's path, or list it in shared: […]"
    ]


def test_a_store_that_nothing_uses_need_not_be_stated(load_files: Load) -> None:
    more = "    stores: {warehouse: {path: prod/w.duckdb}}\n    shared: [lakehouse]\n"
    project = load_files({"headwater.yaml": BASE + more, **FILES}, "prod")
    assert project.environment == "prod"
    assert relative(project, "warehouse") == "prod/w.duckdb"
    assert relative(project, "lakehouse") == "dev/house"
    assert project.engine.threads == 1


def test_an_environment_without_engine_takes_the_projects(load_files: Load) -> None:
    text = "name: demo\nengine: {threads: 3}\nenvironments: {prod: {stores: {warehouse: {path: p.duckdb}}}}\n"
    assert load_files({"headwater.yaml": text, "models/m/a.sql": "select 1 as x"}, "prod").engine.threads == 3


def test_an_unknown_environment_names_those_that_are_known(errors_of: Callable[..., list[str]]) -> None:
    assert errors_of({"headwater.yaml": BASE}, "live") == [
        "headwater.yaml:4:1: unknown environment 'live'\n  fix: known: prod"
    ]
    assert errors_of({"headwater.yaml": "name: demo\n"}, "live") == [
        "headwater.yaml:1: unknown environment 'live'\n  fix: known: none is declared"
    ]


def test_the_environment_variable_chooses(
    write_project: Callable[..., object], load_files: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.project.loader import load_project

    root = load_files({"headwater.yaml": BASE}).root
    monkeypatch.setenv("HEADWATER_ENV", "prod")
    assert load_project(root).environment == "prod"
    assert load_project(root, "").environment == ""
