"""The core types: frozen, pure, no engine; the standard library and pydantic only."""

from __future__ import annotations
