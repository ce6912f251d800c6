"""Checks compiled to one scan, and the audit that a commit runs."""

from __future__ import annotations

from headwater.quality.audit import Audit
from headwater.quality.scan import Measure, Scan, compile_scan, failing_rows, read_scan, sample_query

__all__ = ["Audit", "Measure", "Scan", "compile_scan", "failing_rows", "read_scan", "sample_query"]
