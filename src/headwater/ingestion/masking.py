"""Masking: HMAC-SHA-256 in SQL, with a key that never stands in the SQL text.

HMAC is `sha256((key ^ opad) || sha256((key ^ ipad) || message))`; the two padded keys are DuckDB variables of the
connection. Source: RFC 2104.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.specs import IngestSpec

_BLOCK_BYTES = 64


def mask_variables(ingest: IngestSpec) -> dict[str, bytes]:
    """Return the DuckDB variables that the projection of this table reads: name to padded key.

    They are secret: give them to `SET VARIABLE` as a parameter, never as text.
    """
    variables = {}
    for index, rule in enumerate(ingest.prepare):
        if rule.mask is not None:
            key = rule.mask.key.encode()
            if len(key) > _BLOCK_BYTES:
                key = hashlib.sha256(key).digest()
            padded = key.ljust(_BLOCK_BYTES, b"\0")
            inner, outer = _names(index)
            variables[inner] = bytes(byte ^ 0x36 for byte in padded)
            variables[outer] = bytes(byte ^ 0x5C for byte in padded)
    return variables


def set_mask_keys(connection: DuckDBPyConnection, ingest: IngestSpec) -> None:
    """Set the variables of `mask_variables` on the connection, right before its projection runs.

    The names are the same for every table: a connection that loads several sets them anew for each.
    """
    for name, value in mask_variables(ingest).items():
        connection.execute(f"SET VARIABLE {name} = $1", [value])


def mask_sql(expression: str, rule_index: int) -> str:
    """Return the SQL of the masked text of an expression: 64 hexadecimal digits, NULL stays NULL."""
    inner, outer = _names(rule_index)
    message = f"encode(CAST({expression} AS VARCHAR))"
    return f"sha256(getvariable('{outer}') || unhex(sha256(getvariable('{inner}') || {message})))"


def _names(index: int) -> tuple[str, str]:
    return f"hw_mask_{index}_inner", f"hw_mask_{index}_outer"
