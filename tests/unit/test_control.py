"""What launcher and children say to each other, to the last word."""

import os

from sniffer.daemon.control import GONE, Message, pair


def test_messages_arrive_whole_and_in_order():
    one, other = pair()
    one.send("lost", "0 12 3")
    one.send("finish")
    assert other.receive() == Message("lost", "0 12 3")
    assert other.receive() == Message("finish")
    assert other.receive() is None
    one.close()
    assert other.receive() == GONE
    other.close()


def test_descriptor_comes_along():
    one, other = pair()
    reading, writing = os.pipe()
    one.hand_over("link", "", writing)
    os.close(writing)
    message = other.receive()
    assert message is not None
    assert message.word == "link"
    os.write(message.descriptor, b"x")
    assert os.read(reading, 1) == b"x"
    for descriptor in (reading, message.descriptor):
        os.close(descriptor)
    one.close()
    other.close()


def test_last_words_are_heard_though_what_was_told_before_was_not():
    one, other = pair()
    one.send("worker", "0")
    other.send("failed", "2 the address is taken")
    other.close()
    assert one.receive() == Message("failed", "2 the address is taken")
    assert one.receive() == GONE
    one.close()


def test_nothing_waits_for_one_who_does_not_listen_or_is_gone():
    one, other = pair()
    for _ in range(10_000):
        one.send("report")
    other.close()
    one.send("report")
    one.hand_over("link", "", 0)
    one.close()
