"""Tests of the tests' relay: SSH packets are told apart, and a line is cut where it was said."""

from __future__ import annotations

import socket
import time
from typing import Literal

import pytest

from tests.support.packets import NEW_KEYS, TAG, Packets
from tests.support.proxy import Relay
from tests.test_support_sshd import echo_server, read, through

GREETING = b"SSH-2.0-test\r\n"


def clear(kind: int, length: int) -> bytes:
    """A packet whose content is in clear."""
    return length.to_bytes(4) + bytes([4, kind]) + bytes(length - 2)


def sealed(length: int) -> bytes:
    """One of which only the length is."""
    return length.to_bytes(4) + b"x" * (length + TAG)


STREAM = [GREETING, clear(20, 60), clear(NEW_KEYS, 12), sealed(32), sealed(1000), sealed(16)]
ENDS = [sum(map(len, STREAM[: number + 1])) for number in range(len(STREAM))]


@pytest.mark.parametrize("piece", [1, 3, 7, 100, 10_000])
def test_packets_are_told_apart_however_they_arrive(piece: int) -> None:
    whole, packets = b"".join(STREAM), Packets()
    for start in range(0, len(whole), piece):
        packets.feed(whole[start : start + piece])
    assert packets.ends == ENDS


def test_a_packet_is_known_once_its_head_is_there() -> None:
    packets = Packets()
    packets.feed(b"".join(STREAM[:3]) + STREAM[3][:5])
    assert (packets.ends, packets.place(3, 0)) == (ENDS[:3], None)
    packets.feed(STREAM[3][5:6])
    assert packets.ends == ENDS[:4]
    assert (packets.place(3, 0), packets.place(3, 0.5)) == (ENDS[2], ENDS[2] + 26)
    assert packets.place(3, 0.9999) == ENDS[3] - 1


@pytest.mark.parametrize("wrong", [b"HTTP/1.1 400\r\n", GREETING + b"\xff" * 9])
def test_what_is_no_ssh_that_can_be_told_apart_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"greeting|cipher"):
        Packets().feed(wrong)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(("number", "part"), [(0, 0.5), (1, 0), (3, 0), (3, 0.5), (5, 0.9)])
def test_the_relay_cuts_at_that_place_and_not_a_byte_later(
    way: Literal["up", "down"], number: int, part: float
) -> None:
    counted = Packets()
    counted.feed(b"".join(STREAM))
    with echo_server() as port, Relay(port, counting=True) as relay:
        relay.cut_in_packet(way, number, part)
        with through(relay) as line, pytest.raises((ConnectionResetError, BrokenPipeError)):
            talk(line)
        assert getattr(relay, way) == counted.place(number, part)
        with through(relay) as line:
            line.sendall(b"as ever")
            assert read(line, 7) == b"as ever"


def talk(line: socket.socket) -> None:
    """Send packet by packet, and wait until it is cut."""
    for packet in STREAM:
        line.sendall(packet)
        time.sleep(0.01)
    line.settimeout(10)
    while line.recv(4096):
        pass


def test_the_relay_stands_still_there_and_goes_on_when_it_is_told_to() -> None:
    whole = b"".join(STREAM)
    with echo_server() as port, Relay(port, counting=True) as relay:
        relay.cut_in_packet("up", 4, 0.5, freeze=True)
        with through(relay) as line:
            line.sendall(whole)
            while not relay.frozen:
                time.sleep(0.001)
            assert relay.up == ENDS[3] + 510
            relay.thaw()
            assert read(line, len(whole)) == whole
