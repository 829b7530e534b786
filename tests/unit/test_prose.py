"""The check of the language: each rule finds the sentence planted for it, and the pages have none."""

from __future__ import annotations

from pathlib import Path

import prose
import pytest


@pytest.mark.parametrize("rule", prose.RULES + prose.HELP_RULES, ids=lambda rule: rule.bad[:30])
def test_a_rule_finds_its_sentence_and_leaves_the_good_one(rule: prose.Rule) -> None:
    assert list(rule.found(rule.bad)), rule.bad
    assert not list(rule.found(rule.good)), rule.good
    assert {one.instead for one in prose.check("page", rule.bad, (rule,))} == {rule.instead}


def test_a_finding_names_page_and_line_and_says_what_to_write() -> None:
    (found,) = prose.check("docs/page.md", "# Title\n\nA sentence.\nThe run is no\nminimum.\n")
    assert str(found) == "docs/page.md:4: 'is no'; better: 'is not a'"


@pytest.mark.parametrize(
    "text",
    [
        "It labels them anew. <!-- prose: allow -->",
        "Write `label anew` here.",
        "Run it:\n\n    hint label anew\n\nIt runs.",
        "```yaml\nkey: anew\n```",
        "See [the page](anew.md#anew).",
        "<!-- anew -->",
        "| a | `anew` |",
    ],
)
def test_code_comments_addresses_and_allowed_lines_are_skipped(text: str) -> None:
    assert not prose.check("page", text)


def test_an_allowed_line_does_not_allow_others() -> None:
    text = "It labels them anew. <!-- prose: allow -->\nIt labels them anew.\n"
    assert [one.line for one in prose.check("page", text)] == [2]


def test_prose_around_code_is_read() -> None:
    text = "- an item\n    that goes on anew\n\n    code anew\n\n```\nanew\n```\nAnew, `x`.\n"
    assert [one.line for one in prose.check("page", text)] == [2, 9]


def test_long_sentences_are_found() -> None:
    words = " ".join(f"word{number}" for number in range(prose.LONGEST))
    assert not prose.check("page", f"{words}. {words}; {words}.")
    (found,) = prose.check("page", f"A sentence.\n\nWord {words}.")
    assert found.line == 3 and "two sentences" in found.instead
    assert not prose.check("page", f"| {words} and more words |")


def test_pages_and_help_texts_are_plain_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert prose.main([]) == 0, capsys.readouterr().out


def test_a_planted_sentence_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("The errors of another method are no noise.\n")
    assert prose.main([str(page)]) == 1
    assert "page.md:1: 'are no'; better: 'is not a'" in capsys.readouterr().out


def test_a_planted_help_text_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "pages", dict)
    monkeypatch.setattr(prose, "help_texts", lambda: [("hint new --steps", "At most.")])
    assert prose.main([]) == 1
