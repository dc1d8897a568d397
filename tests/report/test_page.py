# SPDX-License-Identifier: Apache-2.0
"""The page is one file that needs nothing: no script, no network, every picture inside, readable in light and dark."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from labelled import labelled_frames, oracle, refused
from rasant.evaluate import evaluate_records, inspect_source, with_levels
from rasant.report import PictureBook, write_report
from rasant.types import Frame, Inspection, Reason, Verdict


class Page(HTMLParser):
    """Collects tags, attributes and text, and insists on balanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def some_verdicts(frame: Frame) -> Inspection:
    """One UNKNOWN, one missed defect, one false reject among the oracle's answers."""
    if frame.index == 1:
        return refused(frame)
    inspection = oracle(frame, height=0.3 if frame.index == 4 else None)
    if frame.index == 2:
        return replace(inspection, verdict=Verdict.REJECT, score=0.7)
    return inspection


def page_of(tmp_path: Path, answer: object = some_verdicts, **options: object) -> str:
    """The text of a report on eight plates."""
    book = PictureBook(longest_px=48)
    records = inspect_source(answer, labelled_frames(), observer=book)  # type: ignore[arg-type]
    records = with_levels(records, {"plate": {r.identity: "easy" for r in records}})
    result = evaluate_records(records)
    result.update(options)
    path = write_report(
        tmp_path / "deep" / "report.html", result, records, book.thumbnails, title="Plates <1>", facts={"a<b": "c&d"}
    )
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    """No script, no link, no address: every src is a PNG data URI that decodes."""
    text = page_of(tmp_path)
    page = Page(text)
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "embed", "audio", "video"})
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) >= 8 * 4 - 1
    for source in sources:
        head, data = source.split(",")
        assert head == "data:image/png;base64"
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) is not None


def test_every_picture_has_words(tmp_path: Path) -> None:
    """Images have alternative texts, charts have titles, and the page has a language."""
    page = Page(page_of(tmp_path))
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    charts = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 3
    assert all(chart["aria-label"] for chart in charts)
    assert ("html", {"lang": "en"}) in page.tags


def test_mistakes_come_first(tmp_path: Path) -> None:
    """The missed defect, then the false reject, then UNKNOWN, then what went well."""
    text = page_of(tmp_path)
    order = [text.index(f">{words}<") for words in ("missed defect", "false reject", "no verdict", "defect caught")]
    assert order == sorted(order)
    assert "E_DEPTH_SPARSE: too few valid pixels" in text


def test_a_pass_of_a_stand_in_says_so(tmp_path: Path) -> None:
    """Who reads the page sees that one modality decided alone, and why."""
    detail = "decided by colour alone (E_DEPTH_EMPTY: none is valid)"
    answer = lambda frame: replace(oracle(frame), detail=detail, stood_in=Reason.DEPTH_EMPTY)  # noqa: E731
    assert page_of(tmp_path, answer).count(detail) == len(labelled_frames())


def test_all_five_pictures_of_a_defect_are_shown(tmp_path: Path) -> None:
    """Colour, depth, anomaly map, overlay and truth of each defective part that was inspected."""
    text = page_of(tmp_path)
    for caption in ("colour", "depth", "anomaly map", "overlay", "truth"):
        assert text.count(f"<figcaption>{caption}</figcaption>") >= 4


def test_light_and_dark_are_both_styled(tmp_path: Path) -> None:
    """The style sheet follows the reader's scheme; every colour variable has both values."""
    text = page_of(tmp_path)
    assert "prefers-color-scheme: dark" in text
    light, dark = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    names = [set(re.findall(r"(--[a-z-]+):", block)) for block in (light, dark)]
    assert names[0] - names[1] == set()


def test_names_are_escaped(tmp_path: Path) -> None:
    """Titles and facts are text, never markup."""
    text = page_of(tmp_path)
    assert "Plates &lt;1&gt;" in text
    assert "a&lt;b" in text
    assert "c&amp;d" in text


def test_a_baseline_stands_beside_the_bundle(tmp_path: Path) -> None:
    """With a baseline there is an overview and a second column."""
    records = inspect_source(oracle, labelled_frames())
    text = page_of(tmp_path, baseline={"name": "train-mean", **evaluate_records(records)})
    assert "plate, train-mean" in text
    assert "Overview" in text


def test_without_threshold_parts_are_called_by_their_label(tmp_path: Path) -> None:
    """An uncalibrated bundle has no verdicts to show; nothing pretends otherwise."""

    def open_ended(frame: Frame) -> Inspection:
        return replace(oracle(frame), threshold=float("nan"), verdict=Verdict.UNKNOWN)

    text = page_of(tmp_path, open_ended)
    assert "missed defect" not in text
    assert "Defects stopped" not in text
    assert ">defective<" in text


@pytest.mark.parametrize("answer", [refused])
def test_nothing_but_unknown_makes_a_page(tmp_path: Path, answer: object) -> None:
    """A source without a single score still gives a page with its reasons."""
    text = page_of(tmp_path, answer)
    assert "8 of 8 parts have no score" in text


def test_an_empty_source_makes_a_page(tmp_path: Path) -> None:
    """No frame: the page says so."""
    path = write_report(tmp_path / "r.html", evaluate_records([]), [], [], title="Nothing")
    assert "gave no frame" in path.read_text()
