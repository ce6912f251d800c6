"""What a run imports, imported ahead: the fork server loads this module once, and its children begin warm.

Every module of the product is here, and pandas, which pyarrow imports when the first value is converted.
"""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import suppress

import deltalake
import duckdb
import numpy.ma
import pandas as pd
import pyarrow.parquet

import headwater

__all__ = ["deltalake", "duckdb", "numpy", "pd", "pyarrow"]

for _found in pkgutil.walk_packages(headwater.__path__, "headwater."):
    if not _found.name.endswith("__main__"):
        with suppress(ImportError):
            importlib.import_module(_found.name)
