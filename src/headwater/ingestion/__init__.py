"""Prepare, reject and schema policy as SQL and decisions; writes nothing."""

from headwater.ingestion.changes import ChangeQueries, compile_changes, compile_flags
from headwater.ingestion.limits import check_deleted, check_emptied, check_empty, check_keys, check_rejected
from headwater.ingestion.masking import mask_variables, set_mask_keys
from headwater.ingestion.merge import MergeQueries, compile_deletes, compile_merge, digest_query
from headwater.ingestion.policy import SchemaDecision, decide_schema
from headwater.ingestion.prepare import Preparation, compile_prepare
from headwater.ingestion.ties import compile_fresh, compile_new_rejects, compile_ties, merge_ties

__all__ = [
    "ChangeQueries",
    "MergeQueries",
    "Preparation",
    "SchemaDecision",
    "check_deleted",
    "check_emptied",
    "check_empty",
    "check_keys",
    "check_rejected",
    "compile_changes",
    "compile_deletes",
    "compile_flags",
    "compile_fresh",
    "compile_merge",
    "compile_new_rejects",
    "compile_prepare",
    "compile_ties",
    "decide_schema",
    "digest_query",
    "mask_variables",
    "merge_ties",
    "set_mask_keys",
]
