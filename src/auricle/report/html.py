"""HTML that is safe by construction: what is not `Html` already is escaped when it joins an element."""

import html
import re
from collections.abc import Sequence
from importlib.resources import files

# Control characters have no place in HTML; a lone surrogate cannot be written as UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_VOID = frozenset({"img", "meta", "br"})

# No script may run and nothing may be loaded from anywhere, whatever a transcript contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


NOTHING = "–"
"""What a cell of a table holds where nothing is known."""


class Html(str):
    """Text that is HTML already and is inserted as it is."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Plain text as HTML: markup characters escaped, unprintable ones replaced by U+FFFD."""
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", text)))


def join(*parts: str) -> Html:
    """Parts one after the other; those that are not `Html` are escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def element(tag: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """An element.

    Args:
        tag: its name.
        children: escaped unless they are `Html`.
        attributes: values are always escaped; True stands for an attribute without a value, None and
            False for none. A trailing underscore is dropped (``class_``), others become hyphens.
    """
    words = [tag]
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(word)
        elif isinstance(value, str):
            words.append(f'{word}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if tag in _VOID else f"{start}{join(*children)}</{tag}>")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """A table; columns of numbers stand at the right, and a narrow screen scrolls it sideways."""
    columns = zip(*rows, strict=True)
    numeric = [all(cell[:1].isdigit() or cell == NOTHING for cell in column) for column in columns]
    styles = ["number" if is_number else None for is_number in numeric]
    head = _row("th", header, styles)
    body = (_row("td", row, styles) for row in rows)
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def _row(tag: str, cells: Sequence[str], styles: Sequence[str | None]) -> Html:
    scope = "col" if tag == "th" else None
    made = (element(tag, cell, scope=scope, class_=style) for cell, style in zip(cells, styles, strict=True))
    return element("tr", *made)


def document(title: str, *body: str) -> Html:
    """A whole page, with its style inside."""
    style = files("auricle.report").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    return Html(f"<!doctype html>\n{element('html', head, element('body', *body), lang='en')}\n")
