"""What stands at the end of a staged chunk is read back as what it was."""

from __future__ import annotations

import json

import pytest

from headwater.ingestion.ends import PreparedEnd, StagedRejects, unpack_end


@pytest.mark.parametrize(
    "end",
    [
        PreparedEnd(),
        PreparedEnd({"files": {"a": {"size": 1}}}, 3, 2, 1, 4, {"next": "/page/2"}),
        StagedRejects(),
    ],
)
def test_an_end_comes_back(end: PreparedEnd | StagedRejects) -> None:
    assert unpack_end(json.loads(json.dumps(end.pack()))) == end


def test_rejects_that_an_earlier_version_staged_are_rejects() -> None:
    assert unpack_end({}) == StagedRejects()
