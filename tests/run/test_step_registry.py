"""Every type of step has a planner and a handler."""

from __future__ import annotations

from headwater.core.graph import Role
from headwater.core.plan import Step
from headwater.plan.build import PLANNERS
from headwater.run.steps.registry import HANDLERS


def types_of_steps(base: type[Step]) -> set[str]:
    """Names, since a class with slots is made twice."""
    ours = [one for one in base.__subclasses__() if one.__module__.startswith("headwater.")]
    return {found for one in ours for found in (one.__qualname__, *types_of_steps(one))}


def test_every_type_of_step_has_a_handler() -> None:
    assert types_of_steps(Step) == {one.__qualname__ for one in HANDLERS}


def test_every_role_that_does_something_has_a_planner() -> None:
    passive = {Role.SOURCE, Role.DATASET}
    assert set(Role) == passive | set(PLANNERS)
