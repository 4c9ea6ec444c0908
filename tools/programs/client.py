"""A mail client of Python's own modules, and one of tlslite-ng: say hello, log out.

    client.py imap|pop3|smtp|tlslite HOST PORT [--least V] [--most V] [--starttls] [--ca FILE]

Without --ca any certificate will do. Exits 1 if TLS was not agreed.
"""

import argparse
import imaplib
import poplib
import smtplib
import socket
import ssl
import sys
from pathlib import Path

from tlslite.api import TLSConnection  # type: ignore[import-untyped]  # it has no types

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from make_pcaps import limit, printer_settings

VERSIONS = ("1.0", "1.1", "1.2", "1.3")
SECONDS = 40


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=["imap", "pop3", "smtp", "tlslite"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--least", default="1.0", choices=VERSIONS)
    parser.add_argument("--most", default="1.3", choices=VERSIONS)
    parser.add_argument("--starttls", action="store_true")
    parser.add_argument("--ca")
    asked = parser.parse_args()
    if asked.protocol == "tlslite":
        ssl_3(asked.host, asked.port)
        return

    context = ssl.create_default_context(cafile=asked.ca)
    if asked.ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    limit(context, asked.most, asked.least)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    speak = {"imap": imap, "pop3": pop3, "smtp": smtp}[asked.protocol]
    speak(asked.host, asked.port, context, asked.starttls)


def imap(host: str, port: int, context: ssl.SSLContext, starttls: bool) -> None:
    """Log out of an IMAP server."""
    if starttls:
        plain = imaplib.IMAP4(host, port, SECONDS)
        plain.starttls(context)
        plain.logout()
    else:
        imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=SECONDS).logout()


def pop3(host: str, port: int, context: ssl.SSLContext, starttls: bool) -> None:
    """Quit a POP3 server."""
    if starttls:
        plain = poplib.POP3(host, port, SECONDS)
        plain.stls(context)
        plain.quit()
    else:
        poplib.POP3_SSL(host, port, context=context, timeout=SECONDS).quit()


def smtp(host: str, port: int, context: ssl.SSLContext, starttls: bool) -> None:
    """Quit an SMTP server."""
    if starttls:
        plain = smtplib.SMTP(host, port, "copier.example.org", SECONDS)
        plain.starttls(context=context)
        plain.quit()
    else:
        smtplib.SMTP_SSL(host, port, "copier.example.org", context=context).quit()


def ssl_3(host: str, port: int) -> None:
    """Agree on SSL 3.0, read a line and say goodbye."""
    with socket.create_connection((host, port), SECONDS) as connection:
        tls = TLSConnection(connection)
        tls.handshakeClientCert(settings=printer_settings("ssl", "3.0"))
        tls.recv(100)
        tls.send(b"a1 LOGOUT\r\n")
        tls.close()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, it was no handshake
        sys.exit(f"{type(error).__name__}: {error}")
