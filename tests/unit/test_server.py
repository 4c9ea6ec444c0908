"""The judge, the aggregate and the page over them, as one."""

from handshakes import handshake

from sniffer.config import Settings
from sniffer.daemon.server import Server
from sniffer.export.metrics import Build
from sniffer.judge.ladder import MOST_LADDERS

BUILD = Build(version="1", revision="a", compiled=False)


def test_forgotten_retries_are_in_the_picture():
    server = Server(Settings(), {}, BUILD)
    for client in range(MOST_LADDERS + 3):
        server.judge.judge(handshake(source=client.to_bytes(4)))
    assert server.picture().ladders_evicted == 3
