"""The header Link by RFC 8288, read by the parser and followed through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.rest.links import next_link
from tests.services.http import Asked, Reply, Server, serve

from .rest_reading import connection_of, read

URL = "https://api.example/v1/items?page=1"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ('<b>; rel="next"', "b"),
        ("<b>; rel=next", "b"),
        ("<b>;rel=NEXT ;title=x", "b"),
        ('<b>; rel="Next"', "b"),
        ('<b>; REL="next"', "b"),
        ('<b>; rel="last next"', "b"),
        ('<b>; rel="\tnext   last"', "b"),
        ('<b>; rel = "next"', "b"),
        ('<a>; rel="first", <b>; rel="next", <c>; rel="last"', "b"),
        ('<a>; title="x, <n>; rel=next"; rel=prev, <b>; rel=next', "b"),
        ('<a?x=1,2;3>; rel="prev",<b?ids=1,2;rel=next>; type="text/html"; rel=next; hreflang=de', "b?ids=1,2;rel=next"),
        (r'<a>; title="a \"q\" ; rel=next, "; rel=prev, <b>; rel=next', "b"),
        ('<a>; anchor="#part"; rel=next, <b>; rel=next', "b"),
        ('<a>; rel=next; anchor="https://other.example/"', ""),
        (f'<b>; rel=next; anchor="{URL}"', "b"),
        ('<b>; rel=next; anchor=""', "b"),
        ('<a>; rel="nextish prev-next"', ""),
        ('<a>; rel="prev"; rel="next"', ""),
        ("<a>; rev=next", ""),
        ("<a>", ""),
        ("", ""),
        ("no link; rel=next", ""),
        (", , <b>; rel=next, ,", "b"),
        ("<a>; flag; rel=next", "a"),
        ("<https://h.example/p(1),2>; rel=next", "https://h.example/p(1),2"),
    ],
)
def test_the_next_link_of_a_header(header: str, wanted: str) -> None:
    assert next_link([header], URL) == wanted


def test_several_headers_are_one_list() -> None:
    assert next_link(['<a>; rel="prev"', '<b>; rel="next"'], URL) == "b"
    assert next_link([], URL) == ""


TOKEN = st.text(alphabet="abcdefXYZ-*0", min_size=1, max_size=6)
QUOTED = st.text(alphabet='abc ,;<>="\\=é', max_size=12)


@st.composite
def links(draw: Any) -> tuple[str, str]:
    """A header of several links, and the target of the first that is next."""
    written, wanted = [], ""
    for _ in range(draw(st.integers(1, 4))):
        target = draw(st.text(alphabet="abc/?=&,;:\"' ", max_size=12)).strip()
        relations = draw(st.lists(st.sampled_from(["next", "NEXT", "prev", "last", "nextt", "self"]), max_size=3))
        parameters = [f'rel="{" ".join(relations)}"']
        if len(relations) == 1 and draw(st.booleans()):
            parameters = [f"rel={relations[0]}"]
        for name in draw(st.lists(TOKEN.map(lambda text: f"x{text}"), max_size=3)):
            value = draw(QUOTED).replace("\\", "\\\\").replace('"', '\\"')
            parameters.append(draw(st.sampled_from([f'{name}="{value}"', f"{name}=t", name])))
        order = draw(st.permutations(parameters))
        written.append(f"<{target}>" + "".join(draw(st.sampled_from([";", " ; ", "; "])) + p for p in order))
        if not wanted and "next" in [relation.lower() for relation in relations]:
            wanted = target or "(empty)"
    return draw(st.sampled_from([", ", ",", " , "])).join(written), wanted


@given(links())
def test_whatever_stands_around_it(drawn: tuple[str, str]) -> None:
    header, wanted = drawn
    assert (next_link([header], URL) or "") == wanted.replace("(empty)", "")


@pytest.mark.parametrize(
    "form",
    [
        '<?page={n}>; rel="next last"',
        "</items?page={n}>; rel=Next",
        '<{url}/items?page={n}>; title="a, b; c"; rel="next"',
        '<x>; rel="next"; anchor="/other", <items?page={n}>; rel="last  NEXT"',
    ],
)
def test_links_are_followed_from_the_address_of_the_answer(form: str, server: Server) -> None:
    def items(asked: Asked) -> Reply:
        page = int(asked.value("page", "1"))
        headers = {"Link": form.format(n=page + 1, url=server.url)} if page < 4 else {"Link": '<?page=1>; rel="first"'}
        return Reply({"data": [{"id": page, "name": "a"}]}, headers=headers)

    server.routes["/items"] = items
    found = read(connection_of(server), {"path": "/items", "paginate": {"kind": "link"}})
    assert [row[0] for row in found.rows] == [1, 2, 3, 4]
