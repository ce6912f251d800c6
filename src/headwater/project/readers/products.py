"""Data products: what is declared of their ports becomes a table each, published with its contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater.core.dataset import Dataset
from headwater.core.fingerprint import Fingerprint
from headwater.core.fragments import quote_dataset, quote_identifiers
from headwater.core.graph import Node, Role, node_name
from headwater.core.layers import Family
from headwater.core.port import Port
from headwater.core.product import SlaName, to_json
from headwater.core.project import Model, Reference
from headwater.core.specs import ColumnSpec, DescribedSpec, ModelSpec
from headwater.errors import ProjectError
from headwater.project.cache import digest
from headwater.project.readers.reader import Declared, FolderReader

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from headwater.core.product import PortContract
    from headwater.project.readers.reader import LoadContext

STORE = "mesh"
"""The store that holds ports."""

WORD = "port"
"""What the dataset of a port is called by kind."""


def _read(context: LoadContext) -> list[Declared]:
    """Read the products; references stay as they are written, for contracts are kept and shown to everybody."""
    files = context.files("products", ".yaml", ".yml")
    if not files:  # the standards' models take a while to import
        return []
    from headwater.project.readers.product_files import read_products

    opened = [context.open_document(file) for file in files]
    reading = read_products([one for one in opened if one], context.domain, context.stores[STORE].capabilities.types)
    context.errors += reading.errors
    context.warnings += reading.notes
    for contract in (contract for product in reading.products for contract in product.ports):
        if any(term.name is SlaName.RETENTION and not term.column for term in contract.sla):
            what = f"{contract.dataset}: retention without a column cannot be evaluated"
            reading.errors.append(ProjectError.at(contract.location, what, "write retention: {column: …, max: …}"))
            context.errors.append(reading.errors[-1])
    wrong = {error.path for error in reading.errors}
    return [
        _declare(contract, reading.committed.get(contract.dataset), context)
        for product in reading.products
        for contract in product.ports
        if contract.location.path not in wrong
    ]


def _declare(contract: PortContract, committed: PortContract | None, context: LoadContext) -> Declared:
    name, place = contract.dataset, contract.location
    listed = quote_identifiers(column.name for column in contract.columns)
    text = f"SELECT {listed} FROM {quote_dataset(contract.source)}"
    columns = {one.name: ColumnSpec(type=one.type, description=one.description) for one in contract.columns}
    spec = DescribedSpec(
        description=contract.description,
        owner=contract.owner,
        tags=list(contract.tags),
        columns=columns,
        checks=list(contract.audit_checks()),
    )
    promised = json.dumps(to_json(contract), sort_keys=True)
    types = [f"{one.name} {one.type}" for one in contract.columns]
    model = Model(
        name=name,
        language="sql",
        text=text,
        spec=ModelSpec(store=STORE, owner=contract.owner),
        references=(Reference(contract.source, place),),
        location=place,
        fingerprint=Fingerprint.of(digest(text, *types, str(contract.strict)), digest(promised)[:16]),
        domain=context.domain,
    )
    port = Port(model, contract, spec, committed)
    dataset = Dataset(port, WORD, Role.PUBLISH, STORE, (contract.source,))
    nodes = (
        Node(node_name(name, Role.PUBLISH), Family.PROCESSING, WORD, Role.PUBLISH, port, place),
        Node(name, Family.MESH, STORE, Role.DATASET, port, place),
    )
    return Declared(dataset, f"product {contract.product}", nodes, model.references)


def _names(path: PurePosixPath) -> str:
    """A file may declare any port: readers of a broken one are told that nothing declares it."""
    return ""


def _json_schema() -> dict[str, Any]:
    from headwater.core.specs.product import ProductSpec

    return ProductSpec.model_json_schema(by_alias=True)


PRODUCTS = FolderReader("products", "product", _read, _names, _json_schema)
