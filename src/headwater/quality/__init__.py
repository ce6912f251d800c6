"""Checks compiled to one scan."""

from __future__ import annotations

from headwater.quality.scan import Measure, Scan, compile_scan, read_scan, sample_query

__all__ = ["Measure", "Scan", "compile_scan", "read_scan", "sample_query"]
