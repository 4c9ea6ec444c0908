"""JA3 and JA4 of a TLS client.

JA3: version, suites, extensions, groups and point formats in decimal, in wire order, GREASE
out, hashed by MD5 (salesforce/ja3 README). JA4: FoxIO-LLC/ja4 technical_details/JA4.md, the
TLS client fingerprint alone; where text and FoxIO's tools differ, the text.
"""

from array import array
from hashlib import md5, sha256

from parsers.tls.facts import ClientHello, is_grease

SERVER_NAME = 0
ALPN = 16
NONE = "000000000000"

VERSION_LABEL = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}


def ja3(hello: ClientHello) -> str | None:
    """Return the JA3 hash; None for a cut hello or one in SSLv2 format, which have none."""
    text = ja3_string(hello)
    # The method is JA3's; nothing rests on the hash being hard to forge.
    return None if text is None else md5(text.encode(), usedforsecurity=False).hexdigest()


def ja3_string(hello: ClientHello) -> str | None:
    """Return the string that JA3 hashes: five fields, four commas."""
    if not hello.complete or hello.hello_format != "tls":
        return None
    lists = (
        (code for code in hello.suites or () if not is_grease(code)),
        (code for code in hello.extensions or () if not is_grease(code)),
        (code for code in hello.groups or () if not is_grease(code)),
        hello.point_formats or (),
    )
    return ",".join([str(hello.legacy_version), *("-".join(map(str, codes)) for codes in lists)])


def ja4(hello: ClientHello) -> str | None:
    """Return the JA4 fingerprint; None for a cut hello or one in SSLv2 format."""
    if not hello.complete or hello.hello_format != "tls":
        return None
    suites = [f"{code:04x}" for code in hello.suites or () if not is_grease(code)]
    extensions = [code for code in hello.extensions or () if not is_grease(code)]
    hashed = sorted(f"{code:04x}" for code in extensions if code not in (SERVER_NAME, ALPN))
    algorithms = [f"{c:04x}" for c in hello.signature_algorithms or () if not is_grease(c)]
    name = "d" if SERVER_NAME in extensions else "i"
    head = f"t{_version(hello)}{name}{_count(suites)}{_count(extensions)}{_first_alpn(hello)}"
    tail = ",".join(hashed)
    if algorithms:
        tail += "_" + ",".join(algorithms)
    return f"{head}_{_hash(','.join(sorted(suites)))}_{_hash(tail) if hashed else NONE}"


def offered(hello: ClientHello) -> bytes:
    """Return octets that are equal only for hellos that offer the same.

    That is all of a hello but its random and the server's name itself: what follows from
    these octets alone, as JA3 and JA4 do, need not be worked out for every hello.
    """
    lists = (
        hello.suites,
        hello.extensions,
        hello.supported_versions,
        hello.signature_algorithms,
        hello.groups,
    )
    parts = [b"" if codes is None else array("I", codes).tobytes() for codes in lists]
    points, alpn = hello.point_formats, hello.alpn
    parts.append(b"" if points is None else bytes(points))
    if alpn:
        parts += alpn
    facts = (
        hello.complete,
        hello.hello_format,
        hello.server_name is not None,
        hello.record_version,
        hello.legacy_version,
        *[codes is None for codes in (*lists, points, alpn)],
        *[len(part) for part in parts],
    )
    return b"%b%b" % (str(facts).encode(), b"".join(parts))


def _version(hello: ClientHello) -> str:
    """Return the two characters of the highest version: of all values, drafts included."""
    offered = hello.versions
    highest = hello.legacy_version if offered is None else max(offered, default=0)
    return VERSION_LABEL.get(highest, "00")


def _count(codes: list[str] | list[int]) -> str:
    return f"{min(len(codes), 99):02d}"


def _first_alpn(hello: ClientHello) -> str:
    """Return first and last character of the first ALPN name, or of its hex form."""
    if not hello.alpn or not hello.alpn[0]:
        return "00"
    name = hello.alpn[0]
    if name[:1].isalnum() and name[-1:].isalnum():
        return chr(name[0]) + chr(name[-1])
    text = name.hex()
    return text[0] + text[-1]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else NONE
