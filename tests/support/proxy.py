"""A server between geoseg and its S3: it records requests, and can delay or refuse them."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    key: str
    """Path without the bucket, decoded."""
    query: str
    copied: bool
    """Whether it writes a copy of another object."""

    @property
    def writes(self) -> bool:
        return self.method in {"PUT", "POST"} and not (self.method == "POST" and self.query == "delete")


@dataclass
class Proxy:
    """The running server."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    hold: Callable[[Request], bool] = lambda _: False
    """Requests that wait, before they are passed on, until `let_go` is set."""
    held: threading.Event = field(default_factory=threading.Event)
    """Set when one waits."""
    let_go: threading.Event = field(default_factory=threading.Event)
    gone: bool = False
    """Whether to hang up on everyone, like a server that is not there."""

    def count(self, kind: Callable[[Request], str]) -> Counter[str]:
        """Requests so far of each kind."""
        return Counter(map(kind, self.requests))


@contextmanager
def forward(target: str) -> Iterator[Proxy]:
    """Pass requests on to an S3 server, in threads of this process."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            key = unquote(path).lstrip("/").partition("/")[2]
            request = Request(self.command, key, query, "x-amz-copy-source" in self.headers)
            proxy.requests.append(request)
            if proxy.hold(request):
                proxy.held.set()
                proxy.let_go.wait()
            if proxy.gone:
                self.close_connection = True
                return
            connection = http.client.HTTPConnection(urlsplit(target).netloc)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            if answer.status != 204:
                self.send_header("Content-Length", size)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the other side was killed, as tests do
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
