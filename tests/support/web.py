"""A web server in a process of its own: GDAL may hold Python's lock while it waits for an answer."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import ClassVar


class Handler(BaseHTTPRequestHandler):
    """Serves files of a folder with ranges, and says nothing for ever under ``/silent/`` after the first range.

    While ``<file>.silent`` exists, it says nothing either to who asks for bytes from the one on which is written there.
    While ``<file>.busy`` exists, it answers 503 to who asks for the first 16 bytes, as many times as is written there.
    If ``<file>.secret`` exists, it wants what is written there as authorization.
    Under ``/together/N/`` it answers N requests at a time: all wait until N of them have come.
    """

    root: Path
    log: Path
    waiting = 0
    counting = Lock()
    together: ClassVar[dict[int, Barrier]] = {}

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/silent")
        found = re.fullmatch(r"/together/(\d+)(/.+)", name)
        with self.counting:
            Handler.waiting += 1
            with self.log.open("a") as log:
                log.write(json.dumps([self.command, self.path, self.waiting]) + "\n")
            barrier = self.together.setdefault(int(found[1]), Barrier(int(found[1]))) if found else None
        if found and barrier:
            name = found[2]
            barrier.wait()
        with self.counting:  # before the answer: its receiver may ask again at once
            Handler.waiting -= 1
        file = self.root / name.strip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        secret = Path(f"{file}.secret")
        if secret.exists() and self.headers.get("Authorization") != secret.read_text():
            self.send_error(401)
            return
        busy = Path(f"{file}.busy")
        if busy.exists() and self.headers.get("Range") == "bytes=0-15" and int(busy.read_text()):
            busy.write_text(str(int(busy.read_text()) - 1))
            self.send_error(503)
            return
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
            silent = Path(f"{file}.silent")
            if (first and self.path.startswith("/silent/")) or (silent.exists() and last >= int(silent.read_text())):
                Event().wait()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if not Path(f"{file}.untagged").exists():
            self.send_header("ETag", f'"{sha256(file.read_bytes()).hexdigest()}"')
            self.send_header("Last-Modified", formatdate(file.stat().st_mtime, usegmt=True))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Takes many connections at a time."""

    request_queue_size = 128


class Web:
    """The running server."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def asked(self) -> list[str]:
        """Paths of all requests so far."""
        return [json.loads(line)[1] for line in self._log.read_text().splitlines()]

    @property
    def most_at_once(self) -> int:
        """Requests that waited for an answer at a time, at most."""
        return max(json.loads(line)[2] for line in self._log.read_text().splitlines())


@contextmanager
def serve(root: Path, log: Path) -> Iterator[Web]:
    """Serve a folder on a free port of this machine."""
    log.touch()
    command = [sys.executable, __file__, root, log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield Web(int(process.stdout.readline()), log)
        process.kill()


if __name__ == "__main__":
    Handler.root, Handler.log = map(Path, sys.argv[1:])
    server = Server(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
