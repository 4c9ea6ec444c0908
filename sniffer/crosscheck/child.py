"""One dissector in a process of its own, which may hang, grow or fall without harm to others.

    python -m sniffer.crosscheck.child DISSECTOR FILE...

For each file lines of JSON: its hellos, then one that says whether all of it was read.
"""

import importlib
import resource
import sys

import msgspec

from sniffer.crosscheck.hello import Hello

MOST_BYTES = 4 << 30
MOST_HELLOS = 1 << 20


class Line(msgspec.Struct, omit_defaults=True):
    """A hello, or the end of a file and what was wrong with it."""

    hello: Hello | None = None
    problem: str | None = None


def main() -> None:
    """Read the files that are named."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    dissector = importlib.import_module(f"sniffer.crosscheck.by_{sys.argv[1]}")
    for path in sys.argv[2:]:
        problem = None
        try:
            for count, hello in enumerate(dissector.hellos(path), 1):
                _print(Line(hello=hello))
                if count == MOST_HELLOS:
                    problem = f"only the first {MOST_HELLOS} hellos are told"
                    break
        except Exception as error:  # a dissector's own, on octets it does not like
            problem = f"{type(error).__name__}: {error}"
        _print(Line(problem=problem))


def _print(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
