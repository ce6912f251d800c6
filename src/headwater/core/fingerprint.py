"""What a commit is made by, as a text."""

from __future__ import annotations


class Fingerprint(str):
    """The hash of what makes a dataset's rows and, behind a dot, the hash of its checks, where it has one of its own.

    It is a text, as commits hold it.
    """

    __slots__ = ()

    @classmethod
    def of(cls, rows: str, checks: str) -> Fingerprint:
        """Put the two hashes together."""
        return cls(f"{rows}.{checks}")

    @property
    def rows(self) -> str:
        """The hash of what makes the rows."""
        return self.partition(".")[0]

    @property
    def checks(self) -> str:
        """The hash of the checks, "" where they are part of the other."""
        return self.partition(".")[2]


NO_FINGERPRINT = Fingerprint("")
"""Of a step that commits nothing."""
