"""docs/coming-from-dbt.md names only commands, options, keys and selections that there are."""

from __future__ import annotations

import importlib
import re
import shlex

import click
import pytest
from ruamel.yaml import YAML

from headwater.cli import group
from headwater.core.specs import (
    CHECK_KINDS,
    CheckSpec,
    ColumnSpec,
    EngineSpec,
    EnvironmentSpec,
    IngestSpec,
    ModelSpec,
    ProjectSpec,
    UnitTestSpec,
)
from headwater.plan.select import METHODS

from .code import ROOT, entry_points

PAGE = (ROOT / "docs" / "coming-from-dbt.md").read_text(encoding="utf-8")
SPECS = (ModelSpec, IngestSpec, CheckSpec, ColumnSpec, ProjectSpec, EnvironmentSpec, EngineSpec, UnitTestSpec)
KEYS = {field.alias or name for spec in SPECS for name, field in spec.model_fields.items()}
SAMPLES: dict[str, dict[str, object]] = {
    "incremental": {"key": "id"},
    "snapshot": {"key": "id"},
}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


COMMANDS = sorted(
    {w for h in ("Words", "Commands") for r in rows(h) for w in words(r[1]) if w.startswith("headwater ")}
)
CLAIMS = sorted({w for row in rows("Words") for cell in row[1:] for w in words(cell) if not w.startswith("headwater ")})


def parse(line: str) -> click.Context:
    """Parse a command line as the product does, without running it; raises when a word of it is unknown."""
    arguments = shlex.split(line.replace("…", "1"))[1:]
    outer = group.make_context("headwater", arguments, resilient_parsing=False)
    name, *rest = [*outer._protected_args, *outer.args]
    command = importlib.import_module(f"headwater.cli.{name}").command
    assert isinstance(command, click.Command)
    return command.make_context(name, rest, parent=outer)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    context = parse(line)
    for term in [*(context.params.get("select") or ()), *(context.params.get("full") or ())]:
        method, colon, _ = str(term).strip("+").partition(":")
        assert not colon or method in METHODS, term


def test_the_rule_sees_an_unknown_command_option_and_selection() -> None:
    with pytest.raises(ModuleNotFoundError):
        parse("headwater build")
    with pytest.raises(click.NoSuchOption):
        parse("headwater run --full-refresh")


def understood(claim: str) -> bool:
    """Whether what is written as code in Headwater's column is a word of Headwater's."""
    if re.fullmatch(r"\$[a-z_]+|\$\{env:X\}|/\* headwater … \*/|[a-z]+\.[a-z]+", claim):
        return True  # a variable, a reference, a header, a dataset or a file
    if re.fullmatch(r"(models|sources|tests)/[\w/*]+\.(sql|py|yaml)", claim):
        return True
    if claim.startswith("--"):
        return any(claim in option.opts for option in group.params)
    return understood_yaml(claim)


def understood_yaml(claim: str) -> bool:
    """Whether a claim is a key, or a key and a value that its spec accepts."""
    value = YAML(typ="safe", pure=True).load(claim)
    if isinstance(value, str):
        return value in KEYS or value in ("inputs", "threads", "valid_from", "valid_to")
    ((key, inner),) = value.items()
    if key == "materialize":
        return ModelSpec.model_validate({key: inner, **SAMPLES.get(inner, {})}).materialize == inner
    if key == "kind":
        return inner in entry_points("sources")
    if key == "checks":
        return bool(ColumnSpec.model_validate(value).checks)
    if key == "severity":
        return CheckSpec.model_validate({"sql": "select 1", key: inner}).severity == inner
    if key in CHECK_KINDS:
        return CheckSpec.model_validate(value).kind == key
    if key == "shared":
        return EnvironmentSpec.model_validate(value).shared == inner
    return key in IngestSpec.model_validate(value).model_dump(by_alias=True)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_word_is_there(claim: str) -> None:
    assert understood(claim), claim


def test_the_rule_sees_words_that_are_not_there() -> None:
    assert not understood("materialized")
    assert not understood("--target")
    assert not understood("kind: seeds")
    with pytest.raises(ValueError, match="materialize"):
        understood("materialize: ephemeral")


def test_selections_are_those_of_the_product() -> None:
    named = {word.partition(":")[0] for row in rows("Selecting") for word in words(row[1]) if ":" in word}
    assert named <= set(METHODS)
    assert named >= {"tag", "source", "path", "state"}


def test_the_example_is_accepted() -> None:
    header = re.search(r"/\* headwater\n(.*?)\n\*/\n", PAGE, re.DOTALL)
    assert header
    assert ModelSpec.model_validate(YAML(typ="safe", pure=True).load(header[1])).key == ["order_id"]
