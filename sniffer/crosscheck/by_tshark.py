"""tshark, started directly: its fields as lines of JSON (``-T ek``)."""

import os
import subprocess
import tempfile
from collections.abc import Iterator

import msgspec

from sniffer.crosscheck.hello import Hello, without_grease

HELLOS = "tcp && tls.handshake.type == 1"
FIELDS = (
    *("frame.number", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport"),
    *("tls.record.version", "tls.handshake.version", "tls.handshake.ciphersuite"),
    *("tls.handshake.cipherspec", "tls.handshake.extensions.supported_version"),
    "tls.handshake.extensions_server_name",
)
SETTINGS = (
    "tcp.reassemble_out_of_order:TRUE",
    "tcp.desegment_tcp_streams:TRUE",
    "tls.desegment_ssl_records:TRUE",
)


def hellos(path: str) -> Iterator[Hello]:
    """Yield the hellos of a capture, as tshark reads them with settings of its own.

    The user's preferences and plug-ins are left out, and no name is looked up.
    """
    command = ["tshark", "-n", "-r", path, "-Y", HELLOS, "-T", "ek"]
    command += ["--disable-protocol", "wg"]  # keys in a file must not show more than the wire
    for field in FIELDS:
        command += ["-e", field]
    for setting in SETTINGS:
        command += ["-o", setting]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"WIRESHARK_CONFIG_DIR": folder, "HOME": folder, "LC_ALL": "C.UTF-8"}
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env) as run,  # noqa: S603 (no shell)
        ):
            if run.stdout is None:
                raise RuntimeError("tshark has no output")
            for line in run.stdout:
                layers = msgspec.json.decode(line).get("layers")
                if layers is not None:
                    yield hello({key.replace("_", "."): value for key, value in layers.items()})
            if run.wait() != 0:
                errors.seek(0)
                raise RuntimeError(_last_line(errors.read()))


def hello(told: dict[str, list[str]]) -> Hello:
    """Return a hello of the fields of its frame; of tunnels the innermost addresses.

    Which of an IPv4 and an IPv6 header is the inner one is not told: the inner one is IPv6.
    """

    def last(*names: str) -> str:
        values = next((told[name] for name in names if told.get(name)), None)
        if values is None:
            raise ValueError(f"a hello without {' or '.join(names)}")
        return values[-1]

    def numbers(name: str) -> list[int]:
        return [int(value, 0) for value in told.get(name, ())]

    # Of several hellos in a frame the fields come in one list: whose they are is not told.
    is_one = len(told.get("tls.handshake.version", ())) == 1
    is_sslv2 = bool(told.get("tls.handshake.cipherspec"))
    record = told.get("tls.record.version")
    return Hello(
        frame=int(last("frame.number")),
        client=last("ipv6.src", "ip.src"),
        client_port=int(last("tcp.srcport")),
        server=last("ipv6.dst", "ip.dst"),
        server_port=int(last("tcp.dstport")),
        hello_format="sslv2" if is_sslv2 else "tls",
        record_version=int(record[0], 0) if record and not is_sslv2 else None,
        legacy_version=int(told["tls.handshake.version"][0], 0),
        supported_versions=without_grease(numbers("tls.handshake.extensions.supported.version"))
        if is_one
        else None,
        suites=without_grease(numbers("tls.handshake.ciphersuite"))
        if is_one and not is_sslv2
        else None,
        server_name=(told.get("tls.handshake.extensions.server.name") or [""])[0]
        if is_one
        else None,
    )


def _last_line(octets: bytes) -> str:
    lines = octets.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "tshark failed without a word"
