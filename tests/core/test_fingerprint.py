"""A fingerprint is a text that knows its two parts."""

from __future__ import annotations

import json

from headwater.core.fingerprint import NO_FINGERPRINT, Fingerprint


def test_its_parts() -> None:
    made = Fingerprint.of("abc+def", "12")
    assert (made, made.rows, made.checks) == ("abc+def.12", "abc+def", "12")
    assert (Fingerprint("abc").rows, Fingerprint("abc").checks, NO_FINGERPRINT.rows) == ("abc", "", "")


def test_it_is_kept_as_a_text() -> None:
    made = Fingerprint.of("abc", "12")
    assert json.loads(json.dumps({"fingerprint": made})) == {"fingerprint": "abc.12"}
    assert Fingerprint(json.loads(json.dumps(made))) == made
