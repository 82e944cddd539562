"""A page as a test reads it: parsed strictly, and checked to ask for nothing and to run nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from support import edges

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></pre><img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "' onfocus='alert(1)' x='",
    "<!-- <svg/onload=alert(1)>",
    "]]></svg><a href='javascript:alert(1)'>",
    "\u202eevil\u2028\u2029\u0000\x1b[31m",
    "\ud800 alone",
    "&lt;script&gt;",
]


class Page(HTMLParser):
    """Checks nesting, and keeps what a test looks for."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.comments = 0
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def kinds(self) -> set[str]:
        return {name for name, _ in self.tags}


KNOWN_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "span", "p", "dl", "div"),
    *("dt", "dd", "section", "svg", "desc", "g", "rect", "text", "path", "line", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "strong", "code", "pre", "details", "summary", "figure", "figcaption", "footer"),
}
KNOWN_ATTRIBUTES = {
    *("charset", "http-equiv", "content", "name", "lang", "class", "viewbox", "width", "height", "x", "y", "rx", "d"),
    *("x1", "x2", "y1", "y2", "role", "aria-label", "tabindex", "scope"),
}


def assert_inert(page: str) -> Page:
    """Nothing in the page asks for anything from anywhere, or runs."""
    parsed = Page(page)
    assert parsed.kinds() <= KNOWN_TAGS
    assert parsed.comments == 0
    for _, attributes in parsed.tags:
        assert attributes.keys() <= KNOWN_ATTRIBUTES
    assert not re.search(r"url\(|@import|javascript:[^ ]*\"", page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "//" not in style[1]
    policy = dict(parsed.tags[[name for name, _ in parsed.tags].index("meta") + 1][1])["content"] or ""
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    return parsed


def manifest(nodes: list[dict[str, Any]], connections: str = "", **metadata: Any) -> dict[str, Any]:
    return {
        "version": "v1",
        "metadata": {"name": "demo", **metadata},
        "nodes": nodes,
        "connections": [{"from": a, "to": b} for a, b in edges(connections)],
    }
