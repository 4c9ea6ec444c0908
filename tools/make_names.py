#!/usr/bin/env python3
"""Write the tables of parsers/tls/names.py from tshark's and scapy's.

    make_names.py [--check]

A value is written only if both know it and mean the same by it: scapy's spelling is
translated first (its "sha256+rsa" is RFC 8446's rsa_pkcs1_sha256), and where the two still
spell one thing differently, RULINGS says which spelling the RFC has. What is left out, and
why, is printed. SSL 2.0's three-octet specs and GREASE are no names and stay out.

--check writes nothing and exits 1 if the committed tables are others.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "parsers" / "tls" / "names.py"
BEGIN = "# begin: made by tools/make_names.py, not by hand\n"
END = "# end: made by tools/make_names.py\n"

RULINGS = {
    ("SUITES", 0x0026): "TLS_KRB5_EXPORT_WITH_DES_CBC_40_SHA",  # RFC 2712 section 3
    ("SUITES", 0x0029): "TLS_KRB5_EXPORT_WITH_DES_CBC_40_MD5",  # RFC 2712 section 3
    ("SUITES", 0xC0AA): "TLS_PSK_DHE_WITH_AES_128_CCM_8",  # RFC 6655 section 7
    ("SUITES", 0xC0AB): "TLS_PSK_DHE_WITH_AES_256_CCM_8",  # RFC 6655 section 7
    ("ALERTS", 41): "no_certificate_RESERVED",  # RFC 5246 section 7.2
    ("ALERTS", 60): "export_restriction_RESERVED",  # RFC 5246 section 7.2
    ("EXTENSIONS", 16): "application_layer_protocol_negotiation",  # RFC 7301 section 3.1
    ("EXTENSIONS", 42): "early_data",  # RFC 8446 section 4.2
}
"""Names both sources give, in two spellings: the RFC's one."""

CONTRACT_VERSIONS = frozenset((0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304))

CURVES = {0x0403: "secp256r1", 0x0503: "secp384r1", 0x0603: "secp521r1"}

Table = dict[int, str]


def tshark_tables() -> tuple[str, dict[str, Table]]:
    """Return tshark's version and its value strings by field name."""
    number = re.search(r"\d+\.\d+\.\d+", tshark("--version"))
    if number is None:
        raise SystemExit("tshark does not tell its version")
    tables: dict[str, Table] = {}
    for line in tshark("-G", "values").splitlines():
        match line.split("\t"):
            case ["V", field, code, text] if field.startswith("tls."):
                tables.setdefault(field, {})[int(code, 0)] = text
    return number[0], tables


def tshark(*arguments: str) -> str:
    """Run tshark and return what it prints."""
    program = shutil.which("tshark")
    if program is None:
        raise SystemExit("tshark is not installed")
    run = subprocess.run(  # noqa: S603 - the arguments are ours
        [program, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


def agreed() -> tuple[str, dict[str, Table], list[str]]:
    """Return where from, the tables of values both sources know, and what was left out."""
    import scapy
    from scapy.layers.tls import basefields, extensions, keyexchange, record
    from scapy.layers.tls.crypto import groups, suites

    number, by_field = tshark_tables()
    sources: dict[str, tuple[str, Table, Callable[[int, str], str], Callable[[int, str], str]]] = {
        "VERSIONS": ("tls.handshake.version", basefields._tls_version, same, scapy_version),
        "SUITES": ("tls.handshake.ciphersuite", suites._tls_cipher_suites, same, same),
        "ALERTS": (
            "tls.alert_message.desc",
            record._tls_alert_description,
            underscored,
            same,
        ),
        "EXTENSIONS": ("tls.handshake.extension.type", extensions._tls_ext, same, same),
        "GROUPS": (
            "tls.handshake.extensions_supported_group",
            groups._tls_named_groups,
            same,
            same,
        ),
        "SIGNATURE_SCHEMES": (
            "tls.handshake.sig_hash_alg",
            keyexchange._tls_hash_sig,
            same,
            scapy_scheme,
        ),
    }
    tables: dict[str, Table] = {}
    dropped = []
    for name, (field, second, respell_first, respell_second) in sources.items():
        first = by_field[field]
        tables[name] = {}
        for code in sorted({*first, *second}):
            one = respell_first(code, first[code]) if code in first else None
            two = respell_second(code, second[code]) if code in second else None
            ruled = RULINGS.get((name, code))
            if "GREASE" in (one or ""):
                continue
            if one is not None and two is not None and (one == two or ruled in (one, two)):
                if name != "VERSIONS" or code in CONTRACT_VERSIONS:
                    tables[name][code] = ruled or one
            else:
                dropped.append(f"{name} {code:#06x}: tshark {one}, scapy {two}")
    return f"tshark {number} and scapy {scapy.__version__}", tables, dropped


def same(_code: int, name: str) -> str:
    """Keep a name that needs no translation."""
    return name


def underscored(_code: int, name: str) -> str:
    """Translate "Protocol Version" to protocol_version."""
    return name.lower().replace(" ", "_")


def scapy_version(_code: int, name: str) -> str:
    """Translate SSLv3 to the contract's "SSL 3.0"."""
    return re.sub(r"^SSLv(\d)$", r"SSL \1.0", name)


def scapy_scheme(code: int, name: str) -> str:
    """Translate hash+kind to a SignatureScheme of RFC 8446 section 4.2.3."""
    digest, _, kind = name.partition("+")
    if kind == "rsa":
        return f"rsa_pkcs1_{digest}"
    if kind == "ecdsa":
        return f"ecdsa_{CURVES[code]}_{digest}" if code in CURVES else f"ecdsa_{digest}"
    if kind in ("rsaepss", "rsapss"):
        return f"rsa_pss_{'rsae' if kind == 'rsaepss' else 'pss'}_{digest}"
    return name


def rendered(origin: str, day: str, tables: dict[str, Table]) -> str:
    """Write the tables as Python source."""
    lines = [f'MADE_FROM = "{origin}"\n', f'MADE_ON = "{day}"\n']
    for name, table in tables.items():
        lines.append(f"\n{name} = {{\n")
        width = 2 if name == "ALERTS" else 4
        key = "{:d}" if width == 2 else "0x{:04X}"
        lines += [f'    {key.format(code)}: "{text}",\n' for code, text in table.items()]
        lines.append("}\n")
    return "".join(lines)


def main() -> int:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description="Write the tables of parsers/tls/names.py")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if they differ")
    check = parser.parse_args().check

    origin, tables, dropped = agreed()
    before, _, rest = TARGET.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{TARGET.name} has no lines {BEGIN.strip()!r} and {END.strip()!r}")
    known = re.search(r'MADE_ON = "([^"]+)"', old)
    today = datetime.now(tz=UTC).date().isoformat()
    if known and rendered(origin, known[1], tables) == old:
        today = known[1]
    new = rendered(origin, today, tables)
    if check:
        print("the same" if new == old else "the committed tables are others", file=sys.stderr)
        return int(new != old)
    TARGET.write_text(before + BEGIN + new + END + after)
    for line in dropped:
        print(line)
    counts = ", ".join(f"{len(table)} {name.lower()}" for name, table in tables.items())
    print(f"written: {counts}; left out: {len(dropped)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
