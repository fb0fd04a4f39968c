r"""How a provider answers: a header and edits in a text, or a proposal beside edited files.

A model answers with a text. Its header says what is tried; each edit quotes the lines that it
replaces, so that it either fits the file as it is or is refused:

    title: Warm up the learning rate
    hypothesis: The first steps are too large.
    cites: lr-warmup, muon
    predicted: -0.004

    FILE: train.py
    <<<<<<< SEARCH
    lr = 0.1
    =======
    lr = 0.1 * min(1, step / 100)
    >>>>>>> REPLACE

What stands around it (prose, code fences) is skipped; what it says is taken strictly. An agent
that edits files itself says the header as a JSON object: in the file ``.gitexp-proposal.json`` at
the top of the worktree, or as the last one in its output.

Answers are by others. Their sizes are bounded, control characters are taken out of the header,
and each fault is a sentence that the next prompt can quote.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gitexp.providers.port import ProviderError
from gitexp.records.nested import clean_text

PROPOSAL_FILE = ".gitexp-proposal.json"
"""Where an agent that edits files leaves its proposal, at the top of the worktree."""

MAX_REPLY_LENGTH = 4 << 20
"""A longer answer is not read: it is no set of edits. In characters."""

MAX_EDITS = 100
MAX_PATH_BYTES = 1024
_MAX_TITLE = 200
_MAX_HYPOTHESIS = 4_000
_MAX_CITES = 20
_MAX_PROPOSAL_BYTES = 64 << 10
_SEARCHED = 256 << 10
"""How much of the end of an agent's output is searched for its proposal."""

_CANDIDATES = 200

_SEARCH = re.compile(r"(<{5,9}) ?SEARCH[ \t]*")
_DIVIDER = re.compile(r"(={5,9})[ \t]*")
_REPLACE = re.compile(r"(>{5,9}) ?REPLACE[ \t]*")
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})")
_FILE = re.compile(r"[\s#*>`-]*file(?:name)?[*`]*\s*[:=]", re.IGNORECASE)
_KEY = re.compile(
    r"[\s#*>-]*(title|hypothesis|cites|predicted)(?: change)?[*`]*\s*:", re.IGNORECASE
)
_DECORATION = " \t#*`\"':"
_NUMBER = re.compile(
    r"[~≈]?\s*(?P<number>[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?)"
    r"(?:\s+[A-Za-z_][\w./]*)?"
)
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")

FORMAT = """\
Answer with a header, then with edits. The header is four lines:

title: what is tried, in one line
hypothesis: why it should help
cites: the slugs of the methods that you put to work, separated by commas; empty if none
predicted: the change of the metric that you expect, as a number (-0.004); empty if unknown

Then each edit names its file and quotes, exactly and with its indentation, lines that occur once
in it, and what takes their place:

FILE: path/of/the/file.py
<<<<<<< SEARCH
lines as they are in the file
=======
lines that replace them
>>>>>>> REPLACE

Quote as few lines as make the place unique. Several edits of one file are made in their order. A
new file is an edit with nothing between SEARCH and the line of equals signs. If one edit does not
fit, none is made."""

AGENT_FORMAT = f"""\
Edit the files of the current folder. Do not commit, and start nothing that goes on after you.
Before you end, write the file {PROPOSAL_FILE} at the top of the folder, or print as the last thing,
a JSON object that says what you tried:

{{"title": "what is tried, in one line", "hypothesis": "why it should help",
 "cites": ["slugs", "of", "methods"], "predicted": -0.004}}

predicted is the change of the metric that you expect, or null."""


@dataclass(frozen=True)
class Edit:
    """A change of one place in one file.

    Attributes:
        path: Relative to the top of the worktree, with slashes.
        search: Text that occurs exactly once; empty where the file is new.
        replace: What takes its place.
    """

    path: str
    search: str
    replace: str


@dataclass(frozen=True)
class Draft:
    """What a provider proposes.

    Attributes:
        title: One line.
        hypothesis: Why it should help.
        cites: Slugs of methods.
        predicted: Change of the goal metric that is expected, in its units.
        edits: In the order in which they are made; none where the files were edited already.
    """

    title: str
    hypothesis: str = ""
    cites: tuple[str, ...] = ()
    predicted: float | None = None
    edits: tuple[Edit, ...] = ()


def parse_reply(text: str) -> Draft:
    """Read the answer of a model.

    Raises:
        ProviderError: It has no edits or no title, or one of its edits cannot be understood.
    """
    if len(text) > MAX_REPLY_LENGTH:
        raise ProviderError(
            f"The answer has {len(text)} characters; more than {MAX_REPLY_LENGTH} are not read."
        )
    lines = text.replace("\r\n", "\n").split("\n")
    prose, edits = _separated(lines)
    if not edits:
        raise ProviderError("The answer has no edits: no line '<<<<<<< SEARCH' is in it.")
    return _draft(_header(prose), tuple(edits))


# Edits


def _separated(lines: Sequence[str]) -> tuple[list[str], list[Edit]]:
    """Return what is no edit, and the edits.

    Raises:
        ProviderError: An edit cannot be understood, or there are too many.
    """
    prose: list[str] = []
    edits: list[Edit] = []
    path, since = "", 0
    numbered = iter(enumerate(lines))
    for number, line in numbered:
        if _REPLACE.fullmatch(line):
            raise ProviderError(f"Line {number + 1} of the answer ends an edit that has no SEARCH.")
        marker = _SEARCH.fullmatch(line)
        if marker is None:
            prose.append(line)
            continue
        if len(edits) == MAX_EDITS:
            raise ProviderError(f"The answer has more than {MAX_EDITS} edits.")
        path, since = _path(prose[since:]) or path, len(prose)
        block = _block((text for _, text in numbered), path, len(marker[1]))
        edits.append(_edit(path, block, len(marker[1])))
    return prose, edits


def _path(prose: Sequence[str]) -> str:
    """Return the file that the lines before an edit name; nothing if they name none."""
    for line in reversed(prose):
        if found := _FILE.match(line):
            return line[found.end() :].strip(_DECORATION).removeprefix("./")
    near = (line for line in reversed(prose) if line.strip() and not _FENCE.match(line))
    word = next(near, "").strip(_DECORATION)
    is_path = (
        len(word) <= MAX_PATH_BYTES and len(word.split()) == 1 and ("." in word or "/" in word)
    )
    return word.removeprefix("./") if is_path else ""


def _block(rest: Iterator[str], path: str, width: int) -> list[str]:
    """Return the lines between SEARCH and REPLACE."""
    block: list[str] = []
    for line in rest:
        end = _REPLACE.fullmatch(line)
        if end is not None and len(end[1]) == width:
            return block
        if _SEARCH.fullmatch(line):
            raise ProviderError(f"An edit of {_named(path)} begins within another one.")
        block.append(line)
    raise ProviderError(
        f"The answer ends within an edit of {_named(path)}: the line '>>>>>>> REPLACE' is missing."
    )


def _edit(path: str, block: Sequence[str], width: int) -> Edit:
    """Return the edit that a block stands for.

    Raises:
        ProviderError: It names no file, is not divided once, or changes nothing.
    """
    if not path:
        raise ProviderError("An edit names no file: put a line 'FILE: path' before it.")
    if len(path.encode("utf-8", "replace")) > MAX_PATH_BYTES:
        raise ProviderError(f"An edit names a file by more than {MAX_PATH_BYTES} bytes.")
    dividers = [
        i for i, line in enumerate(block) if (m := _DIVIDER.fullmatch(line)) and len(m[1]) == width
    ]
    if not dividers:
        raise ProviderError(f"An edit of {_named(path)} has no line '=======' in it.")
    if len(dividers) > 1:
        raise ProviderError(
            f"An edit of {_named(path)} has more than one line '=======', so where its search ends "
            f"is not certain: write all its three marks with 8 characters."
        )
    search, replace = _text(block[: dividers[0]]), _text(block[dividers[0] + 1 :])
    if search == replace:
        raise ProviderError(f"An edit of {_named(path)} changes nothing.")
    return Edit(path, search, replace)


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _named(path: str) -> str:
    return _one_line(path, _MAX_TITLE) or "a file that it does not name"


# The header


def _header(prose: Sequence[str]) -> dict[str, str]:
    """Return the first text of each key; that of the hypothesis goes on to an empty line."""
    found: dict[str, str] = {}
    current = None
    for line in prose:
        if match := _KEY.match(line):
            key = match[1].lower()
            current = key if key == "hypothesis" and key not in found else None
            found.setdefault(key, line[match.end() :].strip("*` \t"))
        elif current and line.strip() and not (_FILE.match(line) or _FENCE.match(line)):
            found[current] = f"{found[current]} {line.strip()}"[: 4 * _MAX_HYPOTHESIS]
        else:
            current = None
    return found


def _draft(said: Mapping[str, Any], edits: tuple[Edit, ...]) -> Draft:
    """Return the draft that a header, or a proposal, stands for.

    Raises:
        ProviderError: It has no title.
    """
    title = said.get("title")
    title = _one_line(title, _MAX_TITLE) if isinstance(title, str) else ""
    if not title:
        raise ProviderError("The answer has no title: say in a line 'title: …' what is tried.")
    hypothesis = said.get("hypothesis")
    return Draft(
        title,
        _one_line(hypothesis, _MAX_HYPOTHESIS) if isinstance(hypothesis, str) else "",
        _slugs(said.get("cites")),
        _number(said.get("predicted")),
        edits,
    )


def _one_line(text: str, most: int) -> str:
    """Return a text in one line, without what is no character of a text."""
    printable = (c if c.isprintable() else " " for c in clean_text(text[: 4 * most]))
    line = " ".join("".join(printable).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _slugs(cites: object) -> tuple[str, ...]:
    """Return what is cited, in small letters, each once; what can be no slug is left out."""
    if isinstance(cites, str):
        words = re.split(r"[\s,;]+", cites[: _MAX_CITES * 100])
    else:
        words = [word for word in cites if isinstance(word, str)] if isinstance(cites, list) else []
    slugs = (word.strip("[](){}\"'`*.").lower() for word in words)
    known = dict.fromkeys(s for s in slugs if _SLUG.fullmatch(s) and s not in ("none", "n-a"))
    return tuple(islice(known, _MAX_CITES))


def _number(said: object) -> float | None:
    """Return a number with or without a unit; None where it is none (a percentage, say)."""
    if isinstance(said, str):
        match = _NUMBER.fullmatch(said.strip().replace("\N{MINUS SIGN}", "-"))
        said = float(match["number"]) if match else None
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    try:
        number = float(said)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


# What an agent leaves


def read_proposal(folder: Path, output: str) -> Draft:
    """Return what an agent that edits files proposed, and take its file away.

    Without a file the last JSON object of its output with a ``title`` counts; without that the
    lines of a header; without those its last line is the title.

    Args:
        folder: The worktree.
        output: What it printed.

    Raises:
        ProviderError: The file is none that can be read, or nothing was said at all.
    """
    content = _taken(folder / PROPOSAL_FILE)
    if content is not None:
        return _draft(_decoded(content), ())
    text = output[-_SEARCHED:]
    said: Mapping[str, Any] = _last_object(text) or _header(text.split("\n"))
    if not said.get("title"):
        last = next((line for line in reversed(text.split("\n")) if line.strip()), "")
        said = {**said, "title": last}
    return _draft(said, ())


def _taken(path: Path) -> bytes | None:
    """Return the content of a file and remove it; None where there is none.

    Raises:
        ProviderError: It is no file, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProviderError(
            f"The file {PROPOSAL_FILE} cannot be read: {error.strerror}."
        ) from error
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        content = os.read(descriptor, _MAX_PROPOSAL_BYTES + 1) if is_file else b""
    finally:
        os.close(descriptor)
    if not is_file or len(content) > _MAX_PROPOSAL_BYTES:
        raise ProviderError(f"The file {PROPOSAL_FILE} is no file of at most 64 KiB.")
    path.unlink()
    return content


def _decoded(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"The file {PROPOSAL_FILE} does not hold JSON.") from error
    if not isinstance(found, dict):
        raise ProviderError(f"The file {PROPOSAL_FILE} does not hold a JSON object.")
    return found


def _last_object(text: str) -> Mapping[str, Any] | None:
    """Return the last JSON object with a title."""
    decoder = json.JSONDecoder()
    end = len(text)
    for _ in range(_CANDIDATES):
        end = text.rfind("{", 0, end)
        if end < 0:
            return None
        try:
            found, _ = decoder.raw_decode(text, end)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("title"), str):
            return found
    return None
