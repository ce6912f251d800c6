"""A declared memory limit holds, and what does not fit is spilled to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.api import load
from headwater.core.run import Status
from tests.run.kill import NOW
from tests.run.projects import write

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """/* headwater
store: lakehouse
*/
select id, text, row_number() over (order by text, id) as place
from (select range as id, md5(range::varchar) || md5((range * 7)::varchar) as text from range(1_500_000))
"""


def project(folder: Path, engine: str) -> Path:
    return write(folder, {"headwater.yaml": f"name: spill\nengine: {engine}\n", "models/big.sql": MODEL})


def test_more_than_the_limit_is_spilled(tmp_path: Path) -> None:
    folder = project(tmp_path, "{memory_limit: 100MB, threads: 2}")
    loaded = load(folder)
    (folder / ".headwater").mkdir(exist_ok=True)
    (folder / ".headwater" / "tmp").write_text("no folder: nothing can be spilled")
    assert loaded.run(now=NOW).result("main.big/transform").status is Status.FAILED
    (folder / ".headwater" / "tmp").unlink()
    run = loaded.run(now=NOW)
    assert run.result("main.big/transform").rows == 1_500_000
    row = loaded.query("select max(place) as top, count(distinct place) as n from main.big").to_pylist()[0]
    assert row == {"top": 1_500_000, "n": 1_500_000}


def test_a_query_that_cannot_be_spilled_says_so_and_commits_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path, "{memory_limit: 20MB, threads: 2}")
    write(folder, {"models/big.sql": "select list(md5(range::varchar)) as everything from range(3_000_000)\n"})
    run = load(folder).run(now=NOW)
    result = run.result("main.big/transform")
    assert result.status is Status.FAILED
    assert "memory" in result.error.lower()
    assert "main.big" not in load(folder).states()
