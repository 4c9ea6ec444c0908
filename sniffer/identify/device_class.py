"""What kind of thing a device is, and the evidence that says so. Unknown rather than a guess.

``classes.toml`` is the evidence: what was said or seen, which class that speaks for, and
whether it decides. One that decides is enough, unless another class has one as well; of what
only hints two different ones are needed.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

By = Literal["vendor", "name", "imap-id", "service", "model", "vendor-class", "description", "ja4"]
"""What evidence is read off."""
Text = Annotated[str, Meta(min_length=1)]


class Sample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that was seen, and whether it is this evidence."""

    text: str
    fits: bool


class Evidence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What speaks for a class."""

    device_class: Text = msgspec.field(name="class")
    by: By
    """What it is read off."""
    decides: bool
    says: Text
    """In words; {text} stands for what was seen."""
    source: Text
    checked: date
    like: tuple[Text, ...]
    """Patterns as a shell has them, without regard to case."""
    samples: tuple[Sample, ...]

    def fits(self, text: str) -> bool:
        """Tell whether what was seen is this evidence."""
        folded = text.casefold()
        return any(fnmatchcase(folded, pattern.casefold()) for pattern in self.like)


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    evidence: tuple[Evidence, ...]


def classify(seen: Mapping[str, Iterable[str]]) -> tuple[str | None, list[str]]:
    """Return the class and what says so, in words; None where nothing is sure.

    ``seen``: texts by what they are read off, words of ``By``.
    """
    decided: dict[str, dict[str, str]] = {}
    hinted: dict[str, dict[str, str]] = {}
    for by in sorted(seen):
        for text in seen[by]:
            for device_class, decides, says in _speaks(by, text):
                where = decided if decides else hinted
                where.setdefault(device_class, {}).setdefault(by, says)
    if not decided:
        decided = {name: told for name, told in hinted.items() if len(told) > 1}
    if len(decided) != 1:
        return None, []
    ((name, told),) = decided.items()
    return name, list((hinted.get(name, {}) | told).values())


@lru_cache(4096)
def _speaks(by: str, text: str) -> list[tuple[str, bool, str]]:
    """Return the classes that a text speaks for, whether it decides, and how to say so."""
    return [
        (evidence.device_class, evidence.decides, evidence.says.format(text=text))
        for evidence in known()
        if evidence.by == by and evidence.fits(text)
    ]


@cache
def known() -> tuple[Evidence, ...]:
    """Return all evidence, as the file has it."""
    text = files("sniffer.identify").joinpath("classes.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _File).evidence
