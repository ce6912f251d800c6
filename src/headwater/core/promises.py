"""What a declared port promises: the words of its file become a contract, or what is wrong with them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.core.policies import Unit
from headwater.core.product import (
    PortColumn,
    PortContract,
    SlaName,
    SlaTerm,
    check_to_json,
    distinct_checks,
    major_of,
    port_dataset_name,
)
from headwater.core.specs.base import OF_THE_TABLE, CheckSpec, MustArgs
from headwater.core.thresholds import describe_must
from headwater.core.types import Fidelity, is_time_type, landed
from headwater.core.values import exact_scalar, format_duration
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headwater.core.graph import Location
    from headwater.core.specs.product import PortSpec, SlaSpec
    from headwater.core.types import Landing

    Place = Callable[[tuple[str | int, ...]], Location]
    """Where a key of the document stands."""

_SUFFIX = re.compile(r"(?P<port>.+)_v(?P<major>\d+)", re.ASCII)
_NAME = re.compile(r"[^\W\d]\w*")


def declare_port(
    key: str, spec: PortSpec, *, product: str, domain: str, owner: str, types: Mapping[str, Landing], place: Place
) -> tuple[PortContract, list[ProjectError]]:
    """Return what a port in the short form promises, and what is wrong with it.

    Args:
        key: Its key among the product's ports.
        spec: What the file says of it.
        product: The product's name.
        domain: The domain it belongs to.
        owner: The product's owner, for a port that names none.
        types: How types land where ports are kept (`Capabilities.types`).
        place: Where a key below the port stands.
    """
    errors: list[ProjectError] = []
    port = port_name(key, spec.version, place(()), errors)
    columns = tuple(
        PortColumn(
            name, str(column.type), column.required, column.unique, column.description, column.hidden,
            column.classification,
        )
        for name, column in spec.columns.items()
    )  # fmt: skip
    contract = PortContract(
        domain=domain or ROOT,
        port=port,
        version=spec.version,
        source=spec.from_,
        columns=columns,
        checks=arrange_checks(columns, (settle_check(check) for check in spec.all_checks())),
        sla=arrange_terms(_terms(spec.sla)),
        strict=spec.strict,
        owner=spec.owner or owner,
        product=product,
        contract_id=port_dataset_name(domain, port, major_of(spec.version)),
        description=spec.description,
        status=spec.status,
        tags=tuple(spec.tags),
        location=place(()),
    )
    return contract, errors + judge_contract(contract, types, place)


def port_name(key: str, version: str, place: Location, errors: list[ProjectError]) -> str:
    """Return a port's name without its major, which a key may end in and then has to be that of the version."""
    match = _SUFFIX.fullmatch(key)
    name = match["port"] if match else key
    if match and match["major"] != str(major_of(version)):
        what = f"the port {key} says major {match['major']}, and its version is {version}"
        errors.append(ProjectError.at(place, what, f"name it {name}_v{major_of(version)}, or change the version"))
    if not _NAME.fullmatch(name) or "__" in name:
        what = f"the port {key!r} is no name that SQL reads without quotes"
        errors.append(ProjectError.at(place, what, "use letters, digits and single underscores, a letter first"))
    return name


def judge_contract(contract: PortContract, types: Mapping[str, Landing], place: Place) -> list[ProjectError]:
    """Return what is wrong with a contract, however it was written.

    Types have to be those that land, names to be told apart, checks and promises of time to be about columns that the
    port has.
    """
    return [*_judge_columns(contract, types, place), *_judge_checks(contract, place), *_judge_sla(contract, place)]


def _judge_columns(contract: PortContract, types: Mapping[str, Landing], place: Place) -> list[ProjectError]:
    errors = []
    seen: dict[str, str] = {}
    for column in contract.columns:
        where = place(("columns", column.name))
        if other := seen.get(column.name.lower()):
            what = f"{contract.dataset}: the columns {other} and {column.name} differ in case only"
            errors.append(ProjectError.at(where, what, "rename one of them"))
        seen[column.name.lower()] = column.name
        if problem := unlanded(column.type, types):
            what = f"{contract.dataset}: column {column.name}: {problem[0]}"
            errors.append(ProjectError.at(where, what, problem[1]))
    return errors


def unlanded(type_text: str, types: Mapping[str, Landing]) -> tuple[str, str] | None:
    """Return what is wrong with a type that no table of a port has, and the fix; None for one that lands as it is."""
    landing = landed(type_text, types)
    if landing.fidelity is Fidelity.REFUSED:
        return f"a port cannot hold {type_text}", "cast it in the model, for instance to varchar, and promise that"
    if landing.type != type_text:
        return f"{type_text} is kept as {landing.type} in a port", f"write type: {landing.type.lower()}"
    return None


def _judge_checks(contract: PortContract, place: Place) -> list[ProjectError]:
    known = {column.name.lower() for column in contract.columns}
    errors = []
    for check in contract.checks:
        for name in columns_of(check):
            if name.lower() not in known:
                what = f"{contract.dataset}: a check of {name}, which is no column of the port"
                fix = suggest(name, [column.name for column in contract.columns])
                errors.append(ProjectError.at(place(("checks",)), what, fix))
    return errors


def _judge_sla(contract: PortContract, place: Place) -> list[ProjectError]:
    types = {column.name.lower(): column.type for column in contract.columns}
    errors = []
    for term in contract.sla:
        where = place(("sla", str(term.name)))
        type_text = types.get(term.column.lower())
        if term.limit.total_seconds() <= 0 or term.limit.microseconds:
            what = f"{contract.dataset}: {term.name} is no whole number of seconds above zero"
            errors.append(ProjectError.at(where, what, "write a time like 26h"))
        if term.column and type_text is None:
            what = f"{contract.dataset}: {term.name} by {term.column}, which is no column of the port"
            fix = suggest(term.column, [column.name for column in contract.columns])
            errors.append(ProjectError.at(where, what, fix))
        elif type_text and not is_time_type(type_text):
            what = f"{contract.dataset}: {term.name} by {term.column}, which is {type_text}: it has no age"
            errors.append(ProjectError.at(where, what, "name a date or a timestamp, or leave the column out"))
    return errors


def columns_of(check: CheckSpec) -> list[str]:
    """Return the columns a check is about; none for one of the whole table."""
    if check.kind in OF_THE_TABLE:
        return []
    return list(check.not_null or check.unique or ([check.column] if check.column else []))


def describe_check(check: CheckSpec) -> str:
    """Return a check as people write it."""
    kept = check_to_json(check)
    more = [f"{word} {kept[word]}" for word in ("severity",) if word in kept]
    if check.must is not None:
        more.append(describe_must(check.must, counts=check.query is None))
    return ", ".join([f"{check.kind} {_describe_arguments(check)}".strip(), *(one.strip() for one in more)])


def _describe_arguments(check: CheckSpec) -> str:
    value = getattr(check, check.kind)
    if check.kind == "freshness":
        return format_duration(value)
    if isinstance(value, list):
        return f"[{', '.join('null' if one is None else str(one) for one in value)}]"
    if isinstance(value, str):
        return " ".join(value.split())
    return ", ".join(f"{name} {_shown(part)}" for name, part in value.model_dump(exclude_none=True).items())


def _shown(part: Any) -> str:
    if isinstance(part, dict):
        return "{" + ", ".join(f"{name} {_shown(one)}" for name, one in part.items()) + "}"
    return f"[{', '.join(map(str, part))}]" if isinstance(part, list) else str(part)


def settle_check(check: CheckSpec) -> CheckSpec:
    """Return a check as it is kept: its scalars no longer as YAML wrote them, its column named once.

    A number has all its digits, everything else is text, as DuckDB reads it by the column's type.
    """
    update: dict[str, Any] = {}
    for key in ("accepted_values", "missing_values"):
        if (values := getattr(check, key)) is not None:
            update[key] = settle_values(values)
    for key in ("range", "row_count", "valid"):
        if (part := getattr(check, key)) is not None:
            update[key] = type(part).model_validate(_settle(part.model_dump(exclude_defaults=True)))
    if check.must is not None:
        update["must"] = _settle_must(check)
    if listed := check.not_null or check.unique:
        update["column"] = listed[0] if len(listed) == 1 else None
    elif check.kind in ("not_null", "unique"):
        update[check.kind] = [str(check.column)]
    elif check.kind in OF_THE_TABLE:
        update["column"] = None
    return check.model_copy(update=update)


def _settle_must(check: CheckSpec) -> MustArgs | None:
    """Return what a number must be in its plainest form; None for the default, that no row may be wrong."""
    must = check.must
    for several, one in (("be_between", "be"), ("not_be_between", "not_be")):
        pair = getattr(must, several)
        if pair is not None and pair[0] == pair[1]:
            must = MustArgs.model_validate({one: pair[0], "unit": must.unit if must else Unit.ROWS})
    is_default = must == MustArgs(be=Decimal(0)) and check.query is None
    return None if is_default else must


def arrange_checks(columns: Sequence[PortColumn], checks: Iterable[CheckSpec]) -> tuple[CheckSpec, ...]:
    """Return checks as a contract keeps them: each once, in the order of the columns, those of several columns last."""
    places = {column.name.lower(): at for at, column in enumerate(columns)}

    def place(check: CheckSpec) -> tuple[int, str]:
        names = columns_of(check)
        at = places.get(names[0].lower(), len(places)) if len(names) == 1 else len(places)
        return at, json.dumps(check_to_json(check), sort_keys=True)

    return tuple(sorted(distinct_checks(checks), key=place))


def arrange_terms(terms: Iterable[SlaTerm]) -> tuple[SlaTerm, ...]:
    """Return promises of time as a contract keeps them: each once, in one order."""
    order = list(SlaName)
    return tuple(sorted(set(terms), key=lambda term: (order.index(term.name), term.column, term.limit)))


def settle_values(values: Sequence[Any]) -> list[Any]:
    """Return scalars as they are kept."""
    return [exact_scalar(value) for value in values]


def _settle(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _settle(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_settle(one) for one in value]
    return exact_scalar(value)


def _terms(sla: SlaSpec) -> list[SlaTerm]:
    terms = []
    for name in SlaName:
        value = getattr(sla, name.value)
        if value is not None and name is SlaName.FREQUENCY:
            terms.append(SlaTerm(name, value))
        elif value is not None:
            terms.append(SlaTerm(name, value.max, value.column or ""))
    return terms
