"""Cards of methods: what people may write, and what they are told where they may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitexp.errors import GitexpError, UsageError
from gitexp.library.pack import pack
from gitexp.methods.cards import (
    MAX_BYTES,
    TEMPLATE,
    card_of,
    card_text,
    fault_of,
    method_of,
    parse_card,
    reference_of,
    slug_of,
    with_fields,
)

STAMP = ("2026-01-31T12:00:00.000000Z", "Ada <ada@example.org>")
CARD: dict[str, Any] = json.loads(TEMPLATE)


def card(**fields: Any) -> dict[str, Any]:
    return CARD | fields


def test_template_is_a_card() -> None:
    method = parse_card(TEMPLATE.encode(), STAMP)
    assert method.slug == "my-method"
    assert (method.time, method.by) == STAMP
    assert fault_of(method) == ""


def test_card_of_a_method_gives_the_method_again() -> None:
    for method in pack():
        assert parse_card(card_text(method).encode(), (method.time, method.by)) == method


def test_card_has_every_field_also_where_it_is_empty() -> None:
    least = {"slug": "a", "name": "A", "family": "x", "summary": "s"}
    assert list(card_of(method_of(least, STAMP))) == list(CARD)


def test_card_may_be_toml() -> None:
    text = 'slug = "a-b"\nname = "A"\nfamily = "x"\nsummary = "s"\nsignature = [["a_b"]]\n'
    assert parse_card(text.encode(), STAMP).signature == (("a_b",),)


def test_what_the_library_puts_in_is_passed_over_in_a_card() -> None:
    method = method_of(card(time="never", by="nobody", schema=9, kind="paper"), STAMP)
    assert (method.time, method.by) == STAMP


def test_signatures_are_taken_in_any_case() -> None:
    method = method_of(card(signature=[["SwiGLU", "USE_IT"]]), STAMP)
    assert method.signature == (("swiglu", "use_it"),)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"slug": "Not A Slug"}, "is no slug"),
        ({"slug": "arxiv-2002.05202"}, "is no slug"),
        ({"name": "n" * 101}, "its name has 101 characters"),
        ({"summary": "red\x1b[31m"}, "control characters"),
        ({"aliases": ["a", ""]}, "one of its aliases is empty"),
        ({"aliases": ["a"] * 101}, "more than 100 aliases"),
        ({"risks": ["x" * 501]}, "its risks has 501"),
        ({"signature": [[]]}, "no words"),
        ({"signature": [["two words"]]}, "is no identifier"),
        ({"signature": [["a"]]}, "is no identifier"),
        ({"signature": [["ab"]] * 101}, "more than 100 signature"),
        ({"supersedes": ["my-method"]}, "supersedes itself"),
        ({"knobs": [{"name": "x", "symbol": ""}]}, "no symbol"),
        ({"knobs": [{"name": "x", "symbol": "x", "low": 2, "high": 1}]}, "a range that is none"),
        ({"knobs": [{"name": "x", "symbol": "x", "low": float("nan")}]}, "a range that is none"),
        (
            {"knobs": [{"name": "x", "symbol": "x", "low": 0, "scale": "log"}]},
            "begins at 0",
        ),
        ({"knobs": [{"name": "x", "symbol": "x", "scale": "choice"}]}, "with choices"),
        ({"knobs": [{"name": "x", "symbol": "x", "choices": ["a"]}]}, "with choices"),
        ({"references": [{"title": "t", "paper": "2002.05202"}]}, "is no id of a paper"),
        ({"references": [{"title": "t", "url": "file:///etc/passwd"}]}, "is no address"),
        ({"references": [{"title": "t", "url": "https://me:secret@x.org/"}]}, "is no address"),
        ({"references": [{"title": ""}]}, "has no title"),
        ({"references": [{"title": "t" * 501}]}, "more than 500"),
    ],
)
def test_card_with_a_fault_is_refused_with_what_is_wrong(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(GitexpError, match="cannot be taken") as caught:
        method_of(card(**fields), STAMP)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"slug = ", "cannot be read"),
        (b"{" + b'"a":[' * 30_000, "cannot be read"),
        (b'{"slug": "a", "nmae": "A"}', "no field 'nmae'"),
        (b'{"slug": "a"}', "no name and no family and no summary"),
        (b'{"slug": "a", "name": 7, "family": "x", "summary": "s"}', "cannot be understood"),
        (
            b'{"slug": "a", "name": "n", "family": "x", "summary": "s", "knobs": [{"low": 1'
            + b"0" * 400
            + b', "name": "k", "symbol": "k"}]}',
            "card cannot be",
        ),
        (b" " * (MAX_BYTES + 1), "too long"),
    ],
)
def test_what_is_no_card_is_refused_with_a_sentence(content: bytes, said: str) -> None:
    with pytest.raises(GitexpError) as caught:
        parse_card(content, STAMP)
    assert said in caught.value.message
    assert caught.value.hint


def test_near_field_is_suggested() -> None:
    with pytest.raises(GitexpError) as caught:
        method_of(card(signatures=[]), STAMP)
    assert caught.value.hint == "Did you mean 'signature'?"


def test_fields_are_set_one_by_one() -> None:
    method = method_of(CARD, STAMP)
    changed = with_fields(
        method,
        [
            "family=loss",
            "summary=1 = one",
            "aliases=a, b",
            'risks=["r, s."]',
            'signature=[["New_Word"]]',
        ],
        STAMP,
    )
    assert changed.family == "loss"
    assert changed.summary == "1 = one"
    assert changed.aliases == ("a", "b")
    assert changed.risks == ("r, s.",)
    assert changed.signature == (("new_word",),)
    assert changed.apply == method.apply


@pytest.mark.parametrize("setting", ["family", "colour=red", "knobs=[", "knobs={", "=x"])
def test_settings_that_set_nothing_are_refused(setting: str) -> None:
    with pytest.raises(UsageError):
        with_fields(method_of(CARD, STAMP), [setting], STAMP)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("ReLU² gate", "relu-gate"), ("  Muon!", "muon"), ("x" * 80, "x" * 64), ("---", "")],
)
def test_slugs_are_made_of_names(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("text", "paper", "url"),
    [
        ("2002.05202", "arxiv-2002.05202", None),
        ("arXiv:2002.05202v2", "arxiv-2002.05202", None),
        ("https://arxiv.org/abs/2002.05202", "arxiv-2002.05202", None),
        ("repo-0123456789ab", "repo-0123456789ab", None),
        ("https://example.org/post", None, "https://example.org/post"),
    ],
)
def test_references_are_made_of_ids_and_addresses(
    text: str, paper: str | None, url: str | None
) -> None:
    reference = reference_of(text)
    assert (reference.paper, reference.url) == (paper, url)
    assert reference.title


@pytest.mark.parametrize("text", ["", "a paper", "ftp://x.org", "https://me:pw@x.org/"])
def test_what_names_no_paper_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        reference_of(text)
