"""An S3 server on this machine, and storages for tests."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

from geoseg.store.storages.base import Storage
from geoseg.store.storages.opening import open_storage


@contextmanager
def serve_s3() -> Iterator[str]:
    """Start moto on a free port and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: server.poll() is not None or _listens(port), 60)
        assert server.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server, or a skip."""
    if find_spec("moto") is None:
        pytest.skip("needs moto[server]")
    with serve_s3() as address:
        yield address


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials that moto takes."""
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def s3_url(s3_server: str, s3_environment: pytest.MonkeyPatch) -> str:
    """A folder in a new bucket; the environment leads to it."""
    s3_environment.setenv("AWS_ENDPOINT_URL", s3_server)
    bucket = f"test-{uuid4()}"
    with urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")):  # noqa: S310
        return f"s3://{bucket}/out 1/ü"


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty output, on a disk and in a bucket."""
    return open_storage(str(tmp_path / "out") if request.param == "local" else request.getfixturevalue("s3_url"))


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
