"""What the package offers: a short list, and every name on it exists."""

from __future__ import annotations

import importlib

import headwater

from .code import modules

MAX_NAMES = 20


def test_the_package_offers_at_most_twenty_names() -> None:
    assert 0 < len(headwater.__all__) <= MAX_NAMES


def test_every_list_of_exports_is_sorted_and_every_name_on_it_exists() -> None:
    lists = [module.name for module in modules() if "\n__all__ = " in module.text]
    assert "headwater" in lists
    for name in lists:
        module = importlib.import_module(name)
        assert list(module.__all__) == sorted(set(module.__all__), key=_isort_style), name
        missing = [export for export in module.__all__ if not hasattr(module, export)]
        assert missing == [], name


def _isort_style(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order in which the linter sorts."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(headwater, "no_such_name")
