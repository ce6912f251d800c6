"""Parameters of a dashboard: values that are shown in its texts, and typed literals in its SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from headwater.core.fragments import SelectSql
from headwater.core.near import suggest
from headwater.core.specs.base import Spec, TypeName
from headwater.core.texts import visible
from headwater.errors import ProjectError
from headwater.sql.placeholders import CLOCK, fill_placeholders, find_placeholders, literal
from headwater.sql.tokens import drop_semicolons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.core.graph import Location

PLACE = re.compile(r"\$([^\W\d]\w*)")
"""A parameter in a text."""

NO_VALUE = "–"
"""What is shown of NULL."""

_ESCAPED_OR_PLACE = re.compile(rf"\\\$|{PLACE.pattern}")


class ParamSpec(Spec):
    """One parameter: the value it has, and the DuckDB type it is given in SQL (else the type that it looks like)."""

    default: Any = Field()
    type: TypeName | None = None

    @model_validator(mode="after")
    def _has_literal(self) -> ParamSpec:
        text = str(self.default)
        if isinstance(self.default, list | dict):
            raise ValueError("a parameter is one number, text, date or boolean")
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("the text holds a character that no SQL holds (NUL, or half of a pair)")
        literal_of(self)
        return self


def _check_name(name: str) -> str:
    if not PLACE.fullmatch(f"${name}"):
        raise ValueError(f"{name!r} is no name of a parameter: write letters, digits and _")
    if name in CLOCK:
        raise ValueError(f"${name} is the clock of a run: give the parameter another name")
    return name


ParamSpecs = dict[Annotated[str, AfterValidator(_check_name)], ParamSpec]


def literal_of(param: ParamSpec) -> str:
    """Return a parameter as a typed SQL literal.

    Raises:
        ValueError: It has none.
    """
    return literal(param.default if param.type is None else {"value": param.default, "type": param.type})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a dashboard by name.

    Attributes:
        literals: As SQL writes them.
        texts: As people read them, each on one line.
    """

    literals: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, params: Mapping[str, ParamSpec]) -> Parameters:
        """Return them as declared."""
        return cls(
            {name: literal_of(param) for name, param in params.items()},
            {name: _shown(param.default) for name, param in params.items()},
        )

    def unknown(self, name: str, place: Location) -> ProjectError:
        """Return the error about a name that is no parameter."""
        otherwise = "declare it under params" if not self.texts else ""
        fix = f"{suggest(name, self.texts, otherwise)}; a dollar sign in a text is written \\$"
        return ProjectError.at(place, f"${name} is no parameter of this dashboard", fix)

    def fill_sql(self, sql: str, place: Location, errors: list[ProjectError]) -> SelectSql:
        """Replace each `$name` by its literal, neither in texts nor in comments; `place` is that of the first line."""
        query = drop_semicolons(sql)
        unknown: set[str] = set()
        for start, _, name in find_placeholders(query):
            if name not in self.literals and name not in unknown:
                unknown.add(name)
                line = place.line + query.count("\n", 0, start)
                at = type(place)(place.path, line, start - query.rfind("\n", 0, start))
                errors.append(ProjectError.at(at, f"${name} is no parameter", suggest(name, self.texts, _DECLARE)))
        return SelectSql(fill_placeholders(query, self.literals.get)[0])

    def fill_text(self, text: str, place: Location, errors: list[ProjectError]) -> str:
        r"""Replace each `$name` by the value as people read it; `\$` is a dollar sign."""

        def shown(found: re.Match[str]) -> str:
            if found[1] is None:
                return "$"
            if found[1] not in self.texts:
                errors.append(self.unknown(found[1], place))
            return self.texts.get(found[1], "")

        return _ESCAPED_OR_PLACE.sub(shown, text)


_DECLARE = "declare it under params at the head of the file"


def _shown(value: Any) -> str:
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    return visible(str(value), one_line=True)
