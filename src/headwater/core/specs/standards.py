"""What the files of the Open Data Contract Standard and the Open Data Product Standard say, as far as it is read.

Keys that are not read are kept. Source: Open Data Contract Standard 3.0 to 3.2,
https://bitol-io.github.io/open-data-contract-standard/; Open Data Product Standard 1.0,
https://bitol-io.github.io/open-data-product-standard/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from headwater.core.specs.product import Version
from headwater.core.values import Words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTRACT_KEYS = _words("""
    version kind apiVersion id name tenant tags status servers dataProduct description domain schema support price
    team roles slaDefaultElement slaProperties authoritativeDefinitions customProperties contractCreatedTs
""")
"""The keys of a contract of version 3.1."""

OBJECT_KEYS = _words("""
    name physicalType description businessName authoritativeDefinitions tags customProperties logicalType
    physicalName dataGranularityDescription properties relationships quality
""")
"""The keys of an object of its schema."""

PROPERTY_KEYS = _words("""
    name physicalType description businessName authoritativeDefinitions tags customProperties primaryKey
    primaryKeyPosition logicalType logicalTypeOptions physicalName required unique partitioned partitionKeyPosition
    classification encryptedName transformSourceObjects transformLogic transformDescription examples
    criticalDataElement relationships quality properties items
""")
"""The keys of a property."""

QUALITY_KEYS = _words("""
    authoritativeDefinitions businessImpact customProperties description dimension method name schedule scheduler
    severity tags type unit metric rule arguments query engine implementation
""")
"""The keys of a rule of quality, but for its operator."""

SLA_KEYS = _words("""
    property value valueExt unit element driver description scheduler schedule
""")
"""The keys of a service level."""

LATER_KEYS = _words("""
    id context verifiedStatements deprecated synonyms enum semanticType map vector
""")
"""Keys that version 3.2 adds."""

PRODUCT_KEYS = _words("""
    apiVersion kind id name version status domain tenant authoritativeDefinitions description customProperties tags
    inputPorts outputPorts managementPorts support team productCreatedTs
""")
"""The keys of a product of version 1.0."""

PORT_KEYS = _words("""
    name description type version contractId sbom inputContracts customProperties authoritativeDefinitions tags
""")
"""The keys of a product's output port."""


class OpenSpec(BaseModel):
    """Base of what a standard's file says: unknown keys are kept, empty ones are not there."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key == "value"}

    @property
    def unread(self) -> dict[str, Any]:
        """The keys that are not read."""
        return dict(self.model_extra or {})


class CustomProperty(OpenSpec):
    """A key and a value that the standard has no word for."""

    property: str
    value: Any


class OdcsQuality(OpenSpec):
    """A rule of quality."""

    type: str = ""
    metric: str = ""
    rule: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    query: str = ""
    engine: str = ""
    unit: str = ""
    severity: str = ""
    name: str = ""
    must_be: Any = None
    must_not_be: Any = None
    must_be_greater_than: Any = None
    must_be_greater_or_equal_to: Any = None
    must_be_less_than: Any = None
    must_be_less_or_equal_to: Any = None
    must_be_between: Any = None
    must_not_be_between: Any = None
    custom_properties: list[CustomProperty] = Field(default_factory=list)

    @property
    def operators(self) -> dict[str, Any]:
        """The operators that are written, by the words of `must`."""
        names = [name for name in type(self).model_fields if name.startswith("must_")]
        return {name[5:]: getattr(self, name) for name in names if getattr(self, name) is not None}


class OdcsRelationship(OpenSpec):
    """A foreign key."""

    type: str = "foreignKey"
    from_: Any = Field(default=None, alias="from")
    to: Any = None
    custom_properties: list[CustomProperty] = Field(default_factory=list)


class OdcsProperty(OpenSpec):
    """A column."""

    name: str
    physical_name: str = ""
    logical_type: str = ""
    physical_type: str = ""
    logical_type_options: dict[str, Any] = Field(default_factory=dict)
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    primary_key_position: int = -1
    description: str = ""
    classification: str = ""
    enum: list[Any] | None = None
    quality: list[OdcsQuality] = Field(default_factory=list)
    relationships: list[OdcsRelationship] = Field(default_factory=list)
    custom_properties: list[CustomProperty] = Field(default_factory=list)

    @property
    def column(self) -> str:
        """The column's name in the table."""
        return self.physical_name or self.name


class OdcsObject(OpenSpec):
    """A table."""

    name: str
    physical_name: str = ""
    properties: list[OdcsProperty] = Field(default_factory=list)
    quality: list[OdcsQuality] = Field(default_factory=list)
    relationships: list[OdcsRelationship] = Field(default_factory=list)
    custom_properties: list[CustomProperty] = Field(default_factory=list)


class OdcsSla(OpenSpec):
    """A service level."""

    property: str
    value: Any
    unit: str = ""
    element: str = ""


def _read_team(value: Any) -> Any:
    """Read a team of before version 3.1: a list of its members."""
    return {"members": value} if isinstance(value, list) else value


class OdcsContract(OpenSpec):
    """A data contract: `kind: DataContract`."""

    kind: Literal["DataContract"]
    api_version: str
    version: Version
    id: str = Field(min_length=1)
    name: str = ""
    status: str = "active"
    domain: str = ""
    description: dict[str, Any] = Field(default_factory=dict)
    tags: Words = Field(default_factory=list)
    team: Annotated[dict[str, Any], BeforeValidator(_read_team)] = Field(default_factory=dict)
    schema_: list[OdcsObject] = Field(default_factory=list, alias="schema")
    sla_default_element: str = ""
    sla_properties: list[OdcsSla] = Field(default_factory=list)
    custom_properties: list[CustomProperty] = Field(default_factory=list)


class OdpsPort(OpenSpec):
    """An output port of a data product."""

    name: str
    version: Version
    contract_id: str = ""
    description: str = ""
    custom_properties: list[CustomProperty] = Field(default_factory=list)


class OdpsProduct(OpenSpec):
    """A data product: `kind: DataProduct`."""

    kind: Literal["DataProduct"]
    api_version: str
    id: str = ""
    name: str = ""
    status: str = "active"
    domain: str = ""
    description: dict[str, Any] = Field(default_factory=dict)
    tags: Words = Field(default_factory=list)
    team: Annotated[dict[str, Any], BeforeValidator(_read_team)] = Field(default_factory=dict)
    output_ports: list[OdpsPort] = Field(default_factory=list)
    custom_properties: list[CustomProperty] = Field(default_factory=list)
