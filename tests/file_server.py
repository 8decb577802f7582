"""A file server on this machine that can be told to misbehave."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What is served, and how; `requests` has (path, Range, If-Range) of each request."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[int]] = field(default_factory=dict)
    """Status codes to answer with, one a request, before the file is served."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes of a body after which the connection is closed, one a request."""
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    conditions: bool = True
    lengths: bool = True
    last_modified: str | None = "Mon, 02 Nov 2020 10:00:00 GMT"
    pause: float = 0.0
    false_length: int = 0
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    address: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        self.requests.append((path, asked, condition))
        time.sleep(self.pause)
        if self.errors.get(path):
            handler.send_error(self.errors[path].pop(0))
            return
        if path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if path not in self.files:
            handler.send_error(404)
            return
        self._send(handler, self.files[path], asked, condition)

    def _send(
        self, handler: BaseHTTPRequestHandler, body: bytes, asked: str | None, condition: str | None
    ) -> None:
        etag, start = self.etags.get(handler.path), 0
        fits = not self.conditions or condition in (None, etag or self.last_modified)
        if asked and self.ranges and fits:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        if etag:
            handler.send_header("ETag", etag)
        if self.last_modified:
            handler.send_header("Last-Modified", self.last_modified)
        if self.lengths:
            handler.send_header("Content-Length", str(len(body) - start + self.false_length))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[start:][: self.cut_after.pop(0) if self.cut_after else None])


@contextmanager
def serving(**options: Any) -> Iterator[FileServer]:
    server = FileServer(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            server.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that leave early are what the tests are about."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
