"""A mail server and its clients that speak TLS as real ones do, in namespaces."""

import socket
import ssl
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path

import trustme
from namespaces import Namespace

SERVER = "10.9.0.1"


class MailServer:
    """TLS as a mail server speaks it: says one line, reads one, closes."""

    def __init__(self, stack: ExitStack, ns: Namespace, folder: Path) -> None:
        made = trustme.CA().issue_cert("mail.example.org")
        self.certificate = folder / "server.pem"
        made.private_key_and_cert_chain_pem.write_to_path(self.certificate)
        self._listen(stack, ns, 993, ssl.TLSVersion.TLSv1)
        self._listen(stack, ns, 995, ssl.TLSVersion.TLSv1_2)

    def _listen(self, stack: ExitStack, ns: Namespace, port: int, oldest: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        allow(context, oldest, ssl.TLSVersion.MAXIMUM_SUPPORTED)
        with ns.inside():
            listening = socket.create_server((SERVER, port))
        stack.callback(listening.close)
        threading.Thread(target=self._serve, args=(listening, context), daemon=True).start()

    def _serve(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as talk:
                    talk.sendall(b"* OK\r\n")
                    talk.recv(100)
            except OSError:
                connection.close()


def allow(context: ssl.SSLContext, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = oldest
        context.maximum_version = newest


def talk(ns: Namespace, client: str, port: int, newest: ssl.TLSVersion) -> str:
    """Be a client once; return what became of the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    allow(context, ssl.TLSVersion.TLSv1, newest)
    with ns.inside():
        connection = socket.create_connection((SERVER, port), 5, (client, 0))
    try:
        with context.wrap_socket(connection, server_hostname="mail.example.org") as talking:
            talking.recv(100)
            talking.sendall(b"a logout\r\n")
            return "established"
    except ssl.SSLError:
        return "alert"
    finally:
        connection.close()
