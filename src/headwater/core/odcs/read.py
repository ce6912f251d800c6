"""A contract of the Open Data Contract Standard as what a port promises.

What is evaluated becomes columns, checks and promises of time; what cannot be is an error; what only describes is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.core.odcs.kept import KEPT_PROPERTY, OWN, PREFIX, carry, carry_model, owner_of, present, team_of
from headwater.core.odcs.quality import custom_value, read_rule
from headwater.core.odcs.terms import read_terms
from headwater.core.odcs.types import has_rules, logical_type_of, options_of, type_of
from headwater.core.product import PortColumn, PortContract, check_to_json, major_of, port_dataset_name
from headwater.core.promises import arrange_checks, arrange_terms, judge_contract, port_name, settle_check
from headwater.core.specs.base import CheckSpec, RelationshipArgs
from headwater.core.specs.standards import (
    CONTRACT_KEYS,
    LATER_KEYS,
    OBJECT_KEYS,
    PROPERTY_KEYS,
    QUALITY_KEYS,
    SLA_KEYS,
)
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.core.odcs.terms import TermsReading
    from headwater.core.promises import Place
    from headwater.core.specs.standards import (
        CustomProperty,
        OdcsContract,
        OdcsObject,
        OdcsProperty,
        OdcsQuality,
        OdcsRelationship,
    )
    from headwater.core.types import Landing

VERSIONS = ("v3.0", "v3.1", "v3.2")
"""The versions of the standard that are read."""


@dataclass(slots=True)
class ContractReading:
    """What a contract's file comes to.

    Attributes:
        contract: What the port promises; None when the file is not of a contract that can be read.
        errors: What is wrong.
        notes: What is kept and not evaluated, for people.
    """

    contract: PortContract | None = None
    errors: list[ProjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_contract(
    odcs: OdcsContract,
    place: Place,
    types: Mapping[str, Landing],
    *,
    port: str = "",
    domain: str = "",
    product: str = "",
) -> ContractReading:
    """Return what a contract promises.

    Args:
        odcs: The contract as its file says it.
        place: Where a key of the file stands.
        types: How types land where ports are kept (`Capabilities.types`).
        port: The port's name in its product; "" for that of the contract's object.
        domain: The domain of the product; "" for the one that the contract names.
        product: The product's name; "" for the one that the contract names.
    """
    return _Reader(odcs, place).read(types, port, domain, product)


class _Reader:
    def __init__(self, odcs: OdcsContract, place: Place) -> None:
        self.odcs, self.place = odcs, place
        self.result = ContractReading()
        self.unknown: list[str] = []
        self.unchecked: list[str] = []
        self.said: list[list[Any]] = []

    def error(self, key: tuple[str | int, ...], what: str, fix: str) -> None:
        self.result.errors.append(ProjectError.at(self.place(key), f"contract {self.odcs.id}: {what}", fix))

    def read(self, types: Mapping[str, Landing], port: str, domain: str, product: str) -> ContractReading:
        odcs = self.odcs
        if not odcs.api_version.startswith(VERSIONS):
            what = f"version {odcs.api_version} of the standard is not read"
            self.error(("apiVersion",), what, f"write one of {', '.join(VERSIONS)}")
            return self.result
        at = self._find_object(port)
        if at is None:
            return self.result
        contract = self._contract(at, port, domain, product)
        self.result.contract = contract
        if not self.result.errors:
            self.result.errors += judge_contract(contract, types, _Placing(self.place, at, contract, self.odcs))
        self._note()
        return self.result

    def _find_object(self, port: str) -> int | None:
        names = [one.name for one in self.odcs.schema_]
        stem = port.rpartition("_v")[0] or port
        if len(names) == 1:
            return 0
        if not names:
            self.error((), "it has no schema", "add schema: [{name: …, properties: […]}]")
            return None
        found = [at for at, name in enumerate(names) if name in (port, stem)]
        if len(found) != 1:
            what = f"none of its objects is named like the port {port!r}" if port else "it has several objects"
            self.error(("schema",), f"{what}: {', '.join(names)}", "name one of them like the port")
            return None
        return found[0]

    def _contract(self, at: int, port: str, domain: str, product: str) -> PortContract:
        odcs, table = self.odcs, self.odcs.schema_[at]
        own, more = self._own(odcs.custom_properties, ("customProperties",))
        own_table, more_table = self._own(table.custom_properties, ("schema", at, "customProperties"))
        key = port or str(own.get("port") or table.name)
        name = port_name(key, odcs.version, self.place(("version",)), self.result.errors)
        checks: list[CheckSpec] = []
        names = {prop.name: prop.column for prop in table.properties}
        columns = tuple(
            self._column(prop, ("schema", at, "properties", index), names, checks)
            for index, prop in enumerate(table.properties)
        )
        if not columns:
            self.error(("schema", at), f"{table.name} has no properties", "a port promises all its columns: add them")
        texts = self._rules(table.quality, "", ("schema", at), names, checks)
        self._primary_key(table, checks)
        self._composite_keys(table, at)
        domain = domain or odcs.domain or ROOT
        terms = self._terms(table, names)
        owner = owner_of(odcs.team)
        carried = {
            "contract": self._carry_contract(more, name),
            "object": self._carry_object(table, at, more_table, own_table, texts, name),
            "sla": terms.kept,
            "said": self.said,
        }
        return PortContract(
            domain=domain,
            port=name,
            version=odcs.version,
            source=self._source(table, at, own, own_table),
            columns=columns,
            checks=arrange_checks(columns, checks),
            sla=arrange_terms(terms.terms),
            strict=str(own.get("strict", True)).lower() != "false",
            owner=str(own.get("owner") or owner),
            product=product or str(own.get("product") or ""),
            contract_id=odcs.id,
            description=str(odcs.description.get("purpose") or ""),
            status=odcs.status,
            tags=tuple(odcs.tags),
            carried={key: value for key, value in carried.items() if value},
            location=self.place(("schema", at)),
        )

    # -------------------------------------------------------------------------------------------------- what is read

    def _own(
        self, properties: list[CustomProperty], key: tuple[str | int, ...]
    ) -> tuple[dict[str, Any], list[CustomProperty]]:
        """Return what stands under `headwater.` among custom properties, and the others."""
        own, others = {}, []
        for index, one in enumerate(properties):
            name = one.property.removeprefix(PREFIX)
            if name == one.property:
                others.append(one)
            elif name not in OWN:
                self.error((*key, index), f"unknown word {one.property!r}", suggest(name, OWN))
            else:
                own[name] = one.value
        return own, others

    def _source(self, table: OdcsObject, at: int, own: Mapping[str, Any], own_table: Mapping[str, Any]) -> str:
        named = str(own_table.get("from") or own.get("from") or "")
        source = named or table.physical_name
        if "." in source:
            return source
        what = f"which dataset the port is made of cannot be known from {source or table.name!r}"
        fix = "add physicalName: namespace.dataset, or the custom property headwater.from"
        self.error(("schema", at), what, fix)
        return source

    def _column(
        self, prop: OdcsProperty, key: tuple[str | int, ...], names: Mapping[str, str], checks: list[CheckSpec]
    ) -> PortColumn:
        type_text, problem = type_of(prop)
        if problem:
            self.error(key, f"property {prop.name}: {problem[0]}", problem[1])
        own, more = self._own(prop.custom_properties, (*key, "customProperties"))
        logical = prop.logical_type.lower() or logical_type_of(type_text)
        found, kept, wrong = options_of(prop, logical)
        checks += [settle_check(check) for check in found]
        for what, fix in wrong:
            self.error((*key, "logicalTypeOptions"), f"property {prop.name}: {what}", fix)
        self.unchecked += [f"{option} of {prop.name}" for option in kept if option != "timezone"]
        values = [one.get("value") if isinstance(one, dict) else one for one in prop.enum or ()]
        if values:
            checks.append(settle_check(CheckSpec(accepted_values=values, column=prop.column)))
        texts = self._rules(prop.quality, prop.column, key, names, checks)
        self._relationships(prop, key, checks)
        if has_rules(prop.unread):
            what = f"property {prop.name}: a rule of what lies within it cannot be evaluated"
            self.error(key, what, "leave it out, or say it in a rule of the property: type: sql")
        carried = {
            **self._unread(prop.unread, PROPERTY_KEYS, f"schema.{prop.name}", prop.custom_properties),
            **present(
                name=prop.name if prop.name != prop.column else None,
                logicalType=prop.logical_type if logical != logical_type_of(type_text) else None,
                logicalTypeOptions=carry(kept),
                primaryKey=prop.primary_key or None,
                primaryKeyPosition=prop.primary_key_position if prop.primary_key_position >= 0 else None,
                enum=carry(prop.enum),
                quality=texts,
                customProperties=[carry_model(one) for one in more],
            ),
        }
        return PortColumn(
            prop.column,
            type_text,
            prop.required or prop.primary_key,
            prop.unique,
            prop.description,
            str(own.get("hidden", "")).lower() == "true",
            prop.classification,
            carried,
        )

    def _rules(
        self,
        rules: list[OdcsQuality],
        column: str,
        key: tuple[str | int, ...],
        names: Mapping[str, str],
        checks: list[CheckSpec],
    ) -> list[dict[str, Any]]:
        """Add the checks of rules of quality; return the rules that are only words."""
        texts = []
        for index, rule in enumerate(rules):
            reading = read_rule(rule, column, names)
            for what, fix in reading.problems:
                self.error((*key, "quality", index), f"{column}: {what}" if column else what, fix)
            if reading.is_text:
                texts.append(carry_model(rule))
            if reading.check is not None:
                checks.append(reading.check)
                self._keep_words(rule, reading.check)
        return texts

    def _keep_words(self, rule: OdcsQuality, check: CheckSpec) -> None:
        """Keep what a rule says beside its check."""
        words = self._unread(rule.unread, QUALITY_KEYS, "quality", rule.custom_properties)
        if rule.type.lower() == "text":
            words.pop("description", None)
        more = [carry_model(one) for one in rule.custom_properties if not one.property.startswith(PREFIX)]
        if more:
            words["customProperties"] = more
        self.unchecked += [f"{word} of a rule of quality" for word in words if word in ("schedule", "scheduler")]
        if words:
            self.said.append([check_to_json(check), words])

    def _relationships(self, prop: OdcsProperty, key: tuple[str | int, ...], checks: list[CheckSpec]) -> None:
        for index, relationship in enumerate(prop.relationships):
            to = self._target(relationship, (*key, "relationships", index))
            if to is not None:
                checks.append(CheckSpec(relationship=to, column=prop.column))

    def _target(self, relationship: OdcsRelationship, key: tuple[str | int, ...]) -> RelationshipArgs | None:
        """Return the dataset and its column that a foreign key leads to."""
        own, _ = self._own(relationship.custom_properties, (*key, "customProperties"))
        named = own.get("to")
        if isinstance(named, dict) and {"dataset", "field"} <= named.keys():
            return RelationshipArgs(to=str(named["dataset"]), field=str(named["field"]))
        if relationship.type.lower() != "foreignkey" or not isinstance(relationship.to, str):
            what = "a relationship that is no foreign key of one column cannot be evaluated"
            self.error(key, what, "leave it out, or say it in a rule of type: text")
            return None
        file, _, inner = str(relationship.to).rpartition("#")
        path = inner.strip("/").split("/")
        table, field_name = path[1::2] if len(path) == 4 else str(relationship.to).partition(".")[::2]
        for one in self.odcs.schema_:
            if not file and table in (one.name, one.unread.get("id")):
                dataset = str(custom_value(one.custom_properties, f"{PREFIX}from") or one.physical_name)
                fields = {prop.name: prop.column for prop in one.properties}
                if "." in dataset:
                    return RelationshipArgs(to=dataset, field=fields.get(field_name, field_name))
        what = f"which dataset the relationship to {relationship.to} leads to cannot be known"
        fix = "add the custom property headwater.to: {dataset: namespace.dataset, field: …}"
        self.error(key, what, fix)
        return None

    def _primary_key(self, table: OdcsObject, checks: list[CheckSpec]) -> None:
        keys = sorted(
            (prop for prop in table.properties if prop.primary_key), key=lambda prop: prop.primary_key_position
        )
        if keys and not (len(keys) == 1 and keys[0].unique):
            checks.append(settle_check(CheckSpec(unique=[prop.column for prop in keys])))

    def _composite_keys(self, table: OdcsObject, at: int) -> None:
        for index, _ in enumerate(table.relationships):
            what = "a relationship of the table, not of a property, cannot be evaluated"
            fix = "write it at the property, or leave it out"
            self.error(("schema", at, "relationships", index), what, fix)

    def _terms(self, table: OdcsObject, names: Mapping[str, str]) -> TermsReading:
        reading = read_terms(self.odcs, table, names)
        for index, what, fix in reading.problems:
            self.error(("slaProperties", index), what, fix)
        self.said += reading.said
        self._unread({key: 0 for _, words in reading.said for key in words}, SLA_KEYS, "slaProperties")
        return reading

    # -------------------------------------------------------------------------------------------------- what is kept

    def _unread(
        self, unread: Mapping[str, Any], known: frozenset[str], path: str, properties: Sequence[CustomProperty] = ()
    ) -> dict[str, Any]:
        """Return the keys that are not read, and those that an export kept; the standard's own are no news."""
        self.unknown += [f"{path}.{key}" if path else key for key in unread if key not in known | LATER_KEYS]
        kept = custom_value(properties, KEPT_PROPERTY)
        return {**carry(dict(unread)), **(carry(kept) if isinstance(kept, dict) else {})}

    def _carry_contract(self, more: list[CustomProperty], port: str) -> dict[str, Any]:
        odcs = self.odcs
        team = carry(odcs.team)
        return {
            **self._unread(odcs.unread, CONTRACT_KEYS, "", odcs.custom_properties),
            **present(
                name=odcs.name if odcs.name != port else None,
                description=carry({key: value for key, value in odcs.description.items() if key != "purpose"}),
                team=None if team == team_of(owner_of(team)) else team,
                customProperties=[carry_model(one) for one in more],
            ),
        }

    def _carry_object(
        self,
        table: OdcsObject,
        at: int,
        more: list[CustomProperty],
        own: Mapping[str, Any],
        texts: list[dict[str, Any]],
        port: str,
    ) -> dict[str, Any]:
        usual = port_dataset_name("", port, major_of(self.odcs.version)).partition(".")[2]
        is_own = own.get("from") is not None and table.physical_name != usual
        if others := [one.name for index, one in enumerate(self.odcs.schema_) if index != at]:
            self.unchecked.append(f"the objects {', '.join(others)}")
        carried = {
            **self._unread(table.unread, OBJECT_KEYS, f"schema.{table.name}", table.custom_properties),
            **present(
                name=table.name if table.name != port else None,
                physicalName=table.physical_name if is_own else None,
                quality=texts,
                customProperties=[carry_model(one) for one in more],
            ),
        }
        return {key: value for key, value in carried.items() if (key, value) != ("physicalType", "table")}

    def _note(self) -> None:
        where = self.place(())
        for words, told in ((self.unknown, "unknown keys, kept as they are"), (self.unchecked, "kept, not evaluated")):
            if words:
                shown = ", ".join(dict.fromkeys(words))
                self.result.notes.append(f"{where}: contract {self.odcs.id}: {told}: {shown}")


@dataclass(frozen=True, slots=True)
class _Placing:
    """Where what a contract says stands in its file, by the words of the short form."""

    place: Place
    at: int
    contract: PortContract
    odcs: OdcsContract

    def __call__(self, key: tuple[str | int, ...]) -> Any:
        if key[:1] == ("columns",):
            names = [prop.column for prop in self.odcs.schema_[self.at].properties]
            return self.place(("schema", self.at, "properties", names.index(str(key[1]))))
        return self.place(("slaProperties",) if key[:1] == ("sla",) else ("schema", self.at))
