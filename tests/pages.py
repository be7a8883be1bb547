"""What every page must be, whatever it shows: call ``check`` on each page a test renders.

Self-contained, locked down by its own policy, valid, named, and small.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

import html5lib

MOST_BYTES = 1_000_000

NASTY = (
    "\"'><script>alert(1)</script><!--]]>{{ 7*7 }}{second}</style>&amp;&#x3c;\x00\x1b\u202e\ud800"
)
"""A text that breaks whatever forgets to escape it."""

# Attributes that make a browser load, send or execute something.
_LOADING = frozenset(
    "src srcset href xlink:href poster data action formaction background ping manifest "
    "codebase archive cite longdesc usemap srcdoc".split()
)
_REFERENCES = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "headers", "list")
_NEVER = frozenset(
    "iframe object embed frame frameset base form audio video applet portal template use image "
    "foreignObject animate set".split()
)
_SVG = "{http://www.w3.org/2000/svg}"


@lru_cache(maxsize=8)
def check(html: str) -> Element:
    """Fail unless the page is what every page must be.

    Remembers the last few pages: each is also checked as it is rendered (``conftest``).

    Returns:
        The parsed page, HTML elements without a namespace, SVG ones with theirs.
    """
    assert len(html.encode("utf-8")) <= MOST_BYTES, f"{len(html.encode())} bytes"
    root = parse(html)
    _check_policy(root)
    _check_references(root)
    _check_structure(root)
    _check_charts(root)
    return root


def parse(html: str) -> Element:
    """Parse a page the way browsers do, but fail at the first error."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=True)
    root = parser.parse(html)
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.removeprefix("{http://www.w3.org/1999/xhtml}")
    return root


def name_of(element: Element) -> str:
    """Return an element's name without its namespace; comments have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def text_of(element: Element) -> str:
    """Return all text in an element, white space folded."""
    return re.sub(r"[ \n]+", " ", " ".join(element.itertext())).strip()


def by_id(root: Element, key: str) -> Element:
    """Return the element with an id; fail if there is none."""
    found = [element for element in root.iter() if element.get("id") == key]
    assert found, f"no element has the id {key!r}"
    return found[0]


def of_class(root: Element, name: str) -> list[Element]:
    """Return all elements of a class."""
    return [element for element in root.iter() if name in element.get("class", "").split()]


def table_after(root: Element, figure: str) -> list[list[str]]:
    """Return the texts of a figure's table twin, heads first."""
    caption = by_id(root, f"{figure}-caption")
    table = next(t for t in root.iter("table") if caption in list(t))
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def drawn(markup: str) -> Element:
    """Parse a chart that stands alone."""
    return ET.fromstring(str(markup))


def csv_of(root: Element, figure: str) -> list[list[str]]:
    """Return the rows of a figure's CSV download, names of the columns first."""
    named = f"-{figure}.csv"
    links = [a for a in root.iter("a") if a.get("download", "").endswith(named)]
    assert len(links) == 1
    return _csv(links[0].get("href", ""))


def _csv(address: str) -> list[list[str]]:
    head = "data:text/csv;charset=utf-8,"
    assert address.startswith(head), "a download that is no CSV of ours"
    return list(csv.reader(io.StringIO(unquote(address.removeprefix(head)), newline="")))


def is_safe_link(href: str) -> bool:
    """Say whether a browser would at most show a page when this is clicked."""
    stripped = re.sub(r"[\x00-\x20]", "", href)
    return urlsplit(stripped).scheme.lower() in ("", "http", "https", "file")


def _attributes(root: Element) -> Iterator[tuple[Element, str, str]]:
    for element in root.iter():
        for name, value in element.attrib.items():
            # html5lib writes xlink:href as {http://www.w3.org/1999/xlink}href.
            yield element, name.rpartition("}")[2].lower(), value


def _check_policy(root: Element) -> None:
    metas = [m for m in root.iter("meta") if m.get("http-equiv", "").lower() != ""]
    assert [m.get("http-equiv") for m in metas] == ["Content-Security-Policy"]
    policy = {
        name: sources
        for name, *sources in (part.split() for part in metas[0].get("content", "").split(";"))
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["img-src"] == ["data:"]
    for name, sources in policy.items():
        if name not in ("style-src", "script-src", "img-src"):
            assert sources == ["'none'"], f"{name} allows {sources}"
    order = [e for e in root.iter() if name_of(e) in ("meta", "style", "script", "link")]
    first = next(i for i, e in enumerate(order) if name_of(e) != "meta")
    assert metas[0] in order[:first], "the policy must come before what it is for"
    for kind in ("style", "script"):
        inline = [
            element
            for element in root.iter()
            if name_of(element) == kind and element.get("type") != "application/json"
        ]
        digests = {
            "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
            for text in ("".join(element.itertext()) for element in inline)
        }
        assert digests == set(policy[f"{kind}-src"]), f"{kind}: hashes differ from the policy"
    for element, name, _ in _attributes(root):
        assert not name.startswith("on"), f"inline handler {name} in <{name_of(element)}>"
        assert name != "style", f"style attribute in <{name_of(element)}>"


def _check_references(root: Element) -> None:
    ids = Counter(value for _, name, value in _attributes(root) if name == "id")
    assert not [key for key, times in ids.items() if times > 1], f"ids used twice: {ids}"
    for element, name, value in _attributes(root):
        where = f"<{name_of(element)} {name}={value[:80]!r}>"
        if name in _REFERENCES:
            missing = [key for key in value.split() if key not in ids]
            assert not missing, f"{where} refers to nothing"
        for target in re.findall(r"url\(([^)]*)\)", value):
            assert target.startswith("#") and target[1:] in ids, f"{where} refers to nothing"
        if name not in _LOADING:
            continue
        if value.startswith("#"):
            assert value[1:] in ids, f"{where} leads nowhere"
        elif name_of(element) == "a" and "download" in element.attrib:
            rows = _csv(value)
            assert len({len(row) for row in rows}) == 1, f"{where} is not a table"
            formulas = [cell for row in rows for cell in row if cell[:1] in set("=+@\t\r")]
            assert not formulas, f"{where} holds what a spreadsheet would compute"
        elif name_of(element) == "a" and name == "href":
            assert is_safe_link(value), f"{where} is not a plain link"
        else:
            assert value.startswith("data:"), f"{where} loads something"
    for style in root.iter("style"):
        css = "".join(style.itertext())
        assert "@import" not in css and "url(" not in css, "the stylesheet loads something"


def _check_structure(root: Element) -> None:
    names = {name_of(element) for element in root.iter()}
    assert not names & _NEVER, f"forbidden elements: {names & _NEVER}"
    assert root.get("lang"), "the page has no language"
    titles = [t for t in root.iter("title") if isinstance(t.tag, str)]
    assert len(titles) == 1 and text_of(titles[0]), "the page needs one title"
    levels = [int(n[1]) for n in map(name_of, root.iter()) if re.fullmatch("h[1-6]", n)]
    assert levels[0] == 1 and levels.count(1) == 1, f"headings: {levels}"
    jumps = [(a, b) for a, b in pairwise(levels) if b > a + 1]
    assert not jumps, f"headings skip a level: {levels}"
    for element in root.iter():
        kind = name_of(element)
        if kind == "table":
            heads = [cell for cell in element.iter("th") if not cell.get("scope")]
            assert any(True for _ in element.iter("th")) and not heads, "a table without heads"
        elif kind == "details":
            assert name_of(element[0]) == "summary" and text_of(element[0])
        elif kind == "input":
            labels = [
                label for label in root.iter("label") if label.get("for") == element.get("id")
            ]
            assert labels and text_of(labels[0]), "an input without a label"
        elif kind in ("a", "summary", "h1", "h2", "h3"):
            assert text_of(element), f"an empty <{kind}>"
    for link in root.iter("link"):
        assert link.get("rel") == "icon"


def _check_charts(root: Element) -> None:
    inner = {svg for outer in root.iter(f"{_SVG}svg") for svg in outer.iter(f"{_SVG}svg")} & {
        child for outer in root.iter(f"{_SVG}svg") for child in outer
    }
    for svg in root.iter(f"{_SVG}svg"):
        if svg.get("aria-hidden") == "true" or svg in inner:
            continue
        assert svg.get("role") == "img", "a chart without a role"
        title, description = svg[0], svg[1]
        assert name_of(title) == "title" and text_of(title), "a chart without a title"
        assert name_of(description) == "desc" and text_of(description), "a chart not described"
        assert svg.get("aria-labelledby") == title.get("id")
        assert svg.get("aria-describedby") == description.get("id")
