"""What models and agents answer, and what is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp.providers.port import ProviderError
from gitexp.providers.reply import (
    AGENT_FORMAT,
    FORMAT,
    MAX_EDITS,
    MAX_REPLY_LENGTH,
    PROPOSAL_FILE,
    Draft,
    Edit,
    parse_reply,
    read_proposal,
)

ANSWER = """\
title: Warm up the learning rate
hypothesis: The first steps are too large.
cites: lr-warmup, muon
predicted: -0.004

FILE: train.py
<<<<<<< SEARCH
lr = 0.1
=======
lr = 0.1 * warm(step)
>>>>>>> REPLACE
"""
EDIT = Edit("train.py", "lr = 0.1\n", "lr = 0.1 * warm(step)\n")


def block(search: str, replace: str, path: str = "a.py") -> str:
    return f"FILE: {path}\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


def draft_or_sentence(read: Callable[[], Draft]) -> Draft | None:
    """Return a draft whose texts are printable, or check that what was said is."""
    message = ""
    try:
        draft = read()
    except ProviderError as error:
        message, draft = error.message, None
    assert message.isprintable()
    assert draft is None or (draft.title + draft.hypothesis).isprintable()
    return draft


def refusal(text: str) -> str:
    with pytest.raises(ProviderError) as caught:
        parse_reply(text)
    return caught.value.message


def test_the_plain_form() -> None:
    assert parse_reply(ANSWER) == Draft(
        "Warm up the learning rate",
        "The first steps are too large.",
        ("lr-warmup", "muon"),
        -0.004,
        (EDIT,),
    )


def test_the_example_that_the_prompt_shows_is_an_answer() -> None:
    draft = parse_reply(FORMAT)
    assert draft.edits == (
        Edit(
            "path/of/the/file.py",
            "lines as they are in the file\n",
            "lines that replace them\n",
        ),
    )


def test_prose_fences_and_decoration_are_skipped() -> None:
    text = f"""Sure, here is my idea!

**Title:** Warm up the learning rate
### Hypothesis: The first steps
are too large.

- cites: [`lr-warmup`, `Muon`]
- predicted change: ~ -0.004 val_bpb

First I change `train.py`:

**FILE: `train.py`**
```python
{ANSWER.partition("FILE: train.py")[2].strip()}
```
I hope that this helps. title: not this one
"""
    assert parse_reply(text.replace("\n", "\r\n")) == Draft(
        "Warm up the learning rate",
        "The first steps are too large.",
        ("lr-warmup", "muon"),
        -0.004,
        (EDIT,),
    )


def test_a_path_may_stand_alone_before_the_edit() -> None:
    text = ANSWER.replace("FILE: train.py", "`./pkg/train.py`:\n\n```")
    assert parse_reply(text).edits[0].path == "pkg/train.py"


def test_several_edits_under_one_file_and_a_new_file() -> None:
    more = block("a\n", "b\n").partition("\n")[2]
    text = "title: t\n" + block("x\n", "") + more + block("", "new\n", "b.py")
    assert parse_reply(text).edits == (
        Edit("a.py", "x\n", ""),
        Edit("a.py", "a\n", "b\n"),
        Edit("b.py", "", "new\n"),
    )


def test_wider_marks_let_a_line_of_equals_signs_be_content() -> None:
    text = "title: t\nFILE: a.rst\n<<<<<<<< SEARCH\nA\n=======\n========\nB\n=======\n"
    edit = parse_reply(text + ">>>>>>>> REPLACE\n").edits[0]
    assert edit == Edit("a.rst", "A\n=======\n", "B\n=======\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no edits"),
        ("title: t\nI would not change anything.", "no edits"),
        (block("a\n", "b\n"), "no title"),
        ("title:   \n" + block("a\n", "b\n"), "no title"),
        ("title: t\n" + block("a\n", "b\n").replace("FILE: a.py\n", ""), "names no file"),
        ("title: t\n" + block("a\n", "b\n").replace(">>>>>>> REPLACE\n", ""), "ends within"),
        ("title: t\n" + block("a\n", "b\n").replace("=======\n", ""), "has no line '======='"),
        ("title: t\n" + block("a\n=======\nb\n", "c\n"), "more than one line '======='"),
        ("title: t\n" + block("a\n", "a\n"), "changes nothing"),
        ("title: t\n>>>>>>> REPLACE\n", "Line 2 of the answer ends an edit"),
        ("title: t\n" + block("a\n<<<<<<< SEARCH\n", "b\n"), "within another"),
        ("title: t\n" + block("a\n", "b\n") * (MAX_EDITS + 1), "more than 100 edits"),
        ("title: t\n" + block("a\n", "b\n", "x" * 2000), "more than 1024 bytes"),
        ("x" * (MAX_REPLY_LENGTH + 1), "more than"),
    ],
)
def test_what_cannot_be_understood_is_a_sentence(text: str, part: str) -> None:
    message = refusal(text)
    assert part in message
    assert message.endswith(".")
    assert message.isprintable()


def test_the_header_has_no_control_characters_and_is_bounded() -> None:
    text = ANSWER.replace("Warm up", "\x1b[31mWarm\x07\u202e up" + "!" * 10_000)
    title = parse_reply(text.replace("cites: ", "cites: " + "m, " * 5000)).title
    assert title.isprintable()
    assert len(title) == 200


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("", None),
        ("-0.004", -0.004),
        ("\N{MINUS SIGN}1e-3 val_bpb", -1e-3),
        ("-1%", None),
        ("better", None),
        ("nan", None),
        ("1e999", None),
        ("0.1 to 0.2", None),
    ],
)
def test_a_predicted_change_is_a_number_or_unknown(said: str, number: float | None) -> None:
    assert parse_reply(ANSWER.replace("-0.004", said)).predicted == number


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *ANSWER.split("\n"),
                "```",
                "<<<<<<<< SEARCH",
                "FILE:",
                "\x00\x1b",
                "\udcff",
                "=" * 8,
                "predicted: 9" * 9,
            ]
        )
        | st.text(max_size=20),
        max_size=30,
    )
)
def test_any_answer_is_a_draft_or_a_sentence(lines: list[str]) -> None:
    draft = draft_or_sentence(lambda: parse_reply("\n".join(lines)))
    if draft is not None:
        assert draft.edits
        assert all(edit.path and edit.search != edit.replace for edit in draft.edits)


@settings(max_examples=100, deadline=None)
@given(st.text("ab=<>\n SEARCHREPL", max_size=60), st.text("ab=<>\n", max_size=60))
def test_what_was_written_as_an_edit_is_read_as_that_edit(search: str, replace: str) -> None:
    search, replace = (f"{t}\n" if t and not t.endswith("\n") else t for t in (search, replace))
    written = f"<<<<<<<<< SEARCH\n{search}{'=' * 9}\n{replace}>>>>>>>>> REPLACE\n"
    marks = ("SEARCH", "REPLACE", "=========")
    if search == replace or any(mark in search + replace for mark in marks):
        return
    assert parse_reply(f"title: t\nFILE: a\n{written}").edits == (Edit("a", search, replace),)


# Agents


SAID = {"title": "Warm up", "hypothesis": "h", "cites": ["muon", 3], "predicted": -0.5}


def test_an_agent_leaves_a_file_which_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / PROPOSAL_FILE).write_text(json.dumps(SAID))
    draft = read_proposal(tmp_path, '{"title": "in the output"}')
    assert draft == Draft("Warm up", "h", ("muon",), -0.5, ())
    assert not (tmp_path / PROPOSAL_FILE).exists()


def test_the_last_object_with_a_title_in_the_output_counts(tmp_path: Path) -> None:
    output = f'{{"title": "old"}} then {json.dumps(SAID | {"more": {"a": {}}})} {{"x": 1}} {{'
    assert read_proposal(tmp_path, output).title == "Warm up"


def test_an_agent_may_say_a_header_or_just_a_last_line(tmp_path: Path) -> None:
    assert read_proposal(tmp_path, "title: A\npredicted: 2\nbye").predicted == 2.0
    assert read_proposal(tmp_path, "I did\nwarm up.\n\n").title == "warm up."
    with pytest.raises(ProviderError, match="no title"):
        read_proposal(tmp_path, " \n")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 30_000, b" " * (1 << 17), b"{}"])
def test_a_file_that_is_no_proposal_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROPOSAL_FILE).write_bytes(content)
    with pytest.raises(ProviderError):
        read_proposal(tmp_path, json.dumps(SAID))


def test_links_pipes_and_folders_are_no_proposals(tmp_path: Path) -> None:
    place, other = tmp_path / PROPOSAL_FILE, tmp_path / "other"
    other.write_text(json.dumps(SAID))
    place.symlink_to(other)
    with pytest.raises(ProviderError):
        read_proposal(tmp_path, "")
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ProviderError):
        read_proposal(tmp_path, "")
    place.unlink()
    place.mkdir()
    with pytest.raises(ProviderError):
        read_proposal(tmp_path, "")


def test_the_agents_format_is_what_is_read(tmp_path: Path) -> None:
    example = AGENT_FORMAT[AGENT_FORMAT.index("{") : AGENT_FORMAT.rindex("}") + 1]
    draft = read_proposal(tmp_path, example)
    assert (draft.cites, draft.predicted) == (("slugs", "of", "methods"), -0.004)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300) | st.text('{}[]":, title', max_size=300))
def test_any_output_is_a_draft_or_a_sentence(output: str) -> None:
    draft_or_sentence(lambda: read_proposal(Path("/nonexistent"), output))
