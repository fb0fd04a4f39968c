"""Decision packets for people: what stands in them, and that no text gets out of its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitexp.render.markdown import code, escaped, table
from gitexp.render.packet import next_command, noise_sentence, packet_markdown, packet_text
from tests.full_store import HOSTILE, full_decision, is_harmless

RUN, OTHER, BASE = "a" * 40, "c" * 40, "b" * 40
DOCUMENT = {"run": RUN, "name": "wider", "hypothesis": "more is better"}


def packet(**more: Any) -> dict[str, Any]:
    return {**msgspec.to_builtins(full_decision(OTHER)), **more}


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("promote", "git exp verdict aaaaaaaaaaaa keep"),
        ("replicate", "git exp replicate aaaaaaaaaaaa -n 3"),
        ("replicate_champion", "git exp replicate cccccccccccc -n 3"),
        ("measure_noise", "git exp replicate cccccccccccc -n 3"),
        ("retry", "git exp replicate aaaaaaaaaaaa -n 1"),
        ("branch_followup", "git exp checkout aaaaaaaaaaaa"),
        ("abandon", "git exp checkout cccccccccccc"),
        ("fix_and_retry", "git exp checkout aaaaaaaaaaaa"),
        ("investigate_crash", "git exp show aaaaaaaaaaaa"),
        (
            "retest_on_new_base",
            f"git exp checkout {OTHER[:12]} && git diff {OTHER[:12]} {RUN[:12]} | git apply --3way",
        ),
    ],
)
def test_every_action_has_the_command_to_type(action: str, command: str) -> None:
    assert next_command(RUN, packet(action=action)) == command


def test_without_a_champion_the_command_is_about_the_run() -> None:
    bare = packet(action="measure_noise", comparison=None, base=None)
    assert next_command(RUN, bare) == "git exp replicate aaaaaaaaaaaa -n 3"
    assert "git diff aaaaaaaaaaaa^ aaaaaaaaaaaa" in next_command(
        RUN, {**bare, "action": "retest_on_new_base"}
    )


@pytest.mark.parametrize(
    "bad", ["x; rm -rf /", "c" * 39, "C" * 40, "$(x)" * 10, "c" * 40 + "\n", 7]
)
def test_only_ids_of_runs_get_into_a_command(bad: object) -> None:
    comparison = {**packet()["comparison"], "champion": bad}
    for action in ("replicate_champion", "measure_noise", "retest_on_new_base"):
        hostile = packet(action=action, comparison=comparison, base=bad)
        assert next_command(RUN, hostile).replace(RUN[:12], "").isascii()
        assert str(bad)[:12] not in next_command(RUN, hostile)


def test_an_absurd_number_of_replicates_is_not_proposed() -> None:
    comparison = {**packet()["comparison"], "replicates": 10**9}
    assert next_command(RUN, packet(comparison=comparison)).endswith("-n 20")


def test_on_a_terminal_a_packet_is_a_few_lines() -> None:
    text = packet_text(DOCUMENT, packet())
    assert text.splitlines()[0] == "run aaaaaaaaaaaa  wider"
    assert "replicate (medium priority)" in text
    assert "P(better than cccccccccccc) = 0.80, gain 0.25 (90%: -0.1 to 0.6)" in text
    assert "git exp replicate aaaaaaaaaaaa -n 3" in text
    assert "noise is unmeasured" in text
    assert len(text.splitlines()) <= 10


def test_the_markdown_has_everything_that_was_decided() -> None:
    text = packet_markdown(DOCUMENT, packet())
    for part in (
        "# Decision: replicate, run `aaaaaaaaaaaa` wider",
        "what happened",
        "```\ngit exp replicate aaaaaaaaaaaa -n 3\n```",
        "Hypothesis: mixed: more is better",
        "Provisional: yes",
        "- why",
        "| champion | `cccccccccccc` | 0.75 | 2 |",
        "P(better) = 0.800",
        "P(better by 0.01) = 0.700",
        "| `cccccccccccc` | text | 0.50 | alike |",
        "ValueError in train.py",
    ):
        assert part in text
    assert text.endswith(".\n")


def test_a_packet_with_the_least_content_is_shown_too() -> None:
    bare = {
        "action": "investigate_crash",
        "priority": "high",
        "hypothesis_status": "inconclusive",
        "summary": "it crashed",
        "next_action": "look",
        "metric": "loss",
        "goal": "max",
    }
    assert "higher is better" in packet_markdown({"run": RUN}, bare)
    assert "Value: none" in packet_markdown({"run": RUN}, bare)
    assert "git exp show" in packet_text({"run": RUN}, bare)


def test_hostile_texts_stay_where_they_are() -> None:
    bad = f"{HOSTILE}\n# Run `rm -rf /` | <script>alert(1)</script> [x](http://e) ```"
    fields = dict.fromkeys(("summary", "next_action", "signature", "rules", "metric", "time"), bad)
    evidence = [{"run": bad, "level": "text", "score": 0.5, "why": bad}]
    hostile = packet(
        **fields,
        rationale=(bad,),
        comparison={**packet()["comparison"], "champion": bad},
        novelty={"classification": "novel", "evidence": evidence},
    )
    document = {"run": RUN, "name": bad, "hypothesis": bad}
    shown = packet_markdown(document, hostile)
    assert is_harmless(shown)
    assert is_harmless(packet_text(document, hostile))
    assert "<script>" not in shown
    assert "\n# Run" not in shown
    assert shown.count("```") == 2
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"measured": True, "sd": 0.1, "degrees": 4.0}, "standard deviation of 0.1 (4 degrees"),
        ({"measured": False, "sd": 0.2}, "Noise is unmeasured; 0.2 is assumed"),
    ],
)
def test_what_is_known_of_noise_is_one_sentence(noise: dict[str, Any], said: str) -> None:
    assert said in noise_sentence(noise)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>*x*</b>", "\\<b\\>\\*x\\*\\</b\\>"),
        ("- a", "\\- a"),
        ("1. a", "1\\. a"),
        ("0.5 of it", "0.5 of it"),
        ("2026-01-31", "2026-01-31"),
        ("--- ", "\\---"),
        ("a\nb", "a b"),
        ("&lt;", "\\&lt;"),
    ],
)
def test_markdown_is_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_code_may_hold_backticks() -> None:
    assert code("a") == "`a`"
    assert code("a `b` ``c``") == "``` a `b` ``c`` ```"


def test_a_table_has_a_rule_that_says_which_columns_are_numbers() -> None:
    assert table(["a", "b:"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
