"""The clients of a house: one thread with many connections, since what they compute is missing to the servers."""

import json
import re
import selectors
import socket
import time
from urllib.parse import quote

from machine import Trouble, say

CLIENT = "/_matrix/client/v3"
# Who is refused more often gives up.
WRONG_MAX = 20


def asked(method, path, token=None, body=None):
    """A request, as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: scale.test\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    return head.encode() + b"\r\n" + content


def filtered(limit):
    """The filter of a client that shows so many events of each room."""
    wanted = {"room": {"timeline": {"limit": limit}, "state": {"lazy_load_members": True}}}
    return quote(json.dumps(wanted, separators=(",", ":")))


class Line:
    """A connection on which one request follows the other. `source` gives them, each with what hears of the answer; `None` ends it."""

    def __init__(self, selector, port, source):
        self.selector, self.source, self.out, self.into = selector, source, b"", b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        selector.register(self.socket, selectors.EVENT_READ, self)
        self.is_open = True
        self.proceed()

    def proceed(self):
        """Asks the next thing."""
        request = self.source()
        if request is None:
            return self.close()
        self.out, self.hears = request
        self.sent = time.monotonic()
        self.send()

    def send(self):
        try:
            self.out = self.out[self.socket.send(self.out) :]
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)
        self.selector.modify(self.socket, wanted, self)

    def ready(self, events):
        if events & selectors.EVENT_WRITE and self.out:
            self.send()
        if events & selectors.EVENT_READ:
            try:
                more = self.socket.recv(1 << 18)
            except BlockingIOError:
                return
            if not more:
                raise Trouble("a server has closed a connection in the middle of an answer")
            self.into += more
            answer = self.answer()
            if answer:
                self.hears(*answer, time.monotonic() - self.sent)
                self.proceed()

    def answer(self):
        """Status and body of what has come, if it is whole."""
        head, found, rest = self.into.partition(b"\r\n\r\n")
        if not found:
            return None
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if length:
            if len(rest) < int(length[1]):
                return None
        elif b"chunked" in head.lower() and not rest.endswith(b"0\r\n\r\n"):
            return None
        self.into = b""
        return int(head[9:12]), rest

    def close(self):
        if self.is_open:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.is_open = False


class Poller:
    """A client that waits for news all the time."""

    def __init__(self, token, since):
        self.token, self.since, self.heard, self.wrong = token, since, 0, 0

    def __call__(self):
        path = f"{CLIENT}/sync?timeout=60000&filter={filtered(100)}&since={quote(self.since)}"
        return asked("GET", path, self.token), self.take

    def take(self, status, body, _seconds):
        since = re.search(rb'"next_batch":"([^"]+)"', body)
        if status != 200 or not since:
            # A shard may have moved just now; then it is asked again.
            self.wrong += 1
            if self.wrong > WRONG_MAX:
                raise Trouble(f"/sync says {status}: {body[:200]}")
            return
        self.since = since[1].decode()
        self.heard += body.count(b'"msgtype":"m.text"')


class Clients:
    """All clients of a house."""

    def __init__(self, house, width, until):
        self.house, self.width, self.until = house, width, until
        self.selector = selectors.DefaultSelector()
        self.ports = [node.port for node in house.nodes]
        self.pollers, self.polls = [], []

    def turn(self, wait=0.1):
        """Does what can be done now, or waits a little."""
        for key, events in self.selector.select(wait):
            if key.data.is_open:
                key.data.ready(events)

    def pump(self, jobs):
        """Puts requests through, so many at once; how many were answered well, in how many seconds, and how long each took."""
        waits, wrong = [], []

        def source():
            job = next(jobs, None) if time.monotonic() < self.until else None
            if job is None:
                return None
            request, hears = job

            def answered(status, body, seconds):
                if status != 200:
                    return wrong.append((status, body))
                waits.append(seconds)
                if hears:
                    hears(json.loads(body))

            return request, answered

        begun = time.monotonic()
        lines = [Line(self.selector, self.ports[index % len(self.ports)], source) for index in range(self.width)]
        while any(line.is_open for line in lines):
            self.turn()
        took = time.monotonic() - begun
        if wrong:
            say(f"{len(wrong)} of {len(wrong) + len(waits)} requests failed: {wrong[0]}")
        return len(waits), took, sorted(waits)

    def poll(self, pollers):
        """Lets them wait for news from now on."""
        self.pollers = pollers
        self.polls = [Line(self.selector, self.ports[index % len(self.ports)], poller) for index, poller in enumerate(pollers)]

    def idle(self, seconds):
        """Lets only those who wait for news go on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()

    def heard(self):
        return sum(poller.heard for poller in self.pollers)

    def hang_up(self):
        for line in self.polls:
            line.close()
        self.pollers, self.polls = [], []
