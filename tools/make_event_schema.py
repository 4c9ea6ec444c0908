"""Write the JSON Schema of the handshake event from the Structs that define it.

    python tools/make_event_schema.py

Run it after changing ``sniffer/export/ecs.py``; a test compares the file with what it makes.
"""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
SCHEMA = CHECKOUT / "sniffer" / "export" / "event.schema.json"


def main() -> None:
    """Write the schema beside the module it is made from."""
    sys.path.insert(0, str(CHECKOUT))
    from sniffer.export import ecs

    SCHEMA.write_bytes(ecs.schema())


if __name__ == "__main__":
    main()
