"""Object storage (s3://, gs://, az://) and other URLs as the place of a store.

One PUT for each file, which is there in whole or not at all; what counts is read back and
compared before the shard's manifest row is put. It goes through obstore, as Zarr's own stores
do. Addresses and credentials come from the environment, as other programs have them
(AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...): workers on other machines need them too.

Two builds of one plan at once are not refused here, since no lock would let go of itself when its
holder dies; they are harmless, because both put the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from dicomgeom.errors import IntegrityError, Unreachable, WrongUse, first_line
from pretext_targets.chunks import Held, Pieces
from pretext_targets.place import AT_ONCE, METADATA, FileRecord, record_of_bytes

SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "http", "https")

RETRIES: Final[Any] = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=15), "base": 2},
}
"""A server that is busy is asked again, for about ten seconds in all."""


WITHOUT_CREDENTIALS: Final = ("169.254.169.254", "metadata.google.internal", "Account must be specified")
"""Signs of it: a cloud's own machines are asked for some at these addresses, when nothing else gave any."""

CREDENTIALS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3://), GOOGLE_APPLICATION_CREDENTIALS (gs://), or "
    "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (az://)"
)
"""What to do then."""


@dataclass(frozen=True)
class Bucket:
    """All objects below a URL."""

    url: str
    _opened: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in SCHEMES:
            raise WrongUse(
                f"{self.url} is no address of a store; it should begin with one of {', '.join(SCHEMES)}"
            )

    def __str__(self) -> str:
        return self.url

    def __reduce__(self) -> tuple[Any, ...]:
        return Bucket, (self.url,)

    @property
    def _objects(self) -> Any:
        if not self._opened:
            with self._told():
                self._opened.append(_objects_below(self.url))
        return self._opened[0]

    def get(self, name: str) -> bytes | None:
        """See `Place`."""
        import obstore

        try:
            with self._told():
                return bytes(obstore.get(self._objects, name).bytes())
        except FileNotFoundError:
            return None

    def record(self, name: str) -> FileRecord | None:
        """See `Place`."""
        content = self.get(name)
        return None if content is None else record_of_bytes(content)

    def sizes(self) -> dict[str, int]:
        """See `Place`."""
        return dict(self._listed())

    def is_empty(self) -> bool:
        """See `Place`."""
        return next(self._listed(), None) is None

    def _listed(self) -> Iterator[tuple[str, int]]:
        """Name and length of every object, a page at a time."""
        import obstore

        with self._told():
            for page in obstore.list(self._objects, chunk_size=1000):
                for one in page:
                    yield one["path"], int(one["size"])

    def open(self, name: str) -> Pieces:
        """See `Place`."""
        import obstore

        try:
            with self._told():
                size_bytes = int(obstore.head(self._objects, name)["size"])
        except FileNotFoundError as error:
            raise IntegrityError(f"{self}/{name} is missing; run anatprep verify on its store") from error
        return _Object(f"{self}/{name}", size_bytes, self, name)

    def parts(self, name: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of one object; near ones come with one request."""
        import obstore

        starts, ends = zip(*spans, strict=True)
        try:
            with self._told():
                found = obstore.get_ranges(self._objects, name, starts=starts, ends=ends)
                return [bytes(one) for one in found]
        except FileNotFoundError as error:
            raise IntegrityError(f"{self}/{name} went missing while it was read") from error

    def put(self, name: str, content: bytes) -> None:
        """See `Place`."""
        import obstore

        with self._told():
            obstore.put(self._objects, name, content, use_multipart=False)

    def put_checked(
        self, files: Iterable[tuple[str, Sequence[bytes]]], check: Callable[[str, Pieces], FileRecord]
    ) -> dict[str, FileRecord]:
        """See `Place`: one PUT each, several at a time, each read back."""

        def send(file: tuple[str, Sequence[bytes]]) -> tuple[str, FileRecord]:
            name, pieces = file
            self.put(name, b"".join(pieces))
            return name, check(name, Held(f"{self}/{name}", memoryview(self.get(name) or b"")))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(pool.map(send, files))

    def begin(self, make: Callable[[], Mapping[str, bytes]]) -> bool:
        """See `Place`; the leftovers of a beginning that was interrupted are written again."""
        if self.get(METADATA) is not None:
            return False
        files = make()
        if any(name not in files for name, _ in self._listed()):
            return False
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self.put(name, files[name]), files.keys() - {METADATA}))
        self.put(METADATA, files[METADATA])
        return True

    def only_one_build(self) -> AbstractContextManager[None]:
        """See `Place`: not known here, and harmless."""
        return nullcontext()

    def tidy(self) -> None:
        """See `Place`: nothing is left."""

    def at_once(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """See `Place`."""
        if len(items) < 2:
            for item in items:
                work(item)
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
            list(pool.map(work, items))

    def for_zarr(self) -> Any:
        """See `Place`."""
        from zarr.storage import ObjectStore

        return ObjectStore(self._objects, read_only=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what the other side, or the way to it, refused."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, ValueError) as error:
            if any(sign in str(error) for sign in WITHOUT_CREDENTIALS):
                raise WrongUse(f"{self.url} needs credentials, and none were found; {CREDENTIALS}") from error
            raise Unreachable(f"{self.url} cannot be reached ({first_line(error)})") from error


@dataclass(frozen=True)
class _Object:
    """One object, see `chunks.Pieces`."""

    name: str
    size_bytes: int
    bucket: Bucket
    key: str

    def parts(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """See `Pieces`."""
        return self.bucket.parts(self.key, spans)


def _objects_below(url: str) -> Any:
    """Open obstore's store of a URL.

    Raises
    ------
    WrongUse
        When obstore is not installed.
    """
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise WrongUse("stores at a URL are read with obstore; install it: pip install obstore") from error
    # Who writes http:// means it; for s3:// the variable AWS_ALLOW_HTTP decides.
    plain: dict[str, Any] = {"client_options": {"allow_http": True}} if url.startswith("http://") else {}
    return from_url(url, retry_config=RETRIES, **plain)
