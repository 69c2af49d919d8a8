"""Places to read from and write to: local paths, and what pyarrow and fsspec have drivers for."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs
from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, wait_exponential

from model_builder.system.regular_file import read_regular_file
from service.scoring.errors import InvalidInput, MissingDriver, Unreadable

# pyarrow's own drivers; every other scheme is fsspec's.
NATIVE = ("s3", "gs", "gcs", "hdfs", "viewfs")
# What pyarrow's drivers take after a "?". Any other one is part of an object's name.
OPTIONS = (
    "region|scheme|endpoint_override|allow_bucket_creation|force_virtual_addressing|"
    "tls_verify_certificates|retry_limit_seconds|project_id|user|replication|buffer_size|"
    "default_block_size|kerb_ticket"
)
_ADDRESS = re.compile(
    rf"(?P<scheme>\w+)://(?:(?P<user>[^/@]*)@)?(?P<path>[^/?]*(?:/.*?)?)"
    rf"(?P<query>\?(?:{OPTIONS})=[^&?]*(?:&(?:{OPTIONS})=[^&?]*)*)?",
    re.DOTALL,
)
# Without credentials Google's driver asks for a quarter of an hour, and no signal ends it.
GCS_RETRY_SECONDS = 30
HADOOP = (
    "it needs Java and Hadoop's libhdfs: set JAVA_HOME, HADOOP_HOME and "
    "CLASSPATH=$(hadoop classpath --glob), or take webhdfs://"
)
# Their objects appear when they are complete; the others get a rename.
OBJECT_STORES = ("s3", "gcs", "py::fsspec+('s3'", "py::fsspec+('gs'")

_RETRYING = Retrying(
    stop=stop_after_attempt(3),
    wait=wait_exponential(min=1, max=4),
    # These say the same however often they are asked for.
    retry=retry_if_not_exception_type((FileNotFoundError, PermissionError, InvalidInput)),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A path of a `pyarrow.fs.FileSystem`.

    uri: its name, as it was given but for credentials and options of the driver. before, after:
    what an address of another path there has around it.
    """

    filesystem: Any
    path: str
    uri: str
    before: str = ""
    after: str = ""

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def within(self, path: str) -> tuple[str, str]:
        """The name of another path of this file system, and the address that opens it."""
        base = self.uri[: len(self.uri) - len(self.path)]
        return base + path, (self.before or base) + path + self.after

    def matching(self) -> list[str]:
        """The addresses of what matches this path's * ? and [], sorted."""
        handler = getattr(self.filesystem, "handler", None)
        found = handler.fs if handler is not None else ArrowFSWrapper(self.filesystem)
        return sorted(self.within(str(one))[1] for one in found.glob(self.path))

    def child(self, name: str) -> Place:
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{name}", f"{self.uri}/{name}")

    def beside(self, suffix: str) -> Place:
        return Place(self.filesystem, self.path + suffix, self.uri + suffix)

    def kind(self) -> str:
        """ "file", "folder" or "missing"."""
        if self.is_local:
            # Also what is neither, such as a pipe: reading it says what it is.
            path = Path(self.path)
            return "folder" if path.is_dir() else "file" if path.exists() else "missing"
        found = self.filesystem.get_file_info(self.path).type
        kinds = {fs.FileType.File: "file", fs.FileType.Directory: "folder"}
        return kinds.get(found, "missing")

    def names(self) -> list[str]:
        """The names in this folder, sorted; none where there is no such folder."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def read(self) -> bytes:
        """Raises OSError."""
        with self.filesystem.open_input_stream(self.path) as stream:
            data: bytes = stream.read()
        return data

    def delete(self) -> None:
        self.filesystem.delete_file(self.path)

    def make_folder(self) -> None:
        self.filesystem.create_dir(self.path, recursive=True)

    def publish(self, write: Callable[[Any], None]) -> None:
        """Calls `write` with an open stream; readers see all that it wrote, or nothing.

        Raises OSError; nothing is then published.
        """
        if self.filesystem.type_name.startswith(OBJECT_STORES):
            with self.filesystem.open_output_stream(self.path) as stream:
                write(stream)
            return
        folder, _, name = self.path.rpartition("/")
        beside = f"{folder}/.{name}.{uuid.uuid4().hex}" if folder else f".{name}.{uuid.uuid4().hex}"
        try:
            with self.filesystem.open_output_stream(beside) as stream:
                write(stream)
            if self.is_local:
                _flush(Path(beside))
            self.filesystem.move(beside, self.path)
            self._replace_if_left(beside)
            if self.is_local:
                _flush(Path(folder or "."))
        except BaseException:
            if self.filesystem.get_file_info(beside).type == fs.FileType.File:
                self.filesystem.delete_file(beside)
            raise

    def _replace_if_left(self, beside: str) -> None:
        """HDFS gives no file a name that is taken, and over WebHDFS that is no error."""
        if self.is_local or self.filesystem.get_file_info(beside).type != fs.FileType.File:
            return
        self.filesystem.delete_file(self.path)
        self.filesystem.move(beside, self.path)
        if self.filesystem.get_file_info(beside).type == fs.FileType.File:
            raise OSError(f"{self.uri} can't be replaced")


def place_of(uri: str) -> Place:
    """Raises MissingDriver, or InvalidInput for an unknown scheme or one that can't be reached."""
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme in ("", "file"):
        return Place(_local(), uri.removeprefix("file://"), uri)
    try:
        if scheme in NATIVE:
            return _native_place(scheme, uri)
        return Place(*_through_fsspec(scheme, uri), uri.rstrip("/"))
    except ImportError as error:
        raise MissingDriver(f"{scheme}:// can't be used: {error}") from error
    except (OSError, ValueError) as error:
        if "libhdfs" in str(error) or "libjvm" in str(error):
            raise MissingDriver(f"{scheme}:// can't be used: {HADOOP}") from error
        raise InvalidInput(f"{without_credentials(uri)} can't be opened: {error}") from error


def without_credentials(uri: str) -> str:
    """As it may be written down."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", uri)


def read_location(uri: str, max_bytes: int) -> bytes:
    """A whole file. What a network refuses is tried again.

    Raises Unreadable, also where it has more than `max_bytes`, and MissingDriver.
    """
    try:
        if "://" not in uri:
            return _read_local(uri, max_bytes)
        data: bytes = _RETRYING(_read_remote, uri, max_bytes + 1)
    except (MissingDriver, Unreadable):
        raise
    # Drivers raise exceptions of their own libraries.
    except Exception as error:
        named = without_credentials(uri)
        raise Unreadable(f"{named} can't be read: {type(error).__name__}: {error}") from error
    if len(data) > max_bytes:
        raise Unreadable(f"{without_credentials(uri)} has more than {max_bytes} bytes")
    return data


def _read_local(path: str, max_bytes: int) -> bytes:
    try:
        return read_regular_file(Path(path), max_bytes)
    except OSError as error:
        raise Unreadable(f"{path} can't be read: {error.strerror or error}") from error


def _read_remote(uri: str, most: int) -> bytes:
    place = place_of(uri)
    with place.filesystem.open_input_stream(place.path) as stream:
        data: bytes = stream.read(most)
    return data


@lru_cache(maxsize=1)
def _local() -> Any:
    return fs.LocalFileSystem()


def _native_place(scheme: str, uri: str) -> Place:
    match = _ADDRESS.fullmatch(uri)
    if match is None:
        raise ValueError("it is no address")
    user = f"{match['user']}@" if match["user"] is not None else ""
    host, slash, rest = match["path"].partition("/")
    query = match["query"] or ""
    found = _native(scheme, user + host, query)
    if scheme.endswith("fs"):
        before, path = f"{scheme}://{user}{host}", (slash + rest).rstrip("/")
        return Place(found, path, f"{scheme}://{host}{path}", before, query)
    path = match["path"].rstrip("/")
    return Place(found, path, f"{scheme}://{path}", f"{scheme}://{user}", query)


@lru_cache(maxsize=64)
def _native(scheme: str, host: str, query: str) -> Any:
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in query:
        query += f"{'&' if query else '?'}retry_limit_seconds={GCS_RETRY_SECONDS}"
    found, _ = fs.FileSystem.from_uri(f"{scheme}://{host}/{query}")
    return found


def _through_fsspec(scheme: str, uri: str) -> tuple[Any, str]:
    import fsspec  # A second library, for fewer places.

    if scheme not in fsspec.available_protocols():
        raise ValueError(f"no file system is known as {scheme}://")
    # It caches them by itself.
    found, path = fsspec.core.url_to_fs(uri)
    return fs.PyFileSystem(fs.FSSpecHandler(found)), path


def _flush(path: Path) -> None:
    """To the disk: a machine may lose its power as a process its life."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
