from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from auricle.report.html import Html, document, element, escape, join, table


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])))
def test_plain_text_stays_text(text: str) -> None:
    reader = Reader(element("p", text, title=text))
    assert reader.tags == ["p"]
    assert reader.text == text


@given(st.text(st.characters()))
def test_any_text_can_be_written(text: str) -> None:
    assert element("p", text, title=text).encode().decode() == element("p", text, title=text)


def test_only_html_is_inserted_as_it_is() -> None:
    assert join("<b>", Html("<b>")) == "&lt;b&gt;<b>"
    assert element("p", element("b", "<")) == "<p><b>&lt;</b></p>"


def test_attributes() -> None:
    assert element("a", class_="x", aria_label='"', open=True, hidden=False, id=None) == (
        '<a class="x" aria-label="&quot;" open></a>'
    )
    assert element("img", src="data:,") == '<img src="data:,">'


def test_control_characters_are_replaced() -> None:
    assert escape("a\x00b\ud800\tc") == "a\ufffdb\ufffd\tc"


def test_columns_of_numbers_stand_right() -> None:
    made = table(["name", "rate"], [["1st", "2.5"], ["x", "–"]])
    assert '<th scope="col">name</th><th scope="col" class="number">rate</th>' in made
    assert '<td class="number">–</td>' in made


def test_a_document_forbids_scripts_and_loads_nothing() -> None:
    page = document("a<b", element("p", "text"))
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src &#x27;none&#x27;" in page
    assert "<title>a&lt;b</title>" in page
    assert "prefers-color-scheme: dark" in page
    assert "@import" not in page and "url(" not in page
