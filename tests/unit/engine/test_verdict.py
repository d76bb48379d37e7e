from typing import Any

import pytest

from scc_operator.engine.verdict import Objection, TextStyle, aggregate, go_list, go_quote


@pytest.mark.parametrize(
    "text, quoted",
    [
        ("plain", '"plain"'),
        ("", '""'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1f\x7f", r'"\x00\x1f\x7f"'),
        ("é漢😀", '"é漢😀"'),
        ("\u0085\u00a0\u200b\ufeff", r'"\u0085\u00a0\u200b\ufeff"'),
        ("\U000e0001", r'"\U000e0001"'),
    ],
)
def test_strings_are_quoted_as_go_does(text: str, quoted: str) -> None:
    """What cannot be printed is escaped, printable Unicode is kept (spec appendix A)."""
    assert go_quote(text) == quoted


@pytest.mark.parametrize(
    "value, go, json",
    [
        (True, "true", "true"),
        (False, "false", "false"),
        (-5, "-5", "-5"),
        ("s0", '"s0"', '"s0"'),
        (None, '"null"', "null"),
        ((1, 5, 2), "[]int64{1, 5, 2}", "[1,5,2]"),
        ((), "[]int64{}", "[]"),
    ],
)
def test_values_are_printed_in_either_style(value: Any, go: str, json: str) -> None:
    """Up to Kubernetes 1.33 values look like Go, from 1.34 on like JSON (spec appendix A, D)."""
    objection = Objection("Invalid", "path", value, "detail", "Code")
    assert objection.text == f"path: Invalid value: {go}: detail"
    assert objection.text_in(TextStyle.JSON) == f"path: Invalid value: {json}: detail"


def test_forbidden_shows_no_value() -> None:
    """A Forbidden objection has a path and a detail only."""
    assert Objection("Forbidden", "path", None, "detail", "Code").text == "path: Forbidden: detail"


@pytest.mark.parametrize(
    "texts, expected", [([], "<nil>"), (["a"], "a"), (["a", "a"], "a"), (["b", "a", "b"], "[b, a]")]
)
def test_several_texts_become_one(texts: Any, expected: Any) -> None:
    """Duplicates vanish, and only more than one text is put in brackets (spec §6.3)."""
    assert aggregate(texts) == expected


def test_go_lists_have_spaces_and_keep_duplicates() -> None:
    """A list that Go prints as such has no commas."""
    assert go_list(["a", "a"]) == "[a a]"
    assert go_list([]) == "[]"
