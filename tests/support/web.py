"""A web server in a process of its own: GDAL may hold Python's lock while it waits for an answer."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event


class Handler(BaseHTTPRequestHandler):
    """Serves files of a folder with ranges, and says nothing for ever under ``/silent/`` after the first range.

    While ``<file>.silent`` exists, it says nothing either to who asks for bytes from the one on which is written there.
    """

    root: Path
    log: Path

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        with self.log.open("a") as log:
            log.write(json.dumps([self.command, self.path]) + "\n")
        name = self.path.partition("?")[0].removeprefix("/silent")
        file = self.root / name.strip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
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
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Web:
    """The running server."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def asked(self) -> list[str]:
        """Paths of all requests so far."""
        return [json.loads(line)[1] for line in self._log.read_text().splitlines()]


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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
