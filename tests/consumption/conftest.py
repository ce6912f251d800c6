from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.consumption.learning import Learning, new_learning

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def learning(tmp_path: Path) -> Learning:
    return new_learning(tmp_path)
