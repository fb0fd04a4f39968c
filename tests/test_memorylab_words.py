"""How MemoryLab reads texts and how alike it finds them, from the text of its description."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.memorylab import words
from gitexp.memorylab.similarity import is_same, read, similarity, similarity_from

PHRASES = """
learning rate -> lr
step size -> lr
matrix learning rate -> matrix_lr
embedding learning rate -> embedding_lr
unembedding learning rate -> unembedding_lr
scalar learning rate -> scalar_lr
matrix lr -> matrix_lr
value embedding -> value_embedding
value embeddings -> value_embedding
cuda out of memory -> oom
out of memory -> oom
warm down -> warmdown
cool down -> warmdown
gradient accumulation -> grad_accum
batch size -> batch_size
window pattern -> window_pattern
attention window -> window_pattern
head dimension -> head_dim
model width -> width
"""
ALIASES = """
up: increase increasing raise higher boost larger bigger
down: decrease decreasing lower reduce reducing shorten smaller
warmdown: cooldown
sched: schedule
optim: optimizer
act: activation
gated_act: geglu swiglu glu
"""
CONCEPTS = """
lr: lr matrix_lr embedding_lr unembedding_lr scalar_lr
schedule: warmup warmdown sched
memory: oom memory vram
architecture: width depth head_dim heads attention window_pattern act mlp value_embedding
batching: batch_size grad_accum tokens sequence context
optimizer: muon adamw optim weight_decay beta
"""
STOP_WORDS = (
    "without a an and are as at baseline be by for from if in into is it keep of on or the to "
    "try up use with"
)


def pairs(table: str) -> list[tuple[str, str]]:
    """Return (word, what it becomes) of a table with one target a line."""
    lines = [line.split(": ") for line in table.strip().splitlines()]
    return [(word, target) for target, many in lines for word in many.split()]


@pytest.mark.parametrize("line", PHRASES.strip().splitlines())
def test_each_phrase_becomes_its_alias(line: str) -> None:
    phrase, _, alias = line.partition(" -> ")
    assert words.normalised(f"set the {phrase.title()}!") == f"set the {alias}"
    assert words.normalised(phrase.replace(" ", "-")) == alias
    assert len(words.PHRASES) == len(PHRASES.strip().splitlines())


def test_longest_phrase_goes_first_and_phrases_are_replaced_inside_of_words() -> None:
    assert words.normalised("unembedding learning rate") == "unembedding_lr"
    assert words.normalised("prematrix learning rates") == "prematrix_lrs"
    assert words.normalised("matrix step size") == "matrix_lr"
    assert words.normalised("value embedding learning rate") == "value_embedding_lr"


@pytest.mark.parametrize(("word", "alias"), pairs(ALIASES))
def test_each_word_becomes_its_alias(word: str, alias: str) -> None:
    assert words.normalised(f"x {word.upper()} y") == f"x {alias} y"
    assert words.normalised(f"x{word}") == f"x{word}"


@pytest.mark.parametrize("word", STOP_WORDS.split())
def test_each_stop_word_is_no_token(word: str) -> None:
    assert words.tokens(words.normalised(f"{word} depth")) == {"depth"}


def test_tokens_have_three_characters_or_are_well_known() -> None:
    assert words.tokens("lr kv ve fa mlp oom x xy xyz 12 128") == {
        *("lr", "kv", "ve", "fa", "mlp", "oom", "xyz", "128")
    }
    assert frozenset(STOP_WORDS.split()) == words.STOP_WORDS


def test_up_is_lost_because_it_is_an_alias_and_a_stop_word() -> None:
    assert words.tokens(words.normalised("increase depth")) == {"depth"}
    assert words.tokens(words.normalised("decrease depth")) == {"down", "depth"}


@pytest.mark.parametrize(("word", "concept"), pairs(CONCEPTS))
def test_each_word_is_of_its_concept(word: str, concept: str) -> None:
    assert words.concepts(word) == {concept}
    assert words.concepts(f"{word}s x{word}") == set()


def test_decimals_are_split_into_two_numbers() -> None:
    normal = words.normalised("lr 0.04, depth 12")
    assert normal == "lr 0 04 depth 12"
    assert words.numbers(normal) == {"0", "04", "12"}
    assert words.concepts(normal) == {"lr", "architecture", "num:0", "num:04", "num:12"}


def test_tags_are_lower_case_without_repeats() -> None:
    assert words.tags(["Learning Rate!", "a_b-C", "a_b-c", "", "  ", "x//y"]) == [
        *("learning-rate", "a_b-c", "x-y")
    ]


def oracle(a: str, b: str) -> float:
    """Similarity once more, straight from the formula, for texts without phrases and aliases."""

    def sets(text: str) -> tuple[str, set[str], set[str], set[str]]:
        said = re.findall(r"[a-z0-9_]+", text.lower().replace("-", " "))
        kept = {w for w in said if w not in STOP_WORDS.split() and (len(w) > 2 or w == "lr")}
        about = dict(pairs(CONCEPTS))
        figures = {w for w in said if w.isdigit()}
        return (
            " ".join(said),
            kept,
            {about[w] for w in said if w in about} | {f"num:{n}" for n in figures},
            figures,
        )

    def jaccard(x: set[str], y: set[str]) -> float:
        return len(x & y) / len(x | y) if x | y else 0.0

    left, right = sets(a), sets(b)
    ratio = SequenceMatcher(None, left[0], right[0]).ratio()
    rest = [jaccard(x, y) for x, y in zip(left[1:], right[1:], strict=True)]
    return round(0.30 * ratio + 0.35 * rest[0] + 0.25 * rest[1] + 0.10 * rest[2], 3)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("lr 0.04", "lr 0.4", 0.785),
        ("depth 12", "depth 12", 1.0),
        ("depth", "depth", 0.9),
        ("rotary", "rotary", 0.65),
        ("abc", "xyz", 0.0),
        ("", "", 0.3),
    ],
)
def test_similarity_is_the_formula(a: str, b: str, expected: float) -> None:
    assert similarity(read(a), read(b)) == expected == oracle(a, b)


TEXTS = st.lists(
    st.sampled_from(["lr", "warmup", "depth", "muon", "head", "0.04", "0.4", "12", "with", "norm"]),
    max_size=8,
).map(" ".join)


@given(TEXTS, TEXTS, st.sampled_from([0.0, 0.3, 0.54, 0.62, 0.785, 0.9, 0.99]))
def test_what_is_skipped_is_below_the_threshold(a: str, b: str, least: float) -> None:
    exact = similarity(read(a), read(b))
    assert exact == oracle(a, b)
    assert similarity_from(read(a), read(b), least) == (exact if exact >= least else None)


def test_swiglu_and_geglu_are_the_same_idea() -> None:
    a, b = read("try SwiGLU"), read("try GeGLU")
    assert is_same(a, b, similarity(a, b))


def test_very_alike_texts_of_the_same_tokens_are_the_same_idea() -> None:
    a = read("set the depth to 12 and the matrix learning rate to 100 for this one here")
    b = read("set the depth to 12 and the matrix learning rate to 100 for this one, as here")
    assert a.text != b.text
    score = similarity(a, b)
    assert score >= 0.96
    assert is_same(a, b, score)
    assert not is_same(a, b, 0.959)
    assert not is_same(a, read("depth 12"), 0.97)
