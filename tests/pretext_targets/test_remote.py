"""Stores on object storage: a real S3 server on the loopback."""

from __future__ import annotations

import pickle
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dicomgeom.errors import HalfWritten, IntegrityError, WrongUse
from pretext_targets.build import BuildPlan, build
from pretext_targets.reader import StoreReader
from pretext_targets.remote import RemoteReader, is_url, publish, published_problems, remote_store

pytest.importorskip("obstore", reason="obstore, through which URLs are read, is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 server, by moto."""
    moto = pytest.importorskip("moto.server", reason="moto[server], the S3 server of tests, is not installed")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of its own, and the environment that leads there."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3  # type: ignore[import-not-found]

    bucket = f"stores-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/hearts/sax.zarr"


def test_a_published_store_reads_as_the_one_on_disk(built: Path, url: str) -> None:
    sent = publish(built, url)
    assert sent > 50
    here, there = StoreReader(built), RemoteReader(url)
    assert there.attributes == here.attributes
    assert (len(there), there.names) == (len(here), here.names)
    wanted = [5, 0, 5, len(here) - 1]
    for name in here.names:
        np.testing.assert_array_equal(there.read(name, wanted), here.read(name, wanted))
    assert published_problems(url) == []
    again = pickle.loads(pickle.dumps(there))
    np.testing.assert_array_equal(again.read("image", [3]), here.read("image", [3]))


def test_an_interrupted_copy_is_no_store_and_is_finished_by_the_same_call(built: Path, url: str) -> None:
    class Stop(Exception):
        pass

    def stop(what: str, *, done: int, total: int) -> None:
        if done == total // 2:
            raise Stop

    with pytest.raises(Stop):
        publish(built, url, progress=stop)
    with pytest.raises(HalfWritten, match="publish it again"):
        RemoteReader(url)
    whole = sum(1 for path in built.rglob("*") if path.is_file())
    assert 0 < publish(built, url) < whole
    assert published_problems(url) == []


def test_what_changed_or_went_missing_there_is_found(built: Path, url: str) -> None:
    publish(built, url)
    there = remote_store(url, read_only=False)
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    content = bytearray((built / "image/c/1/0/0").read_bytes())
    content[100] ^= 1
    sync(there.set("image/c/1/0/0", default_buffer_prototype().buffer.from_bytes(bytes(content))))
    sync(there.delete("line/c/0/0/0"))
    problems = published_problems(url)
    assert len(problems) == 2
    assert any("image/c/1/0/0 has changed" in one for one in problems)
    assert any("line/c/0/0/0 is missing" in one for one in problems)


def test_another_store_is_not_overwritten(built: Path, plan: BuildPlan, url: str, tmp_path: Path) -> None:
    publish(built, url)
    other = tmp_path / "other.zarr"
    shutil.copytree(built, other)
    text = (other / "zarr.json").read_text().replace(plan.sha256, "0" * 64)
    (other / "zarr.json").write_text(text)
    with pytest.raises(WrongUse, match="holds another store"):
        publish(other, url)


def test_what_is_no_store_says_so(built: Path, url: str, plan: BuildPlan, tmp_path: Path) -> None:
    with pytest.raises(HalfWritten, match="holds no store"):
        RemoteReader(url)
    with pytest.raises(WrongUse, match="no address of a store"):
        remote_store("ftp://somewhere/x", read_only=True)
    assert is_url(url)
    assert not is_url(str(built))
    build(plan, tmp_path / "half.zarr")
    (tmp_path / "half.zarr" / "manifest" / "000000.json").unlink()
    with pytest.raises(HalfWritten):
        publish(tmp_path / "half.zarr", url)
    publish(built, url)
    with pytest.raises(IntegrityError, match="no array"):
        RemoteReader(url).read("nonsense", [0])
    with pytest.raises(WrongUse, match="read slices"):
        RemoteReader(url).column("image")
