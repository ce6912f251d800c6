"""Headwater: the data architecture diagram that runs."""

from __future__ import annotations
