"""The first example of docs/ingestion.md is a source that is checked and run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headwater.api import load
from tests.run.runner import put, rows, run_well

DOCS = Path(__file__).parents[2] / "docs" / "ingestion.md"
HEADER = "order_id,amnt,updated_at,currency,city,internal,email\n"


def test_the_first_example_runs_more_than_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASK_KEY", "a key")
    example = re.search(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    put(tmp_path, {"sources/shop.yaml": example[1]})
    put(
        tmp_path,
        {"files/orders1.csv": HEADER + "1, 11.90 ,2026-01-01,,-,x,a@b.c\n2,5.00,2026-01-01,USD,Bonn,x,d@e.f\n"},
    )
    load(tmp_path).plan()
    run_well(tmp_path)
    put(tmp_path, {"files/orders2.csv": HEADER + "1,23.80,2026-01-02,CHF,Ulm,x,a@b.c\n3,1.5,2026-01-02,,n/a,y,g@h.i\n"})
    run_well(tmp_path)
    run_well(tmp_path)
    assert rows(tmp_path, "select order_id, amount::varchar, currency, city, net from shop.orders") == [
        (1, "23.80", "CHF", "Ulm", 20.0),
        (2, "5.00", "USD", "Bonn", 4.2),
        (3, "1.50", "EUR", None, 1.26),
    ]
