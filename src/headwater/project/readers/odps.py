"""Data products as the standards write them: a file of ODPS 1.0, and the contracts of ODCS 3 that its ports name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.core.odcs.kept import carry, owner_of
from headwater.core.odcs.read import read_contract
from headwater.core.product import Product, major_of
from headwater.core.specs.standards import PORT_KEYS, PRODUCT_KEYS, OdcsContract, OdpsProduct
from headwater.errors import ProjectError
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.core.product import PortContract
    from headwater.core.specs.standards import OdpsPort
    from headwater.core.types import Landing
    from headwater.documents import Document

PRODUCT_VERSIONS = ("v0.9", "v1.0")
"""The versions of ODPS that are read."""


@dataclass(frozen=True, slots=True)
class ContractFile:
    """A file of ODCS.

    Attributes:
        odcs: What it says.
        document: Where it says that.
    """

    odcs: OdcsContract
    document: Document


def read_contract_file(document: Document, errors: list[ProjectError]) -> ContractFile | None:
    """Read a file whose kind is DataContract; None when it has problems."""
    odcs = validate(OdcsContract, document.data, document, (), errors)
    return ContractFile(odcs, document) if odcs else None


def read_odps(
    document: Document,
    name: str,
    domain: str,
    contracts: Sequence[ContractFile],
    types: Mapping[str, Landing],
    errors: list[ProjectError],
    notes: list[str],
) -> Product | None:
    """Read a file whose kind is DataProduct, with the contracts that its ports name.

    Args:
        document: The file.
        name: The product's name: that of its file.
        domain: The domain whose folder it lies in.
        contracts: The contracts of the folder.
        types: How types land where ports are kept.
        errors: Problems are added here.
        notes: What is kept and not evaluated is added here.
    """
    odps = validate(OdpsProduct, document.data, document, (), errors)
    if odps is None:
        return None
    if not odps.api_version.startswith(PRODUCT_VERSIONS):
        what = f"version {odps.api_version} of the standard is not read"
        errors.append(ProjectError.at(document.place(("apiVersion",)), what, "write apiVersion: v1.0.0"))
        return None
    if not odps.output_ports:
        fix = "add outputPorts: [{name: …, version: …, contractId: …}]"
        errors.append(ProjectError.at(document.place(("outputPorts",)), "a product without output ports", fix))
    reader = _PortReader(document, name, domain or ROOT, odps, contracts, types, errors, notes)
    ports = [contract for at, port in enumerate(odps.output_ports) if (contract := reader.read(at, port))]
    unknown = [key for key in odps.unread if key not in PRODUCT_KEYS]
    unknown += [f"outputPorts.{key}" for port in odps.output_ports for key in port.unread if key not in PORT_KEYS]
    if unknown:
        notes.append(f"{document.place(())}: product {name}: unknown keys, kept as they are: {', '.join(unknown)}")
    return Product(
        name,
        domain or ROOT,
        tuple(ports),
        owner=owner_of(odps.team),
        description=str(odps.description.get("purpose") or ""),
        tags=tuple(odps.tags),
        status=odps.status,
        carried=carry(odps.unread),
        location=document.place(()),
    )


@dataclass(frozen=True, slots=True)
class _PortReader:
    document: Document
    product: str
    domain: str
    odps: OdpsProduct
    contracts: Sequence[ContractFile]
    types: Mapping[str, Landing]
    errors: list[ProjectError]
    notes: list[str]

    def read(self, at: int, port: OdpsPort) -> PortContract | None:
        found = self._find(at, port)
        if found is None:
            return None
        reading = read_contract(
            found.odcs, found.document.place, self.types, port=port.name, domain=self.domain, product=self.product
        )
        self.errors.extend(reading.errors)
        self.notes.extend(reading.notes)
        return reading.contract

    def _find(self, at: int, port: OdpsPort) -> ContractFile | None:
        """Return the contract that a port names: of several versions of it the port's."""
        ids = [one.odcs.id for one in self.contracts]
        named = [one for one in self.contracts if one.odcs.id == port.contract_id]
        same = [one for one in named if major_of(one.odcs.version) == major_of(port.version)]
        exact = [one for one in same if one.odcs.version == port.version] or same
        if len(exact) == 1:
            return exact[0]
        what, fix, key = f"the port {port.name}: ", "", "contractId"
        if not port.contract_id:
            what, fix = f"{what}it names no contract", "add contractId: the id of a contract in this folder"
        elif not named:
            known = f"the contracts here are {', '.join(ids)}" if ids else "there is no contract in this folder"
            what, fix = f"{what}no contract has the id {port.contract_id}; {known}", suggest(port.contract_id, ids)
        elif not same:
            versions = ", ".join(one.odcs.version for one in named)
            what, fix = f"{what}it is version {port.version} and its contract {versions}", "give both the same major"
            key = "version"
        else:
            files = ", ".join(one.document.path for one in exact)
            what, fix = f"{what}several contracts have the id {port.contract_id}: {files}", "keep one of a version"
        self.errors.append(ProjectError.at(self.document.place(("outputPorts", at, key)), what, fix))
        return None
