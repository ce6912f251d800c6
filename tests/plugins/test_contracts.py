"""A connector that only looks like the contract: what it lacks is taken from there."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from headwater import plugins
from headwater.contracts import Source, Store
from headwater.core.layers import Family
from headwater.core.specs import Spec
from headwater.core.stores import Capabilities
from headwater.errors import ProjectError
from headwater.sources.sqlite.source import Sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Bare:
    """A source as it was written before the contract had more than these."""

    kind: ClassVar[str] = "bare"
    family: ClassVar[Family] = Family.APIS
    connection_spec: ClassVar[type[Spec]] = Spec
    table_spec: ClassVar[type[Spec]] = Spec

    def __init__(self, spec: Any, root: str) -> None:
        self.root = root

    def describe(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def read(self, table: str, request: Any) -> Any:
        raise LookupError(table)

    def lineage_name(self, table: str, options: Any) -> tuple[str, str]:
        return "bare://here", table


class Shed:
    """A store likewise."""

    kind: ClassVar[str] = "shed"
    family: ClassVar[Family] = Family.LAKE
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, path: str, session: Any) -> None:
        self.path = path


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {
        "sources": {"bare": EntryPoint("bare", f"{__name__}:Bare", "headwater.sources")},
        "engines": {"gone": EntryPoint("gone", f"{__name__}:Gone", "headwater.engines")},
        "stores": {"shed": EntryPoint("shed", f"{__name__}:Shed", "headwater.stores")},
    }
    monkeypatch.setattr(plugins, "_points", own.__getitem__)
    plugins._load.cache_clear()
    yield
    plugins._load.cache_clear()


@pytest.mark.usefixtures("points")
def test_what_a_source_lacks_is_the_contract_s() -> None:
    found = plugins.load_source("bare")
    assert (found.kind, found.loads, found.lists_keys) == ("bare", ("full", "incremental"), True)
    source = found(Spec(), "/root")
    assert isinstance(source, Bare)
    assert isinstance(source, Source)
    assert (source.root, source.lineage_name("t", None)) == ("/root", ("bare://here", "t")), "its own comes first"
    assert (found.check_tables({}), found.claims(None, None, "")) == ({}, ())
    source.belongs_to("shop", "")


@pytest.mark.usefixtures("points")
def test_what_a_store_lacks_is_the_contract_s() -> None:
    found = plugins.load_store("shed")
    assert Store in found.__mro__
    assert found.lineage_name("/data", "shop.orders", "") == ("file", str(Path("/data/shop/orders").resolve()))


@pytest.mark.usefixtures("points")
def test_a_registration_of_an_older_version_says_so() -> None:
    with pytest.raises(ProjectError, match=r"registered as .*:Gone, which is not there\n  fix: install the package"):
        plugins.load_engine("gone")


def test_a_connector_of_ours_is_taken_as_it_is() -> None:
    assert plugins.load_source("sqlite") is Sqlite
