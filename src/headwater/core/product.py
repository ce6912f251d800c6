"""What a data product is, and what each of its ports promises: values that are compared, kept and exported."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from headwater.core.graph import Location
from headwater.core.names import ROOT
from headwater.core.specs.base import CheckSpec
from headwater.core.types import normalize_type
from headwater.core.values import check_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


FORM = 1
"""The form of a contract as it is kept in JSON."""

_OPEN_CLASSES = frozenset({"", "public", "internal"})
_DECIMAL = "decimal"


class SlaName(StrEnum):
    """What is promised of time.

    `freshness` and `latency` are one promise under two names: the standard prefers the second.
    """

    FRESHNESS = "freshness"
    LATENCY = "latency"
    FREQUENCY = "frequency"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class SlaTerm:
    """One promise of time.

    Attributes:
        name: What is promised.
        limit: The highest age (`freshness`, `latency`), the longest time between two publishes (`frequency`), or how
            long rows are kept at least (`retention`).
        column: The date or timestamp it is measured by; "" for the time of the last publish.
    """

    name: SlaName
    limit: timedelta
    column: str = ""


@dataclass(frozen=True, slots=True)
class PortColumn:
    """A column that a port promises.

    Attributes:
        name: Its name.
        type: Its type as it lands in the port's table, in DuckDB's spelling.
        required: It holds no NULL.
        unique: No value stands twice.
        description: What it is, for people.
        hidden: Its values are shown in no report.
        classification: How confidential it is; its values are hidden unless that is `public` or `internal`.
        carried: What its contract says beside that, as JSON values: kept, written again, not evaluated.
    """

    name: str
    type: str
    required: bool = False
    unique: bool = False
    description: str = ""
    hidden: bool = False
    classification: str = ""
    carried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hides_values(self) -> bool:
        """Whether no report, error or artefact may show a value of it."""
        return self.hidden or self.classification.strip().lower() not in _OPEN_CLASSES


@dataclass(frozen=True, slots=True)
class PortContract:
    """What one port promises, of one major version.

    Attributes:
        domain: The domain that owns it; "main" is the root.
        port: Its name, without the major.
        version: Its version, SemVer.
        source: The dataset it is made of.
        columns: All columns that readers see.
        checks: What else holds for its rows, columns filled in.
        sla: What is promised of time.
        strict: Whether the dataset may have no other column; where it may, readers do not see it.
        owner: Who answers for it.
        product: The product it belongs to.
        contract_id: How the contract is called by a product of ODPS.
        description: What it is, for people.
        status: Where it stands in its life: `proposed`, `draft`, `active`, `deprecated`, `retired`.
        tags: Words to find it by.
        carried: What an ODCS file says beside that, as JSON values: kept, written again, not evaluated.
        location: Where it is declared; no part of what is compared or kept.
    """

    domain: str
    port: str
    version: str
    source: str
    columns: tuple[PortColumn, ...]
    checks: tuple[CheckSpec, ...] = ()
    sla: tuple[SlaTerm, ...] = ()
    strict: bool = True
    owner: str = ""
    product: str = ""
    contract_id: str = ""
    description: str = ""
    status: str = "active"
    tags: tuple[str, ...] = ()
    carried: Mapping[str, Any] = field(default_factory=dict)
    location: Location = field(default=Location(""), compare=False)

    @property
    def major(self) -> int:
        """The first number of its version."""
        return major_of(self.version)

    @property
    def dataset(self) -> str:
        """The name under which everybody reads it."""
        return port_dataset_name(self.domain, self.port, self.major)

    @property
    def hidden_columns(self) -> frozenset[str]:
        """The columns whose values no report may show, in lower case."""
        return frozenset(column.name.lower() for column in self.columns if column.hides_values)

    def audit_checks(self) -> tuple[CheckSpec, ...]:
        """All that is checked of its rows: `required` and `unique` of the columns, then its checks; each once."""
        required = [CheckSpec(not_null=[one.name], column=one.name) for one in self.columns if one.required]
        unique = [CheckSpec(unique=[one.name], column=one.name) for one in self.columns if one.unique]
        return distinct_checks([*required, *unique, *self.checks])


@dataclass(frozen=True, slots=True)
class Product:
    """A data product: what one team offers, port by port.

    Attributes:
        name: Its name: that of its file.
        domain: The domain that owns it; "main" is the root.
        ports: What its ports promise, in the order of declaration.
        owner: Who answers for it.
        description: What it is, for people.
        tags: Words to find it by.
        status: Where it stands in its life.
        carried: What an ODPS file says beside that, as JSON values.
        location: Where it is declared.
    """

    name: str
    domain: str
    ports: tuple[PortContract, ...]
    owner: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    status: str = "active"
    carried: Mapping[str, Any] = field(default_factory=dict)
    location: Location = field(default=Location(""), compare=False)


def port_dataset_name(domain: str, port: str, major: int) -> str:
    """Return the name under which a port is read, `<domain>.<port>_v<major>`; the root's domain is "main"."""
    return f"{domain or ROOT}.{port}_v{major}"


def major_of(version: str) -> int:
    """Return the major of a version of SemVer."""
    return int(version.partition(".")[0])


def distinct_checks(checks: Iterable[CheckSpec]) -> tuple[CheckSpec, ...]:
    """Return the checks in their order, each once."""
    kept: list[CheckSpec] = []
    for check in checks:
        if check not in kept:
            kept.append(check)
    return tuple(kept)


# --------------------------------------------------------------------------------------------------------- as JSON


def to_json(contract: PortContract) -> dict[str, Any]:
    """Return a contract as JSON values, to be kept in a commit's position; `from_json` reads them."""
    kept: dict[str, Any] = {"form": FORM, **_plain(contract, ("location", "columns", "checks", "sla"))}
    kept["columns"] = [_plain(column) for column in contract.columns]
    kept["checks"] = [check_to_json(check) for check in contract.checks]
    kept["sla"] = [
        {"name": str(term.name), "limit_us": term.limit // timedelta(microseconds=1), "column": term.column}
        for term in contract.sla
    ]
    return kept


def from_json(kept: Mapping[str, Any]) -> PortContract:
    """Read a contract as `to_json` gave it, perhaps by an older release.

    Raises:
        ValueError: It is of a form that is not known, or broken.
    """
    if kept.get("form") != FORM:
        raise ValueError(f"a contract of the form {kept.get('form')!r} cannot be read; this release reads {FORM}")
    try:
        values = {name: kept[name] for name in _names(PortContract) if name in kept}
        values["tags"] = tuple(kept.get("tags", ()))
        values["columns"] = tuple(_read_column(one) for one in kept["columns"])
        values["checks"] = tuple(check_from_json(check) for check in kept.get("checks", ()))
        values["sla"] = tuple(
            SlaTerm(SlaName(one["name"]), timedelta(microseconds=one["limit_us"]), one.get("column", ""))
            for one in kept.get("sla", ())
        )
        check_version(values["version"])
        return PortContract(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a kept contract is broken: {error!r}") from error


def check_to_json(check: CheckSpec) -> dict[str, Any]:
    """Return a check as JSON values: numbers with all their digits."""
    dumped: dict[str, Any] = _encode(check.model_dump(exclude_defaults=True))
    return dumped


def check_from_json(kept: Mapping[str, Any]) -> CheckSpec:
    """Read a check as `check_to_json` gave it.

    Raises:
        ValueError: It is none.
    """
    return CheckSpec.model_validate(_decode(kept))


def _names(kind: type) -> list[str]:
    return [one.name for one in fields(kind) if one.name != "location"]


def _plain(value: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fields of a value that are not empty."""
    found = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in without}
    return {name: list(one) if isinstance(one, tuple) else one for name, one in found.items() if one != _default(one)}


def _default(value: Any) -> Any:
    """Return the empty value of its kind that need not be kept; `strict` and `status` are always kept."""
    return "" if isinstance(value, str) else () if isinstance(value, tuple) else {} if isinstance(value, dict) else None


def _read_column(kept: Mapping[str, Any]) -> PortColumn:
    values = {name: kept[name] for name in _names(PortColumn) if name in kept}
    return PortColumn(**{**values, "type": normalize_type(values["type"])})


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(one) for one in value]
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    return value if value is None or isinstance(value, bool | int) else str(value)


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_DECIMAL}:
            return Decimal(value[_DECIMAL])
        return {key: _decode(one) for key, one in value.items()}
    return [_decode(one) for one in value] if isinstance(value, list) else value
