import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from geoseg.errors import SettingsError
from geoseg.store.storages import s3
from geoseg.store.storages.base import Storage, temporary_name
from geoseg.store.storages.local import LocalStorage
from geoseg.store.storages.opening import check_writable, open_storage
from tests.support.s3 import wait_until

WEIRD = ["Zürich 50% #1", "a=b", "🛰️ Luzern", "ü" * 100, "%41", "a+b&c?d", "[x]{y}~^*'\"`<|>\\:", "-", "x.tmp", "..."]
BAD = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a\0b", "a\nb"]


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def test_an_object_comes_back_and_is_replaced(storage: Storage) -> None:
    for content in (b"old", b"", b"new" * 1000):
        storage.put("a/b", content)
        assert storage.get("a/b") == content
        assert storage.size("a/b") == len(content)
    assert storage.keys("") == ["a/b"]


@pytest.mark.parametrize("scene", WEIRD)
def test_any_scene_id_makes_a_key(storage: Storage, scene: str) -> None:
    key = f"polygons/scene={scene}/{scene}"
    storage.put(key, scene.encode())
    assert storage.get(key) == scene.encode()
    assert storage.size(key) == len(scene.encode())
    assert storage.keys(f"polygons/scene={scene}") == [key]
    storage.move(key, f"{scene}/moved")
    assert storage.keys("") == [f"{scene}/moved"]
    storage.delete_all(scene)
    assert storage.keys("") == []


@pytest.mark.parametrize("key", BAD)
def test_no_key_leaves_the_output(storage: Storage, key: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for call in (
        lambda: storage.put(key, b"x"),
        lambda: storage.create(key, b"x"),
        lambda: storage.get(key),
        lambda: storage.size(key),
        lambda: storage.delete(key),
        lambda: storage.delete_all(key),
        lambda: storage.retire(key, "a"),
        lambda: storage.retire("a", key),
        lambda: storage.move(key, "a"),
        lambda: storage.move("a", key),
        lambda: storage.age_s(key),
        lambda: storage.upload(file, key),
        lambda: storage.fetch(key, tmp_path),
        lambda: storage.scratch(key).__enter__(),
    ):
        with pytest.raises(ValueError, match="is no key"):
            call()
    assert list(tmp_path.iterdir()) == [file]


def test_missing_objects(storage: Storage, tmp_path: Path) -> None:
    for call in (
        lambda: storage.get("a/b"),
        lambda: storage.fetch("a/b", tmp_path),
        lambda: storage.move("a/b", "c"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{re.escape(storage.url)}/a/b"):
            call()
    assert storage.size("a/b") is None
    assert storage.age_s("a/b") is None
    assert storage.keys("a") == storage.keys("") == []
    storage.delete("a/b")
    storage.delete_all("a")


def test_an_object_is_retired_as_long_as_a_folder_is_there(storage: Storage) -> None:
    storage.put("a/b", b"x")
    with pytest.raises(FileNotFoundError):
        storage.retire("a/b", "work")
    assert storage.get("a/b") == b"x"
    storage.put("work/c", b"y")
    storage.retire("a/b", "work")
    storage.retire("a/b", "work")
    assert storage.keys("") == ["work/c"]


def test_a_folder_is_no_object(storage: Storage) -> None:
    storage.put("a/b", b"x")
    assert storage.size("a") is None
    with pytest.raises(OSError, match=f"{re.escape(storage.url)}/a"):
        storage.get("a")


def test_keys_are_those_of_the_folder_and_not_of_its_namesakes(storage: Storage) -> None:
    keys = ["ab/c", "a/é", "a/z/1", "a.b", "a/b", "a/Z"]
    for key in [*keys, f"a/{temporary_name()}", f"a/{temporary_name()}/x"]:
        storage.put(key, b"x")
    assert storage.keys("") == sorted(keys)
    assert storage.keys("a") == ["a/Z", "a/b", "a/z/1", "a/é"]
    storage.delete_all("a")
    assert storage.keys("") == ["a.b", "ab/c"]


def test_an_object_is_created_once(storage: Storage) -> None:
    assert storage.create("a/b", b"first")
    assert not storage.create("a/b", b"second")
    assert storage.get("a/b") == b"first"
    assert storage.keys("") == ["a/b"]


def test_of_eight_processes_one_creates(storage: Storage) -> None:
    code = """if True:
        import sys, time
        from geoseg.store.storages.opening import check_writable, open_storage
        storage = open_storage(sys.argv[1])
        storage.put(f"ready/{sys.argv[2]}", b"")
        while storage.size("go") is None: time.sleep(0.01)
        print(storage.create("prize", sys.argv[2].encode()))
    """
    racers = [python(code, storage.url, str(index)) for index in range(8)]
    wait_until(lambda: len(storage.keys("ready")) == 8, 120)
    storage.put("go", b"")
    answers = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(answers) == ["False"] * 7 + ["True"]
    assert int(storage.get("prize")) == answers.index("True")


def test_an_object_moves_and_replaces(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    for largest_copy in (1 << 30, 1):  # by the server, and through this machine
        monkeypatch.setattr(s3, "LARGEST_COPY_BYTES", largest_copy)
        storage.put("x/y/new", b"new")
        storage.put("b/old", b"old")
        storage.move("x/y/new", "b/old")
        assert storage.get("b/old") == b"new"
        assert storage.keys("") == ["b/old"]


def test_age_is_counted_by_the_storage(storage: Storage) -> None:
    storage.put("a", b"x")
    before = storage.age_s("a")
    assert before is not None
    assert 0 <= before < 1.1
    time.sleep(1.3)
    after = storage.age_s("a")
    assert after is not None
    assert 1 <= after < 10
    storage.put("a", b"x")
    renewed = storage.age_s("a")
    assert renewed is not None
    assert renewed < 1.1
    assert storage.keys("") == ["a"]


def test_a_large_file_is_built_published_and_read(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(20_000_000)
    with storage.scratch(".work/s") as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_bytes(content)
        assert storage.keys("") == []
        storage.upload(folder / "file", "out/ü/file")
        (folder / "left").write_bytes(b"x")
    assert not folder.exists()
    assert storage.size("out/ü/file") == len(content)
    assert storage.fetch("out/ü/file", tmp_path).read_bytes() == content
    assert storage.get("out/ü/file") == content
    assert storage.keys("") == ["out/ü/file"]
    storage.move("out/ü/file", "b")
    assert storage.get("b") == content


def test_an_upload_replaces(storage: Storage, tmp_path: Path) -> None:
    for content in (b"old", b"new", b""):
        (tmp_path / "file").write_bytes(content)
        storage.upload(tmp_path / "file", "a/b")
        assert storage.get("a/b") == content


def test_a_storage_can_be_pickled(storage: Storage) -> None:
    storage.put("a", b"x")
    there = pickle.loads(pickle.dumps(storage))  # noqa: S301
    assert there == storage == open_storage(storage.url)
    assert there.get("a") == b"x"


def test_the_probe_leaves_nothing(storage: Storage) -> None:
    check_writable(storage)
    storage.put("a", b"x")
    storage.delete_all("a")
    storage.delete("a")
    assert storage.keys("") == []


@pytest.mark.parametrize("url", ["gs://b/x", "https://b/x", "file:///x", "/vsis3/b/x", "", " "])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="neither a local path nor s3://"):
        open_storage(url)


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://B/x", "s3://bucket/../x", "s3://bucket//x", "s3://a:b/x"])
def test_folders_s3_cannot_have_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"s3://bucket/folder\.$"):
        open_storage(url)


@pytest.mark.parametrize("url", ["https://me:secret@host/x", "s3://me:secret@bucket/x"])
def test_no_secret_is_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


def test_empty_folders_are_removed(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "out"))
    for remove in (storage.delete, storage.delete_all, lambda key: storage.move(key, "z")):
        storage.put("a/b/c", b"x")
        storage.put("a/d", b"x")
        remove("a/b/c" if remove != storage.delete_all else "a/b")
        assert [path.name for path in (tmp_path / "out/a").iterdir()] == ["d"]
        storage.delete("a/d")
        storage.delete("z")
        assert list((tmp_path / "out").iterdir()) == []


def test_folders_removed_by_other_processes_are_made_again(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "out"))
    errors: list[OSError] = []

    def work(name: str) -> None:
        try:
            for _ in range(300):
                storage.put(f"a/b/{name}", b"x")
                storage.delete(f"a/b/{name}")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(str(index),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_file_from_another_file_system_is_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm") / f"geoseg-{os.getpid()}"  # noqa: S108
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    elsewhere.write_bytes(b"x" * 100)
    storage = open_storage(str(tmp_path))
    storage.upload(elsewhere, "a/b")
    assert storage.get("a/b") == b"x" * 100
    assert storage.keys("") == ["a/b"]
    assert not elsewhere.exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_put_that_is_killed_leaves_no_key(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "out"))
    code = """if True:
        import os, signal, sys
        from geoseg.store.storages.opening import check_writable, open_storage
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        open_storage(sys.argv[1]).put("a/b", b"x" * 100000)
    """
    assert subprocess.run([sys.executable, "-c", code, storage.url], check=False).returncode == -signal.SIGKILL
    assert storage.size("a/b") is None
    assert storage.keys("") == []
    assert len(list((tmp_path / "out/a").iterdir())) == 1
    storage.delete_all("a")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_upload_that_is_killed_leaves_no_key(s3_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as target:
        target.truncate(400_000_000)
    code = """if True:
        import pathlib, sys
        from geoseg.store.storages.opening import check_writable, open_storage
        open_storage(sys.argv[1]).upload(pathlib.Path(sys.argv[2]), "a/b")
    """
    uploader = python(code, s3_url, str(file))
    uploads = f"{os.environ['AWS_ENDPOINT_URL']}/{s3_url.split('/')[2]}?uploads"

    def has_begun() -> bool:
        with urllib.request.urlopen(uploads) as answer:  # noqa: S310
            return b"<UploadId>" in answer.read()

    wait_until(has_begun, 60)
    uploader.kill()
    uploader.communicate()
    assert uploader.returncode == -signal.SIGKILL
    assert open_storage(s3_url).size("a/b") is None
    assert open_storage(s3_url).keys("") == []


def test_a_disk_that_is_full_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    code = """if True:
        import resource, signal, sys
        from geoseg.store.storages.opening import check_writable, open_storage
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            open_storage(sys.argv[1]).put("a/b", b"x" * 100000)
        except OSError as error:
            print(error)
    """
    assert python(code, storage.url).communicate()[0].strip() == f"[Errno 27] File too large: '{tmp_path}/a/b'"
    assert list((tmp_path / "a").iterdir()) == []


def test_a_folder_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/out cannot be written: Not a directory\. Give --output a directory"):
        check_writable(LocalStorage(tmp_path / "file/out"))


def test_a_bucket_that_is_missing_is_named(s3_url: str) -> None:
    storage = open_storage("s3://no-such-bucket/out")
    with pytest.raises(SettingsError, match=r"s3://no-such-bucket/out cannot be written: there is no such bucket\."):
        check_writable(storage)
    with pytest.raises(OSError, match="there is no such bucket: 's3://no-such-bucket/out/a'") as caught:
        storage.get("a")
    assert not isinstance(caught.value, FileNotFoundError)
    with pytest.raises(OSError, match="there is no such bucket"):
        storage.keys("")


@contextmanager
def answering(status: int, body: str = "", head: dict[str, str] | None = None) -> Iterator[str]:
    """Give the same answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            own = head if head and self.command == "HEAD" else {"Content-Length": str(len(body))}
            for name, value in ({"ETag": '"e"'} | own).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (400, "ExpiredToken", "the credentials have expired"),
        (403, "SignatureDoesNotMatch", "the credentials are not accepted"),
        (403, "InvalidAccessKeyId", "the credentials are not accepted"),
        (403, "AccessDenied", "access is denied"),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong"),
        (301, "PermanentRedirect", "the bucket lies in another region than AWS_REGION says"),
    ],
)
def test_errors_of_the_server_are_explained(
    s3_environment: pytest.MonkeyPatch, status: int, code: str, meaning: str
) -> None:
    with answering(status, f"<Error><Code>{code}</Code><Message>x</Message></Error>") as endpoint:
        s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(
            SettingsError, match=f"s3://bucket/x cannot be written: {meaning}\\. Give --output a bucket"
        ):
            check_writable(open_storage("s3://bucket/x"))


def test_an_upload_that_arrives_short_fails(s3_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    head = {"Content-Length": "3", "Last-Modified": "Fri, 01 May 2026 00:00:00 GMT"}
    with answering(200, head=head) as endpoint:
        s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(OSError, match="3 of 5 bytes arrived: 's3://bucket/x/a'"):
            open_storage("s3://bucket/x").upload(tmp_path / "file", "a")


@pytest.mark.parametrize("endpoint", ["localhost:9000", "http://", "https://:80", "x"])
def test_an_endpoint_that_is_no_address_is_refused(s3_environment: pytest.MonkeyPatch, endpoint: str) -> None:
    s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(SettingsError, match="is no address"):
        check_writable(open_storage("s3://bucket/x"))


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True])
def test_a_store_that_does_not_answer_is_reported_within_a_minute(
    s3_environment: pytest.MonkeyPatch, listens: bool
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen(64)
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
        start = time.monotonic()
        with pytest.raises(SettingsError, match=f"cannot be written: no answer from {endpoint}"):
            check_writable(open_storage("s3://bucket/x"))
        assert time.monotonic() - start < 60
