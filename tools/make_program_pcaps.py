#!/usr/bin/env python3
"""Make the captures of real programs in pcaps/: mail clients and servers, mirrored.

    make_program_pcaps.py [--out pcaps] [NAME...]

Dovecot, Postfix and a few servers of ill manners run in one network namespace, the clients
in another; a router with a firewall stands between them, and what passes its office side is
mirrored (tc mirred) to a port where tcpdump listens. All that is in the files comes from
the programs and from the kernel. Who visits whom, and how it must end, is listed below in
``captures``; whether it ended so is asked of each client (its exit code), and
tools/expect_with_tshark.py makes the expected events of it.

Takes root, for the namespaces, and Debian's packages in ``NEEDS``, which are installed;
their daemons are neither started nor enabled. Without root the command to run is printed.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

import trustme  # noqa: E402 - after the paths
from make_pcaps import NOBODY, Told, printer_settings, told  # noqa: E402 - lies beside this file
from namespaces import Namespace, namespace  # noqa: E402 - lies in tests/
from tlslite.api import (  # type: ignore[import-untyped]  # noqa: E402 - it has no types
    TLSConnection,
    X509CertChain,
    parsePEMKey,
)
from tlslite.errors import TLSError  # type: ignore[import-untyped]  # noqa: E402 - no types

PROGRAMS = ROOT / "tools" / "programs"
SECONDS = 60
"""Longer than any visit takes."""

NEEDS = {
    "/usr/sbin/dovecot": "dovecot-core",
    "/usr/lib/dovecot/imap-login": "dovecot-imapd",
    "/usr/lib/dovecot/pop3-login": "dovecot-pop3d",
    "/usr/sbin/postfix": "postfix",
    "/usr/share/perl5/IO/Socket/SSL.pm": "libio-socket-ssl-perl",
    "curl": "curl",
    "ethtool": "ethtool",
    "gnutls-cli": "gnutls-bin",
    "ip": "iproute2",
    "javac": "default-jdk-headless",
    "nft": "nftables",
    "node": "nodejs",
    "openssl": "openssl",
    "tcpdump": "tcpdump",
}
"""Program or file, and the Debian package that brings it."""

HOSTS = {
    "10.30.1.5": ("mail.example.org",),  # Dovecot, TLS 1.0 and newer; Postfix
    "10.30.1.6": ("strict.example.org", "expired.example.org", "stranger.example.org"),
    "10.30.1.7": ("rude.example.org",),  # servers of ill manners, and one of SSL 3.0
    "10.30.1.8": ("rejected.example.org",),  # Dovecot behind a firewall that resets
    "10.30.1.9": ("dropped.example.org",),  # Dovecot behind a firewall that drops
    "10.30.1.10": ("silent.example.org",),  # takes the hello and never answers
    "10.30.1.11": ("alerting.example.org",),  # s_server and gnutls-serv, TLS 1.2 and newer
    "2001:db8:31::6": ("strict6.example.org",),
}
"""The servers' addresses and their names."""

OPENSSL, PYTHON, CURL, GNUTLS = "10.30.0.11", "10.30.0.12", "10.30.0.13", "10.30.0.14"
NODE, PERL, JAVA, TLSLITE = "10.30.0.15", "10.30.0.16", "10.30.0.17", "10.30.0.18"
PYTHON_6 = "2001:db8:30::12"
CLIENTS = (OPENSSL, PYTHON, CURL, GNUTLS, NODE, PERL, JAVA, TLSLITE)


# ---------------------------------------------------------------------------- who visits whom


@dataclass(frozen=True)
class Visit:
    """One run of a client, and the event of its one ClientHello."""

    client: str
    """The address it comes from."""
    command: Sequence[str]
    told: Told
    """What is known of the event beforehand."""
    content: bool
    """Whether the client ends content, with exit code 0."""
    says: str = ""
    """What it is given on standard input."""


def visit(
    client: str, command: str, known: Told, *, content: bool | None = None, says: str = ""
) -> Visit:
    """Make a visit; unless told otherwise a client is content if it could agree."""
    outcome, ended_by = known["outcome"], known["ended_by"]
    refusal: Told = {}
    if outcome in ("reset", "closed"):
        refusal["refused_by"] = ended_by
    if content is None:
        content = outcome == "established"
    return Visit(client, command.split(), refusal | known, content, says)


def agreed(offered: str) -> Told:
    """Say of a visit that it ends well; the servers here have no profile."""
    judged = "ok" if offered in ("TLS 1.2", "TLS 1.3") else "legacy version"
    return told(offered, judged, "established", NOBODY)


def refused(offered: str, came_of_it: str, judged: str = "") -> Told:
    """Say of a visit that it does not."""
    legacy = "ok" if offered in ("TLS 1.2", "TLS 1.3") else "legacy version"
    return told(offered, judged or legacy, came_of_it, NOBODY)


LOGOUT = "a1 LOGOUT\r\n"
QUIT = "QUIT\r\n"
OLD = "-cipher DEFAULT:@SECLEVEL=0"
MAIL, STRICT, RUDE = "mail.example.org", "strict.example.org", "rude.example.org"
ALERTING = "alerting.example.org"
LOGIN = "-u hall:copier -k --no-progress-meter"


def s_client(host: str, port: int, options: str) -> str:
    """Write the command of OpenSSL's client."""
    return f"openssl s_client -quiet -connect {host}:{port} -servername {host} {options}"


def captures() -> dict[str, list[Visit]]:
    """List the captures and the visits in each, in their order.

    What one address offers one server rises, unless a fallback is meant: the contract
    takes less than before, within 30 s, for one.
    """
    return {
        "dovecot-versions": list(versions()),
        "dovecot-clients": list(clients()),
        "dovecot-old-clients": list(old_clients()),
        "starttls": list(upgrades()),
        "oldest-hellos": list(oldest()),
        "refused-alert": list(alerts()),
        "refused-closed": list(closings()),
        "refused-reset": list(resets()),
        "refused-silence": list(silences()),
        "refused-client": list(distrust()),
    }


def versions() -> Iterator[Visit]:
    """Visit the permissive Dovecot with each version, by IMAPS and POP3S."""
    for port, bye in ((993, LOGOUT), (995, QUIT)):
        for option, version in (("tls1", "1.0"), ("tls1_1", "1.1"), ("tls1_2", "1.2")):
            command = s_client(MAIL, port, f"-{option} {OLD}")
            yield visit(OPENSSL, command, agreed(f"TLS {version}"), says=bye)
        yield visit(OPENSSL, s_client(MAIL, port, "-tls1_3"), agreed("TLS 1.3"), says=bye)
    # The ticket of the first is used by the second: a resumed session keeps its version.
    for ticket in ("-sess_out {folder}/session", "-sess_in {folder}/session"):
        command = s_client(STRICT, 995, f"-tls1_2 {ticket}")
        yield visit(OPENSSL, command, agreed("TLS 1.2"), says=QUIT)
    # The strict Dovecot wants P-384 and asks for another key share.
    command = s_client(STRICT, 993, "-tls1_3 -groups X25519:P-384")
    yield visit(OPENSSL, command, agreed("TLS 1.3"), says=LOGOUT)


def clients() -> Iterator[Visit]:
    """Visit the strict Dovecot with every program as it comes."""
    now = agreed("TLS 1.3")
    yield visit(PYTHON, f"{{python}} client.py imap {STRICT} 993", now)
    yield visit(PYTHON, f"{{python}} client.py pop3 {STRICT} 995", now)
    yield visit(PYTHON_6, "{python} client.py imap strict6.example.org 993", now)
    yield visit(CURL, f"curl {LOGIN} imaps://{STRICT}/", now)
    yield visit(CURL, f"curl {LOGIN} pop3s://{STRICT}/", now)
    yield visit(GNUTLS, f"gnutls-cli --insecure -p 993 {STRICT}", now, says=LOGOUT)
    yield visit(NODE, f"node client.js {STRICT} 993 trusting", now)
    yield visit(PERL, f"perl client.pl {STRICT} 993 trusting", now)
    yield visit(JAVA, f"java -cp {{folder}} Client {STRICT} 993 trusting", now)


def old_clients() -> Iterator[Visit]:
    """Visit the permissive Dovecot with every program told to speak TLS 1.0."""
    then = agreed("TLS 1.0")
    yield visit(PYTHON, f"{{python}} client.py pop3 {MAIL} 995 --most 1.0", then)
    yield visit(CURL, f"curl {LOGIN} --tls-max 1.0 {CURL_OLD} imaps://{MAIL}/", then)
    command = f"gnutls-cli --insecure --priority {GNUTLS_1_0} -p 993 {MAIL}"
    yield visit(GNUTLS, command, then, says=LOGOUT)
    yield visit(NODE, f"node client.js {MAIL} 993 trusting TLSv1 TLSv1", then)
    yield visit(PERL, f"perl client.pl {MAIL} 993 trusting TLSv1", then)
    yield visit(JAVA, f"java -cp {{folder}} Client {MAIL} 993 trusting TLSv1", then)


CURL_OLD = "--tlsv1.0 --ciphers DEFAULT:@SECLEVEL=0"
GNUTLS_1_0 = "NORMAL:-VERS-ALL:+VERS-TLS1.0"


def upgrades() -> Iterator[Visit]:
    """Upgrade by STARTTLS or STLS: IMAP and POP3 at Dovecot, SMTP at Postfix."""
    ports = (("imap", 143, LOGOUT), ("pop3", 110, QUIT), ("smtp", 587, QUIT))
    for name, port, bye in ports:
        command = s_client(MAIL, port, f"-starttls {name} -tls1 {OLD}")
        yield visit(OPENSSL, command, agreed("TLS 1.0"), says=bye)
        command = f"{{python}} client.py {name} {MAIL} {port} --starttls --most 1.2"
        yield visit(PYTHON, command, agreed("TLS 1.2"))
        command = f"gnutls-cli --insecure --starttls-proto={name} -p {port} {MAIL}"
        # At Postfix's short way to say goodbye gnutls-cli is not content.
        bye = "" if name == "smtp" else bye
        yield visit(GNUTLS, command, agreed("TLS 1.3"), says=bye)
    yield visit(CURL, f"curl {LOGIN} --ssl-reqd imap://{STRICT}/", agreed("TLS 1.3"))
    command = s_client(STRICT, 143, f"-starttls imap -tls1 {OLD}")
    yield visit(OPENSSL, command, refused("TLS 1.0", "closed server"), says=LOGOUT)
    command = f"{{python}} client.py pop3 {STRICT} 110 --starttls --most 1.0"
    yield visit(PYTHON, command, refused("TLS 1.0", "closed server"))
    command = f"{{python}} client.py smtp {STRICT} 587 --starttls --most 1.0"
    yield visit(PYTHON, command, refused("TLS 1.0", "alert server"))


def oldest() -> Iterator[Visit]:
    """Show the hellos nothing new can write: SSL 3.0, and TLS in SSL 2.0's format."""
    yield visit(TLSLITE, f"{{python}} client.py tlslite {RUDE} 993", agreed("SSL 3.0"))
    command = f"{{python}} client.py tlslite {MAIL} 993"
    yield visit(TLSLITE, command, refused("SSL 3.0", "closed server"))
    # OpenSSL answers SSL 3.0 with alert 40, not 70.
    command = f"{{python}} client.py tlslite {ALERTING} 993"
    yield visit(TLSLITE, command, refused("SSL 3.0", "alert server"))
    java = "java -cp {folder} Client"
    yield visit(JAVA, f"{java} {MAIL} 993 trusting SSLv2Hello TLSv1", agreed("TLS 1.0"))
    command = f"{java} {MAIL} 995 trusting SSLv2Hello TLSv1.2 TLSv1.1 TLSv1"
    yield visit(JAVA, command, agreed("TLS 1.2"))
    command = f"{java} {STRICT} 993 trusting SSLv2Hello TLSv1"
    yield visit(JAVA, command, refused("TLS 1.0", "closed server"))
    command = f"{java} {ALERTING} 993 trusting SSLv2Hello TLSv1"
    yield visit(JAVA, command, refused("TLS 1.0", "alert server"))


def alerts() -> Iterator[Visit]:
    """Be refused by alert: 70, 40 and 86, by OpenSSL (993) and GnuTLS (995)."""
    by_alert = refused("TLS 1.0", "alert server")
    for port in (993, 995):
        yield visit(OPENSSL, s_client(ALERTING, port, f"-tls1 {OLD}"), by_alert)
    yield visit(PYTHON, f"{{python}} client.py imap {ALERTING} 993 --most 1.0", by_alert)
    command = f"curl {LOGIN} --tls-max 1.0 {CURL_OLD} pop3s://{ALERTING}/"
    yield visit(CURL, command, by_alert)
    command = f"gnutls-cli --insecure --priority {GNUTLS_1_0} -p 995 {ALERTING}"
    yield visit(GNUTLS, command, by_alert)
    yield visit(JAVA, f"java -cp {{folder}} Client {ALERTING} 993 trusting TLSv1", by_alert)
    by_alert = refused("TLS 1.1", "alert server")
    for port in (993, 995):
        yield visit(OPENSSL, s_client(ALERTING, port, f"-tls1_1 {OLD}"), by_alert)
    yield visit(NODE, f"node client.js {ALERTING} 993 trusting TLSv1.1 TLSv1.1", by_alert)
    yield visit(PERL, f"perl client.pl {ALERTING} 993 trusting TLSv1_1", by_alert)
    # TLS 1.2, but no suite in common: the server has an RSA certificate.
    for port in (993, 995):
        command = s_client(ALERTING, port, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")
        yield visit(OPENSSL, command, refused("TLS 1.2", "alert server"))
    # It could do better and says so (TLS_FALLBACK_SCSV); so can the server: alert 86.
    command = s_client(ALERTING, 993, "-tls1_2 -fallback_scsv")
    yield visit(OPENSSL, command, refused("TLS 1.2", "alert server"))


def closings() -> Iterator[Visit]:
    """Be refused by Dovecot 2.3, which closes at the hello without a word of TLS.

    Some clients complain of that by an alert of their own, which comes too late to count.
    """
    closed = refused("TLS 1.0", "closed server")
    yield visit(OPENSSL, s_client(STRICT, 993, f"-tls1 {OLD}"), closed)
    yield visit(PYTHON, f"{{python}} client.py imap {STRICT} 993 --most 1.0", closed)
    yield visit(CURL, f"curl {LOGIN} --tls-max 1.0 {CURL_OLD} pop3s://{STRICT}/", closed)
    command = f"gnutls-cli --insecure --priority {GNUTLS_1_0} -p 995 {STRICT}"
    yield visit(GNUTLS, command, closed)
    yield visit(JAVA, f"java -cp {{folder}} Client {STRICT} 993 trusting TLSv1", closed)
    closed = refused("TLS 1.1", "closed server")
    yield visit(NODE, f"node client.js {STRICT} 993 trusting TLSv1.1 TLSv1.1", closed)
    yield visit(PERL, f"perl client.pl {STRICT} 993 trusting TLSv1_1", closed)
    # No suite in common, and a fallback that is not needed.
    command = s_client(STRICT, 993, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")
    yield visit(OPENSSL, command, refused("TLS 1.2", "closed server"))
    command = s_client(MAIL, 993, f"-tls1_1 -fallback_scsv {OLD}")
    yield visit(OPENSSL, command, refused("TLS 1.1", "closed server", "fallback"))


def resets() -> Iterator[Visit]:
    """Break off at the hello: a server that resets, a firewall, a server that closes."""
    by_server = refused("TLS 1.0", "reset server")
    yield visit(OPENSSL, s_client(RUDE, 995, f"-tls1 {OLD}"), by_server)
    command = f"{{python}} client.py pop3 {RUDE} 995"
    yield visit(PYTHON, command, refused("TLS 1.3", "reset server"))
    # The firewall's reset has come a shorter way than the server's other frames.
    by_path = refused("TLS 1.0", "reset server") | {"refused_by": "path"}
    yield visit(PERL, "perl client.pl rejected.example.org 993 trusting TLSv1", by_path)
    by_path = refused("TLS 1.3", "reset server") | {"refused_by": "path"}
    yield visit(GNUTLS, "gnutls-cli --insecure -p 993 rejected.example.org", by_path)
    closed = refused("TLS 1.2", "closed server")
    yield visit(NODE, f"node client.js {RUDE} 465 trusting TLSv1.2 TLSv1.2", closed)
    yield visit(
        JAVA, f"java -cp {{folder}} Client {RUDE} 465 trusting", refused("TLS 1.3", "closed server")
    )
    # Two tries of one client within 30 s: TLS 1.2, then 1.0.
    curl = f"curl {LOGIN} --tls-max"
    yield visit(CURL, f"{curl} 1.2 pop3s://{RUDE}/", refused("TLS 1.2", "reset server"))
    command = f"{curl} 1.0 {CURL_OLD} pop3s://{RUDE}/"
    yield visit(CURL, command, refused("TLS 1.0", "reset server", "fallback"))


def silences() -> Iterator[Visit]:
    """Give no answer: a firewall that drops the hello, a server that never answers.

    The first goes on repeating its hello; its 15 s are over while the second waits.
    """
    command = f"curl {LOGIN} --max-time 18 pop3s://dropped.example.org/"
    yield visit(CURL, command, refused("TLS 1.3", "unanswered"))
    command = f"curl {LOGIN} --max-time 18 --tls-max 1.0 {CURL_OLD} imaps://silent.example.org/"
    yield visit(CURL, command, refused("TLS 1.0", "unanswered"))


def distrust() -> Iterator[Visit]:
    """Have the clients reject the certificate, each in its own way."""
    by_client = refused("TLS 1.2", "alert client")
    python = "{python} client.py imap"
    ca = "--ca {folder}/ca.pem"
    # unknown_ca, 48
    yield visit(PYTHON, f"{python} {STRICT} 993 --most 1.2 --ca {{folder}}/other.pem", by_client)
    curl = "curl -u hall:copier --no-progress-meter --tls-max 1.2"
    yield visit(CURL, f"{curl} --cacert {{folder}}/other.pem pop3s://{STRICT}/", by_client)
    yield visit(PERL, f"perl client.pl {STRICT} 993 distrustful TLSv1_2", by_client)
    # certificate_expired, 45; bad_certificate, 42, for the wrong name
    yield visit(PYTHON, f"{python} expired.example.org 993 --most 1.2 {ca}", by_client)
    yield visit(PYTHON, f"{python} stranger.example.org 993 --most 1.2 {ca}", by_client)
    # certificate_unknown, 46
    java = f"java -cp {{folder}} Client {STRICT} 993 distrustful"
    yield visit(JAVA, f"{java} TLSv1.2", by_client)
    by_client = refused("TLS 1.0", "alert client")
    command = f"{python[:-4]}pop3 {MAIL} 995 --most 1.0 --ca {{folder}}/other.pem"
    yield visit(PYTHON, command, by_client)
    command = f"gnutls-cli -p 993 --priority NORMAL:-VERS-TLS1.3 {STRICT}"
    yield visit(GNUTLS, command, refused("TLS 1.2", "alert client"))
    # node looks at the certificate only when all is agreed, so on the wire it is.
    command = f"node client.js {STRICT} 995 distrustful TLSv1.2 TLSv1.2"
    yield visit(NODE, command, agreed("TLS 1.2"), content=False)
    # TLS 1.3 has keys by then. OpenSSL sends its alert in clear nevertheless; the others'
    # is encrypted, and an encrypted record of the client's is all there is to see.
    command = f"{python} {STRICT} 993 --ca {{folder}}/other.pem"
    yield visit(PYTHON, command, refused("TLS 1.3", "alert client"))
    yield visit(GNUTLS, f"gnutls-cli -p 993 {STRICT}", agreed("TLS 1.3"), content=False)
    yield visit(JAVA, java, agreed("TLS 1.3"), content=False)


# ------------------------------------------------------------------------------- the servers

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {name}
log_path = {folder}/log
listen = {listen}
protocols = imap pop3
first_valid_uid = 1
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = password=copier
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail
}}
service imap-login {{
  inet_listener imaps {{
    port = 993
    ssl = yes
  }}
}}
service pop3-login {{
  # Else each connection has a process of its own, which takes no other's tickets.
  service_count = 0
  inet_listener pop3s {{
    port = 995
    ssl = yes
  }}
}}
ssl = yes
ssl_cert = <{certificates}/server.pem
ssl_key = <{certificates}/server.pem
local_name expired.example.org {{
  ssl_cert = <{certificates}/expired.pem
  ssl_key = <{certificates}/expired.pem
}}
{tls}
"""
PERMISSIVE = """ssl_min_protocol = TLSv1
ssl_cipher_list = ALL:!aNULL:!DHE:@SECLEVEL=0
"""
TLS_1_2_ONLY = """ssl_min_protocol = TLSv1.2
ssl_curve_list = P-384:P-256
"""

POSTFIX = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
myhostname = mail.example.org
mydestination =
inet_interfaces = 10.30.1.5 10.30.1.6
inet_protocols = ipv4
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificates}/server.pem
smtpd_tls_key_file = {certificates}/server.pem
smtpd_tls_protocols = >=TLSv1
smtpd_tls_ciphers = low
tls_low_cipherlist = ALL:@SECLEVEL=0
smtpd_peername_lookup = no
local_recipient_maps =
"""
POSTFIX_SERVICES = """
10.30.1.5:587 inet n - n - - smtpd
10.30.1.6:587 inet n - n - - smtpd
  -o smtpd_tls_protocols=>=TLSv1.2
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
rewrite unix - - n - - trivial-rewrite
"""


@contextlib.contextmanager
def servers(place: Namespace, folder: Path) -> Iterator[None]:
    """Run all servers in ``place``; they listen when the body begins."""
    rude: list[tuple[str, int, Callable[[socket.socket], None]]] = [
        ("10.30.1.7", 993, ssl_3(folder / "server.pem")),
        ("10.30.1.7", 995, reset),
        ("10.30.1.7", 465, close),
        ("10.30.1.10", 993, keep_silent),
    ]
    with contextlib.ExitStack() as stack:
        for address, port, manners in rude:
            with place.inside():
                listener = stack.enter_context(socket.create_server((address, port)))
            threading.Thread(target=serve, args=(listener, manners), daemon=True).start()
        permissive = "10.30.1.5 10.30.1.8 10.30.1.9"
        stack.enter_context(dovecot(place, folder, "permissive", permissive, PERMISSIVE))
        strict = "10.30.1.6 2001:db8:31::6"
        stack.enter_context(dovecot(place, folder, "strict", strict, TLS_1_2_ONLY))
        stack.enter_context(postfix(place, folder))
        pem = str(folder / "server.pem")
        command = ["s_server", "-accept", "10.30.1.11:993", "-cert", pem, "-www", "-quiet"]
        command += ["-min_protocol", "TLSv1.2"]
        stack.enter_context(running(place, "openssl", *command))
        # It cannot be told an address, so its port is another one and redirected to.
        place.run("nft", REDIRECTED)
        command = ["gnutls-serv", "--echo", "-p", "9995", "--x509keyfile", pem, "--x509certfile"]
        command += [pem, "--priority", "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"]
        stack.enter_context(running(place, *command))
        for address, port in (
            *(("10.30.1.5", 993), ("10.30.1.6", 995), ("10.30.1.5", 587)),
            *(("10.30.1.11", 993), ("10.30.1.11", 9995)),
        ):
            wait_for(place, address, port)
        yield


@contextlib.contextmanager
def dovecot(place: Namespace, folder: Path, name: str, listen: str, tls: str) -> Iterator[None]:
    """Run a Dovecot of its own configuration."""
    own = folder / name
    (own / "mail").mkdir(parents=True)
    shutil.chown(own / "mail", "mail", "mail")
    known = {"folder": own, "name": name, "listen": listen, "tls": tls, "certificates": folder}
    (own / "dovecot.conf").write_text(DOVECOT.format_map(known))
    with running(place, "dovecot", "-F", "-c", str(own / "dovecot.conf")):
        yield


@contextlib.contextmanager
def postfix(place: Namespace, folder: Path) -> Iterator[None]:
    """Run a Postfix that takes submissions and hands none on."""
    own = folder / "postfix"
    (own / "queue").mkdir(parents=True)
    (own / "data").mkdir()
    shutil.chown(own / "data", "postfix")
    (own / "main.cf").write_text(POSTFIX.format(folder=own, certificates=folder))
    (own / "master.cf").write_text(POSTFIX_SERVICES)
    shutil.copy("/etc/postfix/dynamicmaps.cf", own)
    with running(place, "postfix", "-c", str(own), "start-fg"):
        try:
            yield
        finally:
            place.run("postfix", "-c", str(own), "stop")


def serve(listener: socket.socket, manners: Callable[[socket.socket], None]) -> None:
    """Treat everyone who comes with the same manners, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            guest, _ = listener.accept()
            with contextlib.suppress(OSError):
                manners(guest)


def reset(guest: socket.socket) -> None:
    """Answer the hello with a reset."""
    guest.recv(4096)
    guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    guest.close()


def close(guest: socket.socket) -> None:
    """Answer the hello by closing, with a FIN and no reset."""
    guest.recv(65536)
    guest.close()


def keep_silent(guest: socket.socket) -> None:
    """Take all that comes and say nothing, until the guest goes."""
    while guest.recv(4096):
        pass
    guest.close()


def ssl_3(pem: Path) -> Callable[[socket.socket], None]:
    """Return the manners of an IMAP server that knows no more than SSL 3.0."""
    chain = X509CertChain()
    chain.parsePemList(pem.read_text())
    key = parsePEMKey(pem.read_text(), private=True)

    def manners(guest: socket.socket) -> None:
        tls = TLSConnection(guest)
        with contextlib.suppress(TLSError):
            settings = printer_settings("server", "3.0")
            tls.handshakeServer(certChain=chain, privateKey=key, settings=settings)
            tls.send(b"* OK ready\r\n")
            tls.recv(100)
            tls.send(b"* BYE\r\n")
            tls.close()
        guest.close()

    return manners


def certificates(folder: Path) -> None:
    """Write the servers' certificates, their authority's, and a stranger's."""
    rsa = trustme.KeyType.RSA
    authority = trustme.CA(organization_name="Example CA", key_type=rsa)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA(organization_name="Another CA").cert_pem.write_to_path(folder / "other.pem")
    names = [name for group in HOSTS.values() for name in group]
    own = [name for name in names if not name.startswith(("expired", "stranger"))]
    authority.issue_cert(*own[:2], key_type=rsa).private_key_and_cert_chain_pem.write_to_path(
        folder / "server.pem"
    )
    past = datetime(2020, 1, 1, tzinfo=UTC)
    authority.issue_cert(
        "expired.example.org", not_before=past, not_after=past.replace(year=2021), key_type=rsa
    ).private_key_and_cert_chain_pem.write_to_path(folder / "expired.pem")


# ------------------------------------------------------------------------------- the network


@contextlib.contextmanager
def network() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """Make the office, the router with its mirror port, and the servers' place."""
    with namespace() as office, namespace() as router, namespace() as place:
        router.ip(f"link add lan type veth peer name eth0 netns {office.name}")
        router.ip(f"link add wan type veth peer name eth0 netns {place.name}")
        router.ip("link add mirror type veth peer name sensor")
        ends = ((router, "lan", 1), (office, "eth0", 2), (router, "wan", 3), (place, "eth0", 4))
        for where, link, number in ends:
            where.ip(f"link set {link} address 02:00:0a:1e:00:0{number} addrgenmode none up")
        for link in ("mirror", "sensor"):
            router.ip(f"link set {link} addrgenmode none up")
        for where, link, _ in ends:
            # Else the kernel hands over segments longer than a wire carries, and unsummed.
            where.run("ethtool", "-K", link, "tx", "off", "tso", "off", "gso", "off", "gro", "off")

        router.ip("address add 10.30.0.1/24 dev lan")
        router.ip("address add 2001:db8:30::1/64 dev lan nodad")
        router.ip("address add 10.30.1.1/24 dev wan")
        router.ip("address add 2001:db8:31::1/64 dev wan nodad")
        # Without one of these the router cannot ask who has an address.
        router.ip("address add fe80::1/64 dev lan nodad")
        router.ip("address add fe80::1/64 dev wan nodad")
        for address in (*CLIENTS, PYTHON_6):
            office.ip(f"address add {address}/{prefix(address)} dev eth0 {nodad(address)}")
        for address in HOSTS:
            place.ip(f"address add {address}/{prefix(address)} dev eth0 {nodad(address)}")
        place.ip("route add default via 10.30.1.1")
        place.ip("route add default via 2001:db8:31::1")
        # The servers count hops from 128, as Windows does, the firewall from 64.
        place.run("sysctl", "-q", "net.ipv4.ip_default_ttl=128")
        router.run("sysctl", "-q", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        router.run("nft", FIREWALL)
        router.run("tc", "qdisc", "add", "dev", "lan", "clsact")
        for way in ("ingress", "egress"):
            mirrored = "u32 match u32 0 0 action mirred egress mirror dev mirror"
            router.run(*f"tc filter add dev lan {way} protocol all prio 1 {mirrored}".split())
        yield office, router, place


FIREWALL = """table ip office {
  chain forward {
    type filter hook forward priority 0;
    ip daddr 10.30.1.8 tcp flags & psh == psh reject with tcp reset
    ip daddr 10.30.1.9 tcp flags & psh == psh drop
  }
}"""


REDIRECTED = """table ip places {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr 10.30.1.11 tcp dport 995 redirect to :9995
  }
}"""


def prefix(address: str) -> int:
    """Return the length of the network's prefix."""
    return 64 if ":" in address else 24


def nodad(address: str) -> str:
    """Return the word that makes an IPv6 address usable at once."""
    return "nodad" if ":" in address else ""


@contextlib.contextmanager
def named_hosts(place: Namespace) -> Iterator[None]:
    """Let programs in ``place`` know the servers' names: ``ip netns exec`` shows them this."""
    folder = Path("/etc/netns", place.name)
    folder.mkdir(parents=True)
    try:
        lines = (f"{address} {' '.join(names)}\n" for address, names in HOSTS.items())
        (folder / "hosts").write_text("".join(lines))
        yield
    finally:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


@contextlib.contextmanager
def running(
    place: Namespace, *command: str, stderr: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program in ``place``, and end it with all it started."""
    process = subprocess.Popen(  # noqa: S603 - the commands are ours
        ["/usr/sbin/ip", "netns", "exec", place.name, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(place: Namespace, address: str, port: int) -> None:
    """Wait until something listens."""
    until = time.monotonic() + SECONDS
    while True:
        with place.inside(), contextlib.suppress(OSError):
            socket.create_connection((address, port), 5).close()
            return
        if time.monotonic() > until:
            raise SystemExit(f"nothing listens at {address} port {port}")
        time.sleep(0.1)


# ---------------------------------------------------------------------------- the recordings


@contextlib.contextmanager
def recorded(router: Namespace, path: Path) -> Iterator[None]:
    """Write what comes out of the mirror port into ``path``."""
    command = ["tcpdump", "-i", "sensor", "--immediate-mode", "-U", "-Z", "root", "-w", str(path)]
    with running(router, *command, "tcp", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None  # noqa: S101 - for mypy: it is a pipe
        while "listening on" not in (line := process.stderr.readline()):
            if not line:
                raise SystemExit("tcpdump has ended")
        yield
        time.sleep(0.5)


def pay(place: Namespace, planned: Visit, folder: Path) -> None:
    """Run a client, and ask whether it ended as it should."""
    address = planned.client
    family, gateway = ("-6", "2001:db8:30::1") if ":" in address else ("-4", "10.30.0.1")
    place.ip(f"{family} route replace default via {gateway} src {address}")
    words = [word.format(python=sys.executable, folder=folder) for word in planned.command]
    ran = subprocess.run(  # noqa: S603 - the commands are ours
        ["/usr/sbin/ip", "netns", "exec", place.name, *words],
        cwd=PROGRAMS,
        env=os.environ | {"JAVA_TOOL_OPTIONS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        input=planned.says,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if (ran.returncode == 0) != planned.content:
        told = f"exit code {ran.returncode}\n{ran.stdout}{ran.stderr}"
        raise SystemExit(f"{' '.join(words)}\n{told}")


def missing(needs: Mapping[str, str] = NEEDS) -> list[str]:
    """List the Debian packages to install."""
    return [
        package
        for need, package in needs.items()
        if not shutil.which(need) and not Path(need).is_file()
    ]


def main() -> int:
    """Make the captures."""
    parser = argparse.ArgumentParser(description="Make the captures of real programs")
    parser.add_argument("--out", type=Path, default=ROOT / "pcaps", help="folder to write into")
    parser.add_argument("names", metavar="NAME", nargs="*", help="some captures only")
    asked = parser.parse_args()
    every = captures()
    for name in asked.names:
        if name not in every:
            parser.error(f"no capture {name}; there are {', '.join(every)}")
    if os.geteuid():
        command = " ".join(["sudo", sys.executable, *sys.argv])
        print(f"Network namespaces take root: {command}", file=sys.stderr)
        return 1
    if packages := missing():
        subprocess.run([ROOT / "tools" / "install_debian.sh", *packages], check=True)  # noqa: S603 - ours

    with tempfile.TemporaryDirectory() as made, network() as (office, router, place):
        folder = Path(made)
        folder.chmod(0o755)  # Dovecot's login processes are nobody in particular
        certificates(folder)
        subprocess.run(["javac", "-d", folder, PROGRAMS / "Client.java"], check=True)  # noqa: S603, S607 - ours
        with named_hosts(office), servers(place, folder):
            for name in asked.names or every:
                path = asked.out / f"{name}.pcap"
                with recorded(router, path):
                    for planned in every[name]:
                        pay(office, planned, folder)
                print(f"{path.name}: {path.stat().st_size} octets", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
