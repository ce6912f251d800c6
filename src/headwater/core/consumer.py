"""A consumer as a project declares it: a dashboard, a model that learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.core.graph import Location
    from headwater.core.specs import Spec


@dataclass(frozen=True, slots=True)
class DeclaredConsumer:
    """One declaration of a consumer.

    Attributes:
        name: Its name, `namespace.name`: `dashboards.revenue`, `ml.churn`.
        kind: What makes it.
        options: The keys of its declaration, validated by its kind.
        location: Where it is declared.
        root: The project's folder, absolute.
        text: The Markdown below the head of a `.md` file, its first line the file's first line (the head is blanked);
            "" for a YAML file.
        folder: The folder of its file, absolute: files that it names lie there.
    """

    name: str
    kind: str
    options: Spec = field(repr=False)
    location: Location
    root: str
    text: str = field(default="", repr=False)
    folder: str = ""
