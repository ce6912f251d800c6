"""What a port promises as a contract of the Open Data Contract Standard 3.1.

What the standard has no word for stands in custom properties `headwater.…`; `read_contract` gives the same promises.
Source: https://bitol-io.github.io/open-data-contract-standard/v3.1.0/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.odcs.kept import PREFIX, owner_of, team_of
from headwater.core.odcs.rules import Rules
from headwater.core.odcs.terms import term_key
from headwater.core.odcs.types import logical_type_of, write_span
from headwater.core.specs.standards import CONTRACT_KEYS, OBJECT_KEYS, PROPERTY_KEYS, SLA_KEYS
from headwater.core.yaml_text import write_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.product import PortColumn, PortContract, SlaTerm

API_VERSION = "v3.1.0"
"""The version of the standard that is written."""


def contract_text(contract: PortContract) -> str:
    """Return the contract as a file of YAML; the same promises give the same text."""
    return write_yaml(write_contract(contract))


def write_contract(contract: PortContract) -> dict[str, Any]:
    """Return the contract as plain values: texts, whole numbers, decimals, lists and mappings."""
    kept = dict(contract.carried.get("contract", {}))
    team, members = dict(kept.pop("team", {})), kept.pop("description", {})
    own = {
        "port": contract.port if _object_name(contract) != contract.port else None,
        "product": contract.product or None,
        "strict": None if contract.strict else False,
    }
    if contract.owner and not team:
        team = team_of(contract.owner)
    elif contract.owner != owner_of(team):
        own["owner"] = contract.owner or None
    described = {"purpose": contract.description} if contract.description else {}
    written: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.contract_id or contract.dataset,
        "name": kept.pop("name", contract.port),
        "version": contract.version,
        "status": contract.status,
        "domain": contract.domain,
        "description": {**described, **members},
        "tags": list(contract.tags),
        "schema": [_write_object(contract)],
        "slaProperties": [*_write_sla(contract), *contract.carried.get("sla", ())],
        "team": team,
    }
    return _with_kept(written, kept, own, CONTRACT_KEYS)


def _object_name(contract: PortContract) -> str:
    return str(contract.carried.get("object", {}).get("name", contract.port))


def _write_object(contract: PortContract) -> dict[str, Any]:
    kept = dict(contract.carried.get("object", {}))
    rules = Rules(contract)
    written: dict[str, Any] = {
        "name": kept.pop("name", contract.port),
        "physicalName": kept.pop("physicalName", contract.dataset.partition(".")[2]),
        "physicalType": kept.pop("physicalType", "table"),
        "properties": [_write_column(column, rules) for column in contract.columns],
        "quality": [*rules.texts(kept.pop("quality", ())), *rules.of_table()],
    }
    return _with_kept(written, kept, {"from": contract.source}, OBJECT_KEYS)


def _write_column(column: PortColumn, rules: Rules) -> dict[str, Any]:
    kept = dict(column.carried)
    options, relationships, quality = rules.of_column(column)
    name = kept.pop("name", None)
    written: dict[str, Any] = {
        "name": name or column.name,
        "physicalName": column.name if name else None,
        "logicalType": kept.pop("logicalType", logical_type_of(column.type)),
        "physicalType": column.type,
        "description": column.description,
        "required": column.required or None,
        "unique": column.unique or None,
        "classification": column.classification,
        "logicalTypeOptions": {**kept.pop("logicalTypeOptions", {}), **options},
        "relationships": relationships,
        "quality": [*rules.texts(kept.pop("quality", ())), *quality],
    }
    return _with_kept(written, kept, {"hidden": True if column.hidden else None}, PROPERTY_KEYS)


def _write_sla(contract: PortContract) -> list[dict[str, Any]]:
    table = _object_name(contract)
    names = {column.name: str(column.carried.get("name", column.name)) for column in contract.columns}
    said = [(key, words) for key, words in contract.carried.get("said", ()) if "sla" in key]
    return [_write_term(term, table, names, said) for term in contract.sla]


def _write_term(
    term: SlaTerm, table: str, names: Mapping[str, str], said: list[tuple[dict[str, Any], dict[str, Any]]]
) -> dict[str, Any]:
    value, unit = write_span(term.limit)
    written: dict[str, Any] = {"property": str(term.name), "value": value, "unit": unit}
    if term.column:
        written["element"] = f"{table}.{names.get(term.column, term.column)}"
    for key, words in said:
        if key == term_key(term):
            written |= {word: value for word, value in words.items() if word in SLA_KEYS}
    return written


def _with_kept(
    written: dict[str, Any], kept: dict[str, Any], own: Mapping[str, Any], known: frozenset[str]
) -> dict[str, Any]:
    """Add what was kept, and Headwater's own words, of which empty ones are left out."""
    properties = list(kept.pop("customProperties", ()))
    properties += [{"property": f"{PREFIX}{name}", "value": value} for name, value in own.items() if value is not None]
    further = {key: kept[key] for key in sorted(kept) if key in known}
    if others := {key: kept[key] for key in sorted(kept) if key not in known}:
        properties.append({"property": f"{PREFIX}kept", "value": others})
    found = {key: value for key, value in written.items() if value not in (None, "", [], {})}
    return {**found, **further, **({"customProperties": properties} if properties else {})}
