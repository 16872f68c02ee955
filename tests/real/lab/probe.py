"""Numbered UDP packets at a steady rate, and what became of them.

    probe.py receive PORT            until SIGTERM; then prints {"received", "twice", "gaps": [[first number, count], ...]}
    probe.py send ADDRESS PORT RATE  until SIGTERM; then prints {"sent"}

The same to so many ports, one after the other at RATE in all:

    probe.py receive PORT COUNT            until SIGTERM; then prints {"received", "twice", "gaps": [longest of each port, ...]}
    probe.py send ADDRESS PORT RATE COUNT  until SIGTERM; then prints {"sent"}
"""

import json
import signal
import socket
import struct
import sys
import time


class Over(Exception):
    """The test has seen enough."""


def end(*_):
    raise Over


def receive(port):
    counts = {}
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    door.bind(("0.0.0.0", port))
    print("ready", flush=True)
    try:
        while True:
            (number,) = struct.unpack("!Q", door.recv(64)[:8])
            counts[number] = counts.get(number, 0) + 1
    except Over:
        pass
    gaps, before = [], min(counts, default=0) - 1
    for number in sorted(counts):
        if number > before + 1:
            gaps.append([before + 1, number - before - 1])
        before = number
    twice = sum(1 for count in counts.values() if count > 1)
    print(json.dumps({"received": len(counts), "twice": twice, "gaps": gaps}), flush=True)


def receive_many(first, count):
    # One raw socket hears every port.
    counts = [{} for _ in range(count)]
    door = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE, 1 << 24)
    print("ready", flush=True)
    try:
        while True:
            packet = door.recv(128)
            head = (packet[0] & 15) * 4
            port, number = struct.unpack("!2xH4xQ", packet[head : head + 16])
            if 0 <= port - first < count:
                counts[port - first][number] = counts[port - first].get(number, 0) + 1
    except Over:
        pass
    longest = []
    for numbers in counts:
        seen = sorted(numbers)
        longest.append(max((after - before - 1 for before, after in zip(seen, seen[1:])), default=-1))
    twice = sum(1 for numbers in counts for often in numbers.values() if often > 1)
    print(json.dumps({"received": sum(map(len, counts)), "twice": twice, "gaps": longest}), flush=True)


def send(address, port, rate, count=1):
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent, due = 0, time.monotonic()
    print("ready", flush=True)
    try:
        while True:
            door.sendto(struct.pack("!Q", sent // count) + bytes(56), (address, port + sent % count))
            sent, due = sent + 1, due + 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
    except Over:
        print(json.dumps({"sent": sent}), flush=True)


signal.signal(signal.SIGTERM, end)
try:
    if sys.argv[1] == "send":
        send(sys.argv[2], *map(int, sys.argv[3:]))
    elif len(sys.argv) > 3:
        receive_many(int(sys.argv[2]), int(sys.argv[3]))
    else:
        receive(int(sys.argv[2]))
except Over:
    pass
