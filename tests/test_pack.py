"""The methods that come with gitexp: their form, their page, and that the package carries them."""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from gitexp.cli.methods_page import markdown
from gitexp.library import pack as pack_module
from gitexp.library.pack import BY, TIME, VERSION, pack
from gitexp.methods.cards import card_of, fault_of, method_of
from gitexp.records.library import Method
from gitexp.store.library import decode_line, encode_line

PACK = pack()
SLUGS = {method.slug for method in PACK}
DOCS = Path(__file__).parents[1] / "docs"
ARXIV = re.compile(r"arxiv-(\d{2})(0[1-9]|1[0-2])\.\d{4,5}")
REPOSITORIES = re.compile(
    r"https://(github\.com/[\w-]+/[\w.-]+|kellerjordan\.github\.io/posts/muon/)"
)


def named(slug: str) -> Method:
    return next(method for method in PACK if method.slug == slug)


def test_there_are_enough_methods_in_several_families() -> None:
    assert len(PACK) >= 40
    assert len({method.family for method in PACK}) >= 8


def test_every_slug_name_and_alias_belongs_to_one_method() -> None:
    names = [
        name
        for method in PACK
        for name in {text.casefold() for text in (method.slug, method.name, *method.aliases)}
    ]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("method", PACK, ids=lambda method: method.slug)
def test_method_is_a_card_that_could_be_added(method: Method) -> None:
    assert fault_of(method) == ""
    assert method_of(card_of(method), (TIME, BY)) == method
    assert decode_line(encode_line(method)) == method


@pytest.mark.parametrize("method", PACK, ids=lambda method: method.slug)
def test_method_says_all_that_an_agent_needs(method: Method) -> None:
    assert 80 <= len(method.summary) <= 500
    assert 40 <= len(method.apply) <= 400
    assert method.scope.endswith(".")
    assert method.risks
    assert all(risk.endswith(".") and len(risk) <= 200 for risk in method.risks)
    assert method.knobs
    assert method.signature
    assert set(method.supersedes) <= SLUGS


@pytest.mark.parametrize("method", PACK, ids=lambda method: method.slug)
def test_method_has_references_with_well_formed_ids(method: Method) -> None:
    assert method.references
    for reference in method.references:
        assert len(reference.title) >= 8
        assert (reference.paper is None) != (reference.url is None)
        assert reference.paper is None or ARXIV.fullmatch(reference.paper)
        assert reference.url is None or REPOSITORIES.fullmatch(reference.url)


def test_one_paper_has_one_title_and_one_title_one_paper() -> None:
    pairs = {(ref.paper or ref.url, ref.title) for method in PACK for ref in method.references}
    assert len({place for place, _ in pairs}) == len({title for _, title in pairs}) == len(pairs)


def test_numeric_knobs_have_ranges() -> None:
    for method in PACK:
        for knob in method.knobs:
            if not knob.choices:
                assert knob.low is not None
                assert knob.high is not None
                assert knob.low <= knob.high


def test_no_signature_of_a_method_is_that_of_another() -> None:
    entries = Counter(frozenset(words) for method in PACK for words in method.signature)
    assert [set(entry) for entry, count in entries.items() if count > 1] == []


def test_pack_has_the_methods_that_small_language_models_are_made_of() -> None:
    assert {"swiglu", "relu-squared", "gqa", "muon", "adamw", "rope", "rmsnorm"} <= SLUGS
    assert {"qk-norm", "z-loss", "value-embeddings", "warmdown", "mup", "weight-decay"} <= SLUGS
    assert {"sliding-window-attention", "logit-softcap", "mixture-of-experts"} <= SLUGS


def test_pack_is_the_same_in_every_clone() -> None:
    assert {(method.time, method.by) for method in PACK} == {(TIME, BY)}
    assert VERSION >= 1
    assert pack() is PACK


def test_pack_lies_beside_its_module_where_wheels_take_it_from() -> None:
    folder = resources.files("gitexp.library")
    assert folder.joinpath("pack.json").is_file()
    assert Path(pack_module.__file__).with_name("pack.json").is_file()


def test_page_lists_every_method_with_its_references() -> None:
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert page == markdown(PACK), "run: python -m gitexp.cli.methods_page"
    for method in PACK:
        assert f"### {method.slug}\n" in page
        for reference in method.references:
            assert reference.title in page
    assert "https://arxiv.org/abs/2002.05202" in page


def test_page_links_lead_somewhere() -> None:
    page = markdown(PACK)
    heads = set(re.findall(r"^### (.+)$", page, re.MULTILINE))
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= heads


def test_gated_feed_forwards_cite_the_paper_on_them() -> None:
    assert named("swiglu").references[0].paper == "arxiv-2002.05202"
    assert named("swiglu").references[0].title == "GLU Variants Improve Transformer"
