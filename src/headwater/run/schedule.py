"""Which steps may begin: those whose inputs are done, and those that can follow them in one go."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headwater.core.plan import Step


class Schedule:
    """The steps of a plan in the order in which they may begin.

    Args:
        steps: All steps; what a step waits for that is not among them is done.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.node: step for step in steps}
        self._waiting = {step.node: sum(up in self._steps for up in step.upstream) for step in steps}
        self._below: dict[str, list[str]] = {name: [] for name in self._steps}
        for step in steps:
            for up in step.upstream:
                if up in self._steps:
                    self._below[up].append(step.node)
        self._ready = deque(name for name, count in self._waiting.items() if count == 0)
        self._done: set[str] = set()

    def __bool__(self) -> bool:
        """Whether a step may begin."""
        return bool(self._ready)

    def take(self) -> Step:
        """Take the next step that may begin."""
        return self._steps[self._ready.popleft()]

    def take_following(self, step: Step, admits: Callable[[Step], bool], most: int, share: int) -> list[Step]:
        """Take what can be done in one go with a step that was taken; return it all, each after those it waits for.

        Args:
            step: The step.
            admits: Whether another one may go with it.
            most: How many there may be.
            share: Among how many workers the steps that may begin are divided.
        """
        ready = (self._steps[name] for name in self._ready)
        heads = [step, *islice(filter(admits, ready), most * share)]
        queue = deque(heads[: -(-len(heads) // share)])
        found: list[Step] = []
        missing: dict[str, int] = {}
        while queue and len(found) < most:
            found.append(queue.popleft())
            for name in self._below[found[-1].node]:
                missing[name] = missing.get(name, self._waiting[name]) - 1
                if missing[name] == 0 and admits(self._steps[name]):
                    queue.append(self._steps[name])
        taken = {one.node for one in found}
        self._ready = deque(name for name in self._ready if name not in taken)
        return found

    def finish(self, taken: Sequence[Step], done: Iterable[str]) -> None:
        """Note which of the steps that were taken together are done; the others may begin as soon as they could."""
        self._done.update(done)
        for step in reversed(taken):
            if step.node not in self._done and self._waiting[step.node] == 0:
                self._ready.appendleft(step.node)
        for step in taken:
            for name in self._below[step.node] if step.node in self._done else ():
                self._waiting[name] -= 1
                if self._waiting[name] == 0 and name not in self._done:
                    self._ready.append(name)
