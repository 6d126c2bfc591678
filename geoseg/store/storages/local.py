"""Objects under a folder of a disk that all nodes share."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from geoseg import faults
from geoseg.store.storages.base import Buffer, checked, is_temporary, temporary_name

T = TypeVar("T")
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems without hard links: SMB, exFAT, some of FUSE."""


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder on a disk that all nodes share."""

    root: Path
    """The folder, absolute."""

    @property
    def url(self) -> str:
        """Path of the folder."""
        return str(self.root)

    def put(self, key: str, data: Buffer, *, sync: bool = True) -> None:
        """Write beside the target, sync and rename."""
        target = self._path(key)
        with _naming(target), _written_beside(target, lambda file: file.write(data), sync=sync) as temporary:
            faults.hit("put", "before-rename", key)
            temporary.replace(target)
            if sync:
                _sync(target.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write beside the target, sync and link: a link, unlike a rename, does not replace."""
        target = self._path(key)
        with _naming(target), _written_beside(target, lambda file: file.write(data)) as temporary:
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                # NFS repeats a request whose answer was lost, and then finds its own link.
                return temporary.stat().st_nlink == 2
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                return _written_first(target, data)
            _sync(target.parent)
            return True

    def get(self, key: str) -> bytes:
        """Read the file."""
        return self._path(key).read_bytes()

    def size(self, key: str) -> int | None:
        """Bytes of the file; None if there is none, or a folder."""
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def times(self, key: str) -> tuple[int, ...] | None:
        """Time of the content, which programs can set, and of the entry, which they cannot."""
        path = self._path(key)
        if not path.is_file():
            return None
        state = path.stat()
        return state.st_mtime_ns, state.st_ctime_ns

    def keys(self, prefix: str) -> list[str]:
        """Walk the folder."""
        return sorted(key for path in self._walk(prefix) if not is_temporary(key := self._key(path)))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Walk the folder."""
        sizes = {}
        for path in self._walk(prefix):
            with suppress(FileNotFoundError):  # a temporary file that has just been removed
                sizes[self._key(path)] = path.lstat().st_size
        return sizes

    def folders(self, prefix: str) -> list[str]:
        """List the folder."""
        try:
            entries = list(os.scandir(self._path(prefix)))
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_temporary(entry.name))

    def delete(self, key: str) -> None:
        """Unlink the file, and the folders it leaves empty."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        self._prune(path.parent)

    def delete_all(self, prefix: str) -> None:
        """Remove the folder, and the folders above that it leaves empty."""
        folder = self._path(prefix)
        for _ in range(3):  # an abandoned attempt may still write into it
            shutil.rmtree(folder, ignore_errors=True)
        if folder.is_dir():
            shutil.rmtree(folder)
        self._prune(folder.parent)

    def retire(self, key: str, folder: str) -> None:
        """Move the file into the folder: one atomic step that fails if the folder does not exist."""
        path, home = self._path(key), self._path(folder)
        try:
            path.rename(home / temporary_name())
        except FileNotFoundError:
            if not home.is_dir():
                raise
        self._prune(path.parent)

    def move(self, source: str, target: str) -> None:
        """Rename the file."""
        new, old = self._path(target), _existing(self._path(source))
        faults.hit("put", "before-rename", target)
        with _naming(new):
            _inside(new.parent, lambda: old.replace(new))
            _sync(new.parent)
        self._prune(old.parent)

    def age_s(self, key: str) -> float | None:
        """Compare with a probe written beside the file: the clock of a file server is not this machine's."""
        path = self._path(key)
        try:
            with path.open("rb") as file:  # opening, unlike stat, makes NFS ask its server
                written = os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        with _naming(path), _written_beside(path, lambda file: file.write(b"geoseg")) as probe:
            age_s = max(0.0, probe.stat().st_mtime - written)
        self._prune(path.parent)  # another process may have removed the file
        return age_s

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """Create a folder in the output, so that `upload` only renames."""
        folder = self._path(prefix) / temporary_name()
        _inside(folder.parent, folder.mkdir)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._prune(folder.parent)

    def upload(self, file: Path, key: str) -> None:
        """Sync and rename the file; copy it first if it lies on another file system."""
        target = self._path(key)
        _sync(file)
        faults.hit("put", "before-rename", key)
        with _naming(target):
            try:
                _inside(target.parent, lambda: file.replace(target))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                with (
                    file.open("rb") as source,
                    _written_beside(target, lambda to: shutil.copyfileobj(source, to)) as copy,
                ):
                    copy.replace(target)
                file.unlink()
            _sync(target.parent)

    def fetch(self, key: str, folder: Path) -> Path:  # noqa: ARG002 -- nothing needs to be downloaded
        """Return the file itself."""
        return _existing(self._path(key))

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _walk(self, prefix: str) -> Iterator[Path]:
        top = self._path(prefix) if prefix else self.root
        for folder, _, names in os.walk(top, onerror=_raise_unless_gone):
            yield from (Path(folder, name) for name in names)

    def _prune(self, folder: Path) -> None:
        with suppress(OSError):  # not empty, or another process was faster
            while folder != self.root:
                folder.rmdir()
                folder = folder.parent


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path


def _written_first(target: Path, data: bytes) -> bool:
    """Create a file on a file system without links; not atomic: a reader may see it empty."""
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


@contextmanager
def _written_beside(target: Path, write: Callable[[BinaryIO], object], *, sync: bool = True) -> Iterator[Path]:
    temporary = target.with_name(temporary_name())
    try:
        with _inside(target.parent, lambda: temporary.open("xb")) as file:
            write(file)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _inside(folder: Path, do: Callable[[], T]) -> T:
    for _ in range(3):
        with suppress(FileNotFoundError, FileExistsError):  # another process has just removed the folder
            folder.mkdir(parents=True, exist_ok=True)
            return do()
    folder.mkdir(parents=True, exist_ok=True)
    return do()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file servers cannot sync folders.
        if not (path.is_dir() and error.errno in {errno.EINVAL, errno.ENOTSUP}):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # a full disk's error names no file, a rename's error the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
