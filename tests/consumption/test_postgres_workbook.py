"""The workbook: every text is text, every number exact, and what does not fit is an error."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from headwater.consumption.postgres import workbook
from headwater.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.consumption.publishing import Publishing

VALUES = [
    ("'=1+1'", "=1+1", "s"),
    ("'+1'", "+1", "s"),
    ("'-1'", "-1", "s"),
    ("'@sum'", "@sum", "s"),
    ("'http://example.org'", "http://example.org", "s"),
    ("'007'", "007", "s"),
    ("true", True, "b"),
    ("7", 7, "n"),
    ("0.1::double", 0.1, "n"),
    ("'nan'::double", "nan", "s"),
    ("123456789012345::bigint", 123456789012345, "n"),
    ("1234567890123456::bigint", "1234567890123456", "s"),
    ("1.10::decimal(4,2)", 1.1, "n"),
    ("'12345678901234.56'::decimal(20,2)", "12345678901234.56", "s"),
    ("date '2024-02-29'", datetime(2024, 2, 29), "d"),
    ("date '1900-02-28'", "1900-02-28", "s"),
    ("'infinity'::date", "infinity", "s"),
    ("'-infinity'::timestamp", "-infinity", "s"),
    ("date '12024-02-29'", "12024-02-29", "s"),
    ("timestamp '2024-02-29 12:00:00.5'", datetime(2024, 2, 29, 12, 0, 0, 500000), "d"),
    ("timestamp '2024-02-29 12:00:00.123456'", "2024-02-29 12:00:00.123456", "s"),
    ("timestamptz '2024-02-29 12:00:00+00'", "2024-02-29 12:00:00+00", "s"),
    ("[1, 2]", "[1,2]", "s"),
    ("chr(7) || 'bell'", "_x0007_bell", "s"),  # so the format writes it; Excel shows the character
    ("'_x0007_'", "_x005F_x0007_", "s"),
]


def read(folder: Path) -> dict[str, list[list[Any]]]:
    book = openpyxl.load_workbook(folder / "tables.xlsx")
    return {sheet.title: [list(row) for row in sheet.iter_rows()] for sheet in book}


def test_values_in_cells(publishing: Publishing, tmp_path: Path) -> None:
    listed = ", ".join(f"{value} AS c{number}" for number, (value, _, _) in enumerate(VALUES))
    publishing.more["files"] = ["xlsx"]
    publishing.give(f"SELECT {listed} UNION ALL BY NAME SELECT 'x' AS c0").publish(tmp_path)
    head, first, second = read(tmp_path)["t"]
    assert [cell.value for cell in head] == [f"c{number}" for number in range(len(VALUES))]
    found = [(given[0], cell.value, cell.data_type) for given, cell in zip(VALUES, first, strict=True)]
    assert found == VALUES
    assert [cell.value for cell in second] == ["x"] + [None] * (len(VALUES) - 1)


def test_what_does_not_fit_is_an_error_and_nothing_is_published(
    publishing: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.more["files"] = ["xlsx"]
    publishing.give("SELECT 1 AS n, 'a' AS a").publish(tmp_path / "first")
    publishing.give("SELECT 2 AS n, repeat('x', 32768) AS a")
    with pytest.raises(StepError, match=r"t\.a has a text of more than 32,767 characters"):
        publishing.publish(tmp_path / "second")
    publishing.give("SELECT n, repeat('x', 32767) AS a FROM range(4) t(n)")
    monkeypatch.setattr(workbook, "MAX_ROWS", 4)
    with pytest.raises(StepError, match="t has 4 rows, and a sheet of Excel 3 below its head"):
        publishing.publish(tmp_path / "third")
    assert publishing.ask("SELECT n FROM gold.t") == [(1,)]
    monkeypatch.setattr(workbook, "MAX_ROWS", 5)
    publishing.publish(tmp_path / "fourth")
    assert len(read(tmp_path / "fourth")["t"]) == 5


def test_sheets_have_names_that_excel_takes(publishing: Publishing, tmp_path: Path) -> None:
    names = ["a" * 40, "A" * 40, "history", "x[1]/y"]
    many = publishing.declared(tables={name: {"from": "marts.t"} for name in names}, more={"files": ["xlsx"]})
    many.give("SELECT 1 AS n").publish(tmp_path)
    assert list(read(tmp_path)) == ["a" * 31, "A" * 29 + "_2", "history_2", "x_1__y"]
