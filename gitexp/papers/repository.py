"""Read a git repository as a source: its README and docs, and a map of its Python code.

It is read from its objects, at HEAD: no work tree is looked at, no filter or hook runs, and what
is missing is not fetched. How much is read is bounded; what is left out is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from gitexp.errors import GitexpError
from gitexp.git.measure import object_sizes
from gitexp.git.read import TreeEntry, list_tree, read_blobs, resolve
from gitexp.git.repository import Repository
from gitexp.git.transfer import without_credentials
from gitexp.light import NamedTuple
from gitexp.papers.codemap import map_module
from gitexp.papers.document import PaperError, Reading, Section, decoded, one_line, tidy
from gitexp.papers.markdown import read_markdown
from gitexp.papers.plain import read_plain
from gitexp.records.library import MAX_ABSTRACT

MAX_FILES = 300
MAX_FILE_BYTES = 512 << 10
MAX_BYTES = 4 << 20
MAX_SECTIONS = 2_000

_README = re.compile(r"readme(?:\.(?:md|markdown|rst|txt))?", re.IGNORECASE)
_LICENCE = re.compile(r"(?:licen[cs]e|copying)(?:[.-][a-z0-9.-]{1,20})?", re.IGNORECASE)
_MARKDOWN = (".md", ".markdown")
_DOCS = ("doc", "docs")
_FILE_MODES = ("100644", "100755")


class Checkout(NamedTuple):
    """What was read of a repository.

    Attributes:
        place: Where it was cloned from, without credentials, else its folder.
        name: As its place ends.
    """

    reading: Reading
    commit: str
    place: str
    name: str


class _Quiet(Repository):
    """A repository that may be anybody's: git asks no remote for what is missing in it."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}


class _File(NamedTuple):
    path: str
    oid: str
    size: int


def read_repository(folder: Path) -> Checkout:
    """Return what a repository on this machine says.

    Raises:
        PaperError: It holds nothing to read.
        NoRepositoryError: It is none, or another user's.
    """
    found = Repository.discover(folder)
    quiet = _Quiet(found.git_dir, found.common_dir, found.work_tree, found.prefix)
    commit = resolve(quiet, "HEAD")
    if commit is None:
        raise PaperError(f"The repository {folder} has no commit yet.")
    place = _origin(quiet) or str(found.work_tree or found.common_dir)
    name = _name(place)
    try:
        return Checkout(tidy(_read(quiet, commit, name)), commit, place, name)
    except PaperError as error:
        raise PaperError("The repository has no README, docs or Python code.") from error


def _origin(repository: Repository) -> str | None:
    try:
        found = repository.configured(r"^remote\.origin\.url$").get("remote.origin.url", [])
    except GitexpError:
        return None
    return without_credentials(found[0]) if found and "\n" not in found[0] else None


def _name(place: str) -> str:
    parts = [part for part in re.split(r"[/:\\]", place) if part not in ("", ".git")]
    return (parts or ["repository"])[-1].removesuffix(".git")


def _read(repository: Repository, commit: str, name: str) -> Reading:
    files, left_out = _chosen(_files(repository, list_tree(repository, commit)))
    contents = dict(read_blobs(repository, [file.oid for file in files], MAX_FILE_BYTES))
    reading = Reading(title=name)
    sections: list[Section] = []
    bad = 0
    for number, file in enumerate(files):
        if len(sections) >= MAX_SECTIONS:
            left_out += len(files) - number
            break
        try:
            reading = _with_file(reading, file.path, _text(contents[file.oid]), sections)
        except PaperError:
            bad += 1
    return Reading(
        title=reading.title,
        licence=reading.licence,
        abstract=reading.abstract,
        sections=tuple(sections),
        notes=_notes(left_out, bad),
    )


def _text(content: bytes | None) -> str:
    if content is None:
        raise PaperError("It is not in this clone.")
    return decoded(content)


def _notes(left_out: int, bad: int) -> tuple[str, ...]:
    notes = {
        "of its files were left out: it has too many, or they are too long.": left_out,
        "of its files could not be read.": bad,
    }
    return tuple(f"{count} {note}" for note, count in notes.items() if count)


def _with_file(reading: Reading, path: str, text: str, sections: list[Section]) -> Reading:
    """Add the sections of a file; return what the repository says of itself with it."""
    if _is_licence(path):
        first = next(filter(None, (line.strip(" #*=-") for line in text.split("\n"))), "")
        return Reading(title=reading.title, licence=first or None, abstract=reading.abstract)
    if path.endswith(".py"):
        sections += map_module(path, text)
        return reading
    is_markdown = path.lower().endswith(_MARKDOWN)
    read = read_markdown(text) if is_markdown else read_plain(text)
    sections += [
        Section(f"{path}: {part.title}" if part.title else path, part.text)
        for part in read.sections
        if part.text
    ]
    if reading.abstract is not None or not _is_readme(path):
        return reading
    title = read.title if is_markdown and read.title else reading.title
    return Reading(title=title, licence=reading.licence, abstract=_abstract(read.sections))


def _abstract(sections: Sequence[Section]) -> str:
    """Return the first paragraph that is one: of words, not of badges and tags."""
    paragraphs = (text.strip() for part in sections for text in part.text.split("\n\n"))
    return next(
        (one_line(text, MAX_ABSTRACT) for text in paragraphs if re.match(r"[\w*_\"'“]", text)), ""
    )


def _files(repository: Repository, entries: Iterable[TreeEntry]) -> list[_File]:
    """Return the files that can be read, in the order of their weight."""
    wanted = [
        (path, entry.oid)
        for entry in entries
        if entry.mode in _FILE_MODES
        and _is_wanted(path := entry.path.decode("utf-8", "backslashreplace"))
    ]
    sizes = object_sizes(repository, [oid for _, oid in wanted])
    found = [_File(path, oid, sizes[oid] or 0) for path, oid in wanted]
    return sorted(found, key=lambda file: _weight(file.path))


def _is_wanted(path: str) -> bool:
    parts = PurePosixPath(path).parts
    in_docs = parts[0].lower() in _DOCS and path.lower().endswith(_MARKDOWN)
    return _is_licence(path) or _is_readme(path) or in_docs or path.endswith(".py")


def _is_readme(path: str) -> bool:
    return _README.fullmatch(path) is not None


def _is_licence(path: str) -> bool:
    return _LICENCE.fullmatch(path) is not None


def _weight(path: str) -> tuple[int, bool, int, str]:
    """Order README, docs, code that is near the top, and tests last."""
    kind = 0 if _is_licence(path) or _is_readme(path) else 1 if not path.endswith(".py") else 2
    parts = PurePosixPath(path).parts
    is_test = any(part.startswith("test") for part in parts)
    return kind, is_test, len(parts), path


def _chosen(files: Sequence[_File]) -> tuple[list[_File], int]:
    """Return the files that are read, and how many are left out."""
    chosen: list[_File] = []
    room = MAX_BYTES
    for file in files:
        if file.size <= MAX_FILE_BYTES and file.size <= room and len(chosen) < MAX_FILES:
            chosen.append(file)
            room -= file.size
    return chosen, len(files) - len(chosen)
