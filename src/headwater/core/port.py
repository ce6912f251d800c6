"""A port as it is published: the model of its columns, and the contract they keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.core.fingerprint import Fingerprint
    from headwater.core.graph import Location
    from headwater.core.product import PortContract
    from headwater.core.project import Model
    from headwater.core.specs import DescribedSpec


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a data product.

    Attributes:
        model: Selects the promised columns of the dataset that it is made of; its table is the port's.
        contract: What is promised.
        spec: What it says of itself; its checks are all that the contract asks for.
        committed: What it promised when its contract was last exported beside it: it counts where nothing is published.
    """

    model: Model
    contract: PortContract
    spec: DescribedSpec = field(repr=False)
    committed: PortContract | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name under which everybody reads it, `<domain>.<port>_v<major>`."""
        return self.model.name

    @property
    def source(self) -> str:
        """It is made by the project itself."""
        return ""

    @property
    def location(self) -> Location:
        """Where it is declared."""
        return self.contract.location

    @property
    def fingerprint(self) -> Fingerprint:
        """Hash of what makes its rows, and of the contract."""
        return self.model.fingerprint
