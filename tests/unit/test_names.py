"""Code points and their names: some by hand from the RFCs, all against two dissectors."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.tls import names

ROOT = Path(__file__).resolve().parent.parent.parent

ROWS = [
    # function, code, name, where it is defined
    (names.version, 0x0002, "SSL 2.0", "contract section 3"),
    (names.version, 0x0300, "SSL 3.0", "contract section 3"),
    (names.version, 0x0301, "TLS 1.0", "RFC 8446 section 5.1"),
    (names.version, 0x0304, "TLS 1.3", "RFC 8446 section 4.2.1"),
    (names.version, 0x7F1C, "0x7f1c", "a draft"),
    (names.suite, 0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA", "RFC 5246 appendix A.5"),
    (names.suite, 0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "RFC 5246 appendix A.5"),
    (names.suite, 0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "RFC 5289 section 3.2"),
    (names.suite, 0x1302, "TLS_AES_256_GCM_SHA384", "RFC 8446 appendix B.4"),
    (names.suite, 0x00FF, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV", "RFC 5746 section 3.3"),
    (names.suite, 0x5600, "TLS_FALLBACK_SCSV", "RFC 7507 section 2"),
    (names.suite, 0x0026, "TLS_KRB5_EXPORT_WITH_DES_CBC_40_SHA", "RFC 2712 section 3"),
    (names.suite, 0xC0AA, "TLS_PSK_DHE_WITH_AES_128_CCM_8", "RFC 6655 section 7"),
    (names.suite, 0x1234, "0x1234", "unassigned"),
    (names.suite, 0x010080, "0x10080", "SSL 2.0's specs have no IANA name"),
    (names.alert, 0, "close_notify", "RFC 8446 section 6"),
    (names.alert, 40, "handshake_failure", "RFC 8446 section 6"),
    (names.alert, 48, "unknown_ca", "RFC 8446 section 6"),
    (names.alert, 60, "export_restriction_RESERVED", "RFC 5246 section 7.2"),
    (names.alert, 70, "protocol_version", "RFC 8446 section 6"),
    (names.alert, 86, "inappropriate_fallback", "RFC 7507 section 3"),
    (names.alert, 255, "0xff", "unassigned"),
    (names.extension, 0, "server_name", "RFC 6066 section 3"),
    (names.extension, 16, "application_layer_protocol_negotiation", "RFC 7301 section 3.1"),
    (names.extension, 42, "early_data", "RFC 8446 section 4.2"),
    (names.extension, 43, "supported_versions", "RFC 8446 section 4.2"),
    (names.extension, 0xFF01, "renegotiation_info", "RFC 5746 section 3.2"),
    (names.extension, 0x0A0A, "0x0a0a", "RFC 8701: GREASE has no name"),
    (names.group, 23, "secp256r1", "RFC 8446 section 4.2.7"),
    (names.group, 29, "x25519", "RFC 8446 section 4.2.7"),
    (names.group, 0x0100, "ffdhe2048", "RFC 8446 section 4.2.7"),
    (names.group, 0x0A0A, "0x0a0a", "RFC 8701: GREASE has no name"),
    (names.signature_scheme, 0x0401, "rsa_pkcs1_sha256", "RFC 8446 section 4.2.3"),
    (names.signature_scheme, 0x0403, "ecdsa_secp256r1_sha256", "RFC 8446 section 4.2.3"),
    (names.signature_scheme, 0x0804, "rsa_pss_rsae_sha256", "RFC 8446 section 4.2.3"),
    (names.signature_scheme, 0x0809, "rsa_pss_pss_sha256", "RFC 8446 section 4.2.3"),
    (names.signature_scheme, 0x0807, "ed25519", "RFC 8446 section 4.2.3"),
    (names.signature_scheme, 0x0101, "0x0101", "in one source only"),
]


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [pytest.param(*row[:3], id=f"{row[0].__name__}-{row[1]:#x}: {row[3]}") for row in ROWS],
)
def test_a_code_point_has_the_name_of_its_rfc(
    name: Callable[[int], str], code: int, expected: str
) -> None:
    assert name(code) == expected


def test_each_version_has_its_form_for_ecs() -> None:
    assert names.ECS_VERSIONS[0x0301] == ("1.0", "tls")
    assert names.ECS_VERSIONS[0x0300] == ("3.0", "ssl")
    assert names.ECS_VERSIONS.keys() == names.VERSIONS.keys()


def test_no_two_codes_of_a_table_share_a_name() -> None:
    for table in (names.SUITES, names.ALERTS, names.EXTENSIONS, names.GROUPS, names.VERSIONS):
        assert len(set(table.values())) == len(table)


def test_names_load_the_standard_library_only() -> None:
    asked = "import sys; old = set(sys.modules); import parsers.tls.names; "
    asked += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - old}))"
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"parsers", *sys.stdlib_module_names}


@pytest.mark.skipif(
    not shutil.which("tshark") and not os.environ.get("CI"), reason="tshark is not installed"
)
def test_the_tables_are_what_both_dissectors_say() -> None:
    spec = importlib.util.spec_from_file_location("make_names", ROOT / "tools" / "make_names.py")
    assert spec is not None
    assert spec.loader is not None
    make_names = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_names)

    origin, tables, _ = make_names.agreed()
    for name, fresh in tables.items():
        committed = getattr(names, name)
        assert len(committed) > 5
        assert {code: fresh[code] for code in committed if code in fresh} == committed
        # other releases of the two may know more, the same ones may not
        if origin == names.MADE_FROM:
            assert fresh == committed
