r"""Read the TeX source of a paper as arXiv delivers it: a ``.tar.gz``, or one file as ``.gz``.

Nothing is written to disk. An archive with links, or with names that lead out of it, is refused:
no honest one needs them. So is one that unpacks to more than a paper can have. ``\input`` finds
files of the archive only.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from gitexp.papers.document import (
    MAX_CHARACTERS,
    MAX_SOURCE_BYTES,
    PaperError,
    Reading,
    decoded,
)
from gitexp.papers.tex import read_tex, without_comments

_MAX_MEMBERS = 5_000
_MAX_DEPTH = 20
_SUFFIXES = (".tex", ".ltx", ".latex", ".bbl", ".txt", "")
_INPUT = re.compile(
    r"\\(?:input|include|subfile)\b\s{0,4}(?:\{(?P<braced>[^{}\\]{1,200})\}|(?P<bare>[^\s{}\\]{1,200}))"
)
_DOCUMENT = re.compile(r"\\documentclass|\\documentstyle")
_USUAL = ("main", "paper", "ms", "article", "arxiv", "root", "template")


def read_archive(content: bytes) -> Reading:
    """Return what the paper in an archive says.

    Raises:
        PaperError: It is damaged, hostile, or holds no TeX.
    """
    plain = _unzipped(content) if content[:2] == b"\x1f\x8b" else content
    if plain[257:262] != b"ustar":
        return read_tex(decoded(plain))
    files = dict(_members(plain))
    return read_tex(resolved(files, _main(files)))


def _unzipped(content: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(content, MAX_SOURCE_BYTES + 1)
    except zlib.error as error:
        raise PaperError(f"The archive is damaged: {error}.") from error
    if len(plain) > MAX_SOURCE_BYTES:
        raise PaperError(f"The archive unpacks to more than {MAX_SOURCE_BYTES >> 20} MiB.")
    if not unzip.eof:
        raise PaperError("The archive is cut off.")
    if plain[:5] == b"%PDF-" or plain[:4] == b"%!PS":
        raise PaperError("The archive holds PostScript or a PDF, and no TeX.")
    return plain


def _members(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and text of each TeX file in an archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for count, member in enumerate(archive):
                _check(member, count)
                stream = archive.extractfile(member) if _is_tex(member) else None
                if stream is not None:
                    name = posixpath.normpath(member.name)
                    yield name, decoded(stream.read().replace(b"\0", b""))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise PaperError(f"The archive is damaged: {error}.") from error


def _check(member: tarfile.TarInfo, count: int) -> None:
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts:
        raise PaperError("The archive has a name that leads out of it.")
    if not (member.isreg() or member.isdir()):
        raise PaperError("The archive has a link or a device in it.")
    if count >= _MAX_MEMBERS:
        raise PaperError(f"The archive has more than {_MAX_MEMBERS:,} files.")


def _is_tex(member: tarfile.TarInfo) -> bool:
    suffix = PurePosixPath(member.name.lower()).suffix
    return member.isreg() and suffix in _SUFFIXES and member.size <= 2 * MAX_CHARACTERS


def _main(files: Mapping[str, str]) -> str:
    """Return the file that TeX is to be run on: one with a document class.

    Of several it is one at the top, of a usual name, the longest.
    """
    found = [name for name, text in files.items() if _DOCUMENT.search(without_comments(text))]
    if not found:
        raise PaperError("The archive has no TeX file with a document class.")
    return min(found, key=lambda name: _rank(name, files[name]))


def _rank(name: str, text: str) -> tuple[bool, int, int, int]:
    stem = PurePosixPath(name).stem.lower()
    usual = _USUAL.index(stem) if stem in _USUAL else len(_USUAL)
    return ("\\begin{document}" not in text, name.count("/"), usual, -len(text))


def resolved(files: Mapping[str, str], main: str) -> str:
    r"""Return a file with what it takes in by ``\input`` and its like.

    Raises:
        PaperError: Files that take each other in come to more than a paper can have.
    """
    texts = {name: without_comments(text) for name, text in files.items()}
    made: list[str] = []
    folder = posixpath.dirname(main)
    stack: list[str | tuple[str, ...]] = [(main,)]
    length = steps = 0
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            made.append(each)
            length += len(each)
        else:
            stack += reversed(list(_parts(texts, each, folder)))
            steps += 1
        if length > 2 * MAX_CHARACTERS or steps > _MAX_MEMBERS:
            raise PaperError("The files of the archive take each other in without an end.")
    return "".join(made)


def _parts(
    files: Mapping[str, str], chain: tuple[str, ...], folder: str
) -> Iterator[str | tuple[str, ...]]:
    """Yield the pieces of the last file of a chain: texts, and chains to files taken in."""
    text = files[chain[-1]]
    position = 0
    for match in _INPUT.finditer(text):
        named = match["braced"] or match["bare"]
        name = _find(files, named, folder, posixpath.dirname(chain[-1]))
        yield text[position : match.start()]
        position = match.end()
        if name is not None and name not in chain and len(chain) < _MAX_DEPTH:
            yield (*chain, name)
    yield text[position:]


def _find(files: Mapping[str, str], named: str, *folders: str) -> str | None:
    """Return the file that a name means, or None; names that lead out of the archive mean none."""
    for folder in folders:
        path = posixpath.normpath(posixpath.join(folder, named.strip()))
        for candidate in (f"{path}.tex", path):
            if candidate in files:
                return candidate
    return None
