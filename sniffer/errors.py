"""What users are told when something cannot be done, and the exit code it ends with.

Only ``sniffer.cli.main`` prints one of these, as one line.
"""

from collections.abc import Sequence

EXIT_OK = 0
EXIT_FOUND = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 3
EXIT_DAMAGED = 4
EXIT_PERMISSION = 5
EXIT_NOTHING_SEEN = 6
EXIT_INTERRUPTED = 130


class HelloWatchError(Exception):
    """The common parent: a sentence for the user and an exit code."""

    exit_code = EXIT_UNREADABLE


class InputError(HelloWatchError):
    """A capture that cannot be read, or not further than ``offset`` octets."""

    def __init__(self, path: str, offset: int | None, why: str) -> None:
        """Name the file, the offset in octets if one is known, and why."""
        self.path, self.offset, self.why = path, offset, why
        where = "" if offset is None else f" at offset {offset}"
        super().__init__(f"{path}: {why}{where}")


class ConfigError(HelloWatchError):
    """A setting that cannot be used: where it stands, which key, and why not."""

    exit_code = EXIT_USAGE

    def __init__(self, path: str, key: str, why: str) -> None:
        """Name where the setting stands, its key and why; empty parts are left out."""
        self.path, self.key, self.why = path, key, why
        super().__init__(": ".join(part for part in (path, key, why) if part))


class ConfigErrors(HelloWatchError):
    """Several settings that cannot be used, told at once."""

    exit_code = EXIT_USAGE

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        """Hold all of them, in the order in which they are told."""
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, errors)))


class StoreError(HelloWatchError):
    """A store that cannot be used: which one, why, and what to do."""

    def __init__(self, url: str, why: str) -> None:
        """Name the store, without its password, and why it cannot be used."""
        self.url, self.why = url, why
        super().__init__(f"{url}: {why}")


class CaptureError(HelloWatchError):
    """An interface that cannot be captured on, why, and what would cure it."""

    exit_code = EXIT_PERMISSION

    def __init__(
        self, interface: str, why: str, cure: str, exit_code: int = EXIT_PERMISSION
    ) -> None:
        """Name the interface, why, and what would cure it; most often a permission."""
        self.interface, self.why, self.cure = interface, why, cure
        self.exit_code = exit_code
        super().__init__(f"{interface}: {why}; {cure}")
