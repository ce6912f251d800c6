"""The files of a folder of data products: the short form, and those of the standards."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from headwater.core.names import ROOT
from headwater.core.near import suggest
from headwater.core.odcs.read import read_contract
from headwater.core.product import Product
from headwater.core.promises import declare_port
from headwater.core.specs.product import ProductSpec
from headwater.errors import ProjectError
from headwater.project.readers.odps import read_contract_file, read_odps
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.core.graph import Location
    from headwater.core.product import PortContract
    from headwater.core.types import Landing
    from headwater.documents import Document
    from headwater.project.readers.odps import ContractFile

KINDS = ("product", "DataProduct", "DataContract")
"""The kinds of files in a folder of products: the short form, ODPS and ODCS."""


@dataclass(slots=True)
class ProductReading:
    """What a folder of products declares.

    Attributes:
        products: Its products, without ports that are broken beyond reading.
        committed: Contracts in files beside a port of the short form, by the port's dataset: what it promised when the
            file was exported.
        errors: What is wrong.
        notes: What is kept and not evaluated, for people.
    """

    products: list[Product] = field(default_factory=list)
    committed: dict[str, PortContract] = field(default_factory=dict)
    errors: list[ProjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def product_name(path: str) -> str:
    """Return the name of the product that a file declares: the file's, without what follows the first dot."""
    return PurePosixPath(path).name.partition(".")[0]


def read_products(documents: Sequence[Document], domain: str, types: Mapping[str, Landing]) -> ProductReading:
    """Read the files of one domain's folder of products.

    Args:
        documents: All of its files.
        domain: The domain; "main" is the root.
        types: How types land where ports are kept (`Capabilities.types`).
    """
    reading = ProductReading()
    kinds = [_kind(document, reading.errors) for document in documents]
    pairs = list(zip(kinds, documents, strict=True))
    read = [read_contract_file(document, reading.errors) for kind, document in pairs if kind == "DataContract"]
    contracts = [one for one in read if one is not None]
    for kind, document in pairs:
        name = product_name(document.path)
        product = None
        if kind == "product":
            product = read_short(document, name, domain, types, reading.errors)
            _read_committed(product, contracts, types, reading)
        elif kind == "DataProduct":
            product = read_odps(document, name, domain, contracts, types, reading.errors, reading.notes)
        if product is not None:
            reading.products.append(product)
    used = {port.contract_id for product in reading.products for port in product.ports}
    for one in contracts:
        if one.odcs.id not in used:
            reading.notes.append(f"{one.document.place(())}: contract {one.odcs.id}: no port of a product names it")
    reading.errors += list(_judge_names(reading.products))
    return reading


def _read_committed(
    product: Product | None, contracts: Sequence[ContractFile], types: Mapping[str, Landing], reading: ProductReading
) -> None:
    """Read the contracts that were exported from the ports of a product, where they stand beside it."""
    for port in product.ports if product else ():
        for one in (one for one in contracts if one.odcs.id == port.contract_id):
            found = read_contract(
                one.odcs, one.document.place, types, port=port.port, domain=port.domain, product=port.product
            )
            reading.errors += found.errors
            reading.notes += found.notes
            if found.contract is not None:
                reading.committed[port.dataset] = found.contract


def read_short(
    document: Document, name: str, domain: str, types: Mapping[str, Landing], errors: list[ProjectError]
) -> Product | None:
    """Read a product in the short form, `kind: product`; None when it has problems that hide its ports."""
    spec = validate(ProductSpec, document.data, document, (), errors)
    if spec is None:
        return None
    ports = []
    for key, port in spec.ports.items():
        contract, wrong = declare_port(
            key, port, product=name, domain=domain, owner=spec.owner, types=types, place=partial(_place, document, key)
        )
        ports.append(contract)
        errors += wrong
    return Product(
        name,
        domain or ROOT,
        tuple(ports),
        owner=spec.owner,
        description=spec.description,
        tags=tuple(spec.tags),
        location=document.place(()),
    )


def _place(document: Document, port: str, key: tuple[str | int, ...]) -> Location:
    return document.place(("ports", port, *key))


def _kind(document: Document, errors: list[ProjectError]) -> str:
    data = document.data if isinstance(document.data, dict) else {}
    kind = str(data.get("kind") or "")
    if kind in KINDS:
        return kind
    what = f"unknown kind {kind!r}" if kind else "`kind` is missing"
    errors.append(ProjectError.at(document.place(("kind",)), what, suggest(kind, KINDS, f"write {', '.join(KINDS)}")))
    return ""


def _judge_names(products: Iterable[Product]) -> Iterable[ProjectError]:
    """Two ports have one name when their keys, and so their products, say the same port and major."""
    seen: dict[str, str] = {}
    for product in products:
        for port in product.ports:
            folded = port.dataset.lower()
            if other := seen.get(folded):
                what = f"{port.dataset} is declared twice: the other is {other}"
                yield ProjectError.at(port.location, what, "rename one, or give it another major: p_v2")
            seen[folded] = str(port.location)
