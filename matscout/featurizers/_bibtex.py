"""BibTeX as one line that a person reads."""

from __future__ import annotations

import re

_FIELD = re.compile(r"\b(\w+)\s*=\s*(?=[{\"])")
_ACCENT = re.compile(r"\\[\"'`^~=.]|\\(?=\W|_)")
_SPACES = re.compile(r"\s+")


def readable(bibtex: str) -> str:
    """Write an entry of BibTeX as authors, title, journal, volume, pages, year and DOI, as far as it has them.

    What cannot be read as BibTeX comes back as it is, in one line.

    Examples
    --------
    >>> readable("@article{x, author={Ewald, P. P.}, title={{Die Berechnung}}, journal={Ann. Phys.}, year={1921}}")
    'Ewald, Die Berechnung, Ann. Phys. (1921)'
    """
    fields = {name.lower(): value for name, value in _fields(bibtex)}
    if not fields.get("title"):
        return _SPACES.sub(" ", bibtex).strip()
    journal = " ".join(fields[name] for name in ("journal", "volume") if name in fields)
    parts = [_authors(fields.get("author", "")), fields["title"], journal, fields.get("pages", "").replace("--", "-")]
    text = ", ".join(part for part in parts if part)
    if "year" in fields:
        text += f" ({fields['year']})"
    if "doi" in fields:
        return f"{text}, doi:{fields['doi']}"
    return f"{text}, {fields['url']}" if "url" in fields else text


def _fields(bibtex: str) -> list[tuple[str, str]]:
    found, end = [], 0
    for match in _FIELD.finditer(bibtex):
        if match.start() >= end:  # not what looks like a field within the value of another
            end = _end_of_value(bibtex, match.end())
            value = re.sub(r"[{}]", "", bibtex[match.end() + 1 : end].removesuffix('"'))
            found.append((match[1], _SPACES.sub(" ", _ACCENT.sub("", value)).strip()))
    return found


def _end_of_value(text: str, start: int) -> int:
    """Place behind a value that begins at `start` with a brace or a quotation mark."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0 and (text[start] == "{" or (i > start and text[i] == '"')):
            return i + 1
    return len(text)


def _authors(names: str) -> str:
    """Family names of one or two, or of the first of more."""
    authors = [name.strip() for name in re.split(r"\s+and\s+", names) if name.strip()]
    families = [name.split(",")[0] if "," in name else name.split()[-1] for name in authors]
    return " and ".join(families) if len(families) < 3 else f"{families[0]} et al."
