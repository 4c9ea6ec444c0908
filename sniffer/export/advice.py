"""What to do about a device of a kind: where its maker put the settings, and what they lack.

``advice.toml`` holds it, each entry with where it was read and when, and with samples. It is
given only to devices whose offers are or may be refused. Menus move with firmware, so they
are told as where a setting usually is.
"""

import tomllib
from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from sniffer.event import Verdict

Text = Annotated[str, Meta(min_length=1)]
Exposed = Literal["legacy", "incompatible", "at-risk"]

EXPOSED = (Verdict.LEGACY, Verdict.INCOMPATIBLE, Verdict.AT_RISK)


class Sample(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"kind": "class"}
):
    """A device, and whether the advice is for it."""

    kind: str | None = None
    vendor: str | None = None
    name: str | None = None
    verdict: Exposed = "legacy"
    fits: bool


class Advice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of advice, and which devices it is for."""

    classes: tuple[Text, ...] = ()
    """Empty: of any class."""
    vendors: tuple[Text, ...] = ()
    """Patterns as a shell has them, without regard to case; with ``names`` empty: of any maker."""
    names: tuple[Text, ...] = ()
    """The same of names that makers give: behind a router a name is all there is."""
    verdicts: tuple[Exposed, ...] = ("legacy", "incompatible", "at-risk")
    text: Text
    source: Text
    checked: date
    samples: tuple[Sample, ...]

    def fits(
        self,
        device_class: str | None,
        vendor: str | None,
        names: Iterable[str],
        verdicts: Iterable[str],
    ) -> bool:
        """Tell whether it is for a device."""
        if self.classes and device_class not in self.classes:
            return False
        if not any(verdict in self.verdicts for verdict in verdicts):
            return False
        if not self.vendors and not self.names:
            return True
        made_by = vendor is not None and _is_like(vendor, self.vendors)
        return made_by or any(_is_like(name, self.names) for name in names)


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    advice: tuple[Advice, ...]


def advice_json(
    device_class: str | None,
    vendor: str | None,
    names: Iterable[str],
    verdicts: Iterable[str],
) -> list[dict[str, Any]]:
    """Return the advice for a device; ``verdicts`` are those of its stacks."""
    exposed = [verdict for verdict in verdicts if verdict in EXPOSED]
    if not exposed:
        return []
    called = list(names)
    return [
        {"text": one.text, "source": one.source, "checked": one.checked.isoformat()}
        for one in known()
        if one.fits(device_class, vendor, called, exposed)
    ]


@cache
def known() -> tuple[Advice, ...]:
    """Return all advice, as the file has it."""
    text = files("sniffer.export").joinpath("advice.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _File).advice


def _is_like(text: str, patterns: Iterable[str]) -> bool:
    folded = text.casefold()
    return any(fnmatchcase(folded, pattern.casefold()) for pattern in patterns)
