"""Numbered UDP packets at a steady rate, and what became of them.

    probe.py receive PORT            until SIGTERM; then prints {"received", "twice", "gaps": [[first number, count], ...]}
    probe.py send ADDRESS PORT RATE  until SIGTERM; then prints {"sent"}
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


def send(address, port, rate):
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.connect((address, port))
    sent, due = 0, time.monotonic()
    print("ready", flush=True)
    try:
        while True:
            door.send(struct.pack("!Q", sent) + bytes(56))
            sent, due = sent + 1, due + 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
    except Over:
        print(json.dumps({"sent": sent}), flush=True)


signal.signal(signal.SIGTERM, end)
try:
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
except Over:
    pass
