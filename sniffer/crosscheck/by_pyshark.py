"""tshark through pyshark, which starts it and reads its XML or JSON."""

from collections.abc import Iterator

from sniffer.crosscheck.by_tshark import FIELDS, HELLOS, SETTINGS, hello
from sniffer.crosscheck.hello import Hello


def hellos(path: str) -> Iterator[Hello]:
    """Yield the hellos of a capture."""
    import pyshark  # type: ignore[import-untyped] # it has no types

    preferences = dict(setting.split(":") for setting in SETTINGS)
    capture = pyshark.FileCapture(
        path, display_filter=HELLOS, override_prefs=preferences, keep_packets=False
    )
    try:
        for packet in capture:
            told: dict[str, list[str]] = {"frame.number": [packet.number]}
            for layer in packet.layers:
                for field in layer._all_fields.values():
                    if field.name in FIELDS:
                        values = [one.get_default_value() for one in field.all_fields]
                        told.setdefault(field.name.replace("_", "."), []).extend(values)
            yield hello(told)
    finally:
        capture.close()
