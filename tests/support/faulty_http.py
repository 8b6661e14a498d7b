"""Requests that are answered by routes, or go wrong as a test wants."""

import dataclasses
import http.server
import json
import re
import socket
import struct
import time
import urllib.parse


@dataclasses.dataclass
class Fault:
    """What goes wrong with the next requests that match.

    `kind` is a status code, or one of
    `"reset"`: the connection is reset before anything is done;
    `"lost"`: all is done and the connection is reset instead of the answer;
    `"cut"`: half of the body, then an orderly end;
    `"reset body"`: half of the body, then a reset;
    `"short"`: half of the body, under a header that says so;
    `"flip"`: a body with one bit changed;
    `"no range"`: all of the body where a part was asked for;
    `"stall"`: half of the body, and then nothing.
    """

    method: str
    path: str
    kind: int | str
    times: int = 1

    def matches(self, method, path):
        return self.times > 0 and method == self.method and re.search(self.path, path)


class FaultyHandler(http.server.BaseHTTPRequestHandler):
    """Sends each request to the method that `ROUTES` names, as far as faults let it.

    The server has `faults`, a list of `Fault`; `requests`, to which every request is
    added; a `lock`, and `stalled`, an event that ends a stall.
    """

    protocol_version = "HTTP/1.1"
    ROUTES = ()  # method, pattern of the path, name of what answers

    def log_message(self, *_):
        """Tests read `HubServer.requests`."""

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        self.server.requests.append((self.command, url.path))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._chunks()
        self.fault = None
        with self.server.lock:
            for fault in self.server.faults:
                if fault.matches(self.command, url.path):
                    fault.times -= 1
                    self.fault = fault.kind
                    break
        if self.fault == "reset":
            return self._reset()
        if isinstance(self.fault, int):
            return self.error(self.fault, None, "a fault of the test")
        for method, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and method == self.command:
                arguments = [a and urllib.parse.unquote(a) for a in match.groups()]
                return getattr(self, name)(*arguments)
        return self.error(404, "EntryNotFound", "no such address")

    do_GET = do_POST = do_PUT = do_HEAD = serve

    def _chunks(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reset(self):
        linger = struct.pack("ii", 1, 0)  # closing then sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def answer(self, body=b"", status=200, headers=()):
        """Sends an answer, as far as the fault lets it."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if self.fault == "lost":
            return self._reset()
        if self.fault == "flip":
            body = body[:-1] + bytes([body[-1] ^ 1])
        half = self.fault in ("cut", "reset body", "short", "stall")
        sent = body[: len(body) // 2] if half else body
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        length = len(sent) if self.fault == "short" else len(body)
        if "Content-Length" not in dict(headers):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)
            self.wfile.flush()
        if self.fault == "stall":
            self.server.stalled.wait(60)
        if self.fault == "reset body":
            time.sleep(0.05)
            self._reset()
        if half:
            self.close_connection = True

    def error(self, status, code, message):
        headers = {"X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        self.fault = None
        self.answer({"error": message}, status, headers)
