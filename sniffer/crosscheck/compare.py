"""What two readers of one capture say, hello by hello, and where they differ."""

from collections.abc import Sequence

from msgspec import Struct

from sniffer.crosscheck.hello import FACTS, Hello
from sniffer.crosscheck.own import Evidence
from sniffer.event import Handshake


class Difference(Struct, kw_only=True):
    """One thing in which a dissector and HelloWatch do not agree."""

    frame: int
    dissector: str
    kind: str
    """missing: the dissector has no such hello. extra: HelloWatch has none. else: a fact."""
    ours: Hello | None
    theirs: Hello | None
    before: Hello | None
    """Of an extra hello: our last one up to its frame, in the same connection."""
    handshake: Handshake | None
    """Of ``ours``, else of ``before``."""
    problem: str | None
    """Why the dissector did not read all of the file."""
    conflicts: int = 0
    """Octets of the file that came twice, and differently."""
    evidence: Evidence | None = None


def differences(
    dissector: str,
    ours: Sequence[tuple[Hello, Handshake]],
    theirs: Sequence[Hello],
    problem: str | None = None,
) -> list[Difference]:
    """Compare by frame, and in a frame by the order of its hellos."""
    found = []

    def note(kind: str, mine: tuple[Hello, Handshake] | None, their: Hello | None) -> None:
        our, handshake = mine or (None, None)
        before = None
        if our is None and their is not None:
            before, handshake = _last_before(their, ours)
        frame = our.frame if our is not None else their.frame if their is not None else 0
        found.append(
            Difference(
                frame=frame,
                dissector=dissector,
                kind=kind,
                ours=our,
                theirs=their,
                before=before,
                handshake=handshake,
                problem=problem,
            )
        )

    by_frame: dict[int, tuple[list[tuple[Hello, Handshake]], list[Hello]]] = {}
    for one in ours:
        by_frame.setdefault(one[0].frame, ([], []))[0].append(one)
    for their in theirs:
        by_frame.setdefault(their.frame, ([], []))[1].append(their)
    for _, (mine, others) in sorted(by_frame.items()):
        for one, their in zip(mine, others, strict=False):
            for fact in FACTS:
                values = getattr(one[0], fact), getattr(their, fact)
                if None not in values and values[0] != values[1]:
                    note(fact, one, their)
        for one in mine[len(others) :]:
            note("missing", one, None)
        for their in others[len(mine) :]:
            note("extra", None, their)
    return found


def _last_before(
    their: Hello, ours: Sequence[tuple[Hello, Handshake]]
) -> tuple[Hello | None, Handshake | None]:
    before: tuple[Hello | None, Handshake | None] = None, None
    for hello, handshake in ours:
        if hello.frame <= their.frame and _ends(hello) == _ends(their):
            before = hello, handshake
    return before


def _ends(hello: Hello) -> tuple[str, int, str, int]:
    return hello.client, hello.client_port, hello.server, hello.server_port
