"""Conversations that say a secret wherever somebody may say one."""

import craft
from craft import Conversation

CANARY = b"Canary-9f3a"


def dialogues() -> list[Conversation]:
    """Conversations in clear, upgraded, refused, and with data around their handshake."""
    secret = CANARY + b"\r\n"
    said = [Conversation(client_port=50_000 + n, server_port=110) for n in range(6)]
    # In clear, before an upgrade, and after one that was refused.
    said[0].open().server(b"+OK " + secret).client(b"CAPA\r\n").server(b"-ERR " + secret)
    said[0].client(b"AUTH " + secret).client(b"STLS\r\n").server(b"+OK " + secret)
    said[0].client(craft.client_hello()).server(craft.alert()).fin("server")
    said[1].open().server(b"+OK\r\n").client(b"USER " + secret).client(b"PASS " + secret)
    said[2].open().client(b"CAPA\r\nAUTH " + secret + b"STLS\r\n" + craft.client_hello())
    said[2].server(b"-ERR " + secret).client(b"PASS " + secret).fin("client")
    # Behind the handshake, in the same segments and in others.
    agreed = craft.server_hello() + craft.certificate_flight()
    data = craft.record(CANARY * 3, content_type=23)
    said[3].open().client(craft.client_hello()).server(agreed)
    said[3].client(craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished())
    said[3].server(craft.change_cipher_spec() + craft.finished() + data).client(data + secret)
    said[3].fin("server").client(secret)
    # Early data, before anything is agreed; and text in the middle of it all.
    said[4].open().client(craft.tls13_client_hello() + data, split=97).server(data)
    said[4].server(craft.tls13_server_hello() + data).client(data).fin("client")
    said[5].open().client(craft.client_hello()).client(secret).server(secret).rst("server")
    return said
