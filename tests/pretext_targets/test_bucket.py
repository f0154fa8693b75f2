"""Stores built straight to object storage: a real S3 server on the loopback."""

from __future__ import annotations

import functools
import http.server
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from dicomgeom.catalogue import Catalogue
from dicomgeom.errors import HalfWritten, IntegrityError, Unreachable, WrongUse
from pretext_targets import bucket
from pretext_targets.bucket import Bucket
from pretext_targets.build import BuildPlan, build
from pretext_targets.chunks import Held
from pretext_targets.places import FileRecord, place_of
from pretext_targets.reader import StoreReader, open_reader
from pretext_targets.remote import publish
from pretext_targets.store import open_store
from pretext_targets.verify import verify_store
from tests.helpers.built_stores import content_of, kill_build
from tests.helpers.real import PROJECT
from tests.pretext_targets.conftest import SHARD
from tests.pretext_targets.test_kill import BUILD, KILLS


def objects_of(url: str) -> dict[str, bytes]:
    """Every object of a store."""
    there = Bucket(url)
    return {name: there.get(name) or b"" for name in sorted(there.sizes())}


def test_a_store_built_at_a_url_is_the_one_on_disk_bit_for_bit(
    plan: BuildPlan, built: Path, url: str
) -> None:
    summary = build(plan, url, shard=SHARD)
    assert (summary.store, summary.examples, summary.shards_written) == (url, 24, 4)
    assert objects_of(url) == content_of(built)
    assert verify_store(url) == []
    here, there = StoreReader(built), open_reader(url)
    wanted = [5, 0, 5, 23, 11]
    for name in here.names:
        np.testing.assert_array_equal(there.read(name, wanted), here.read(name, wanted))
    again = build(plan, url + "/")
    assert (again.shards_written, again.shards_kept) == (0, 4)


def test_a_build_at_a_url_killed_before_a_row_goes_on_there(
    plan: BuildPlan, catalogue: Catalogue, built: Path, url: str
) -> None:
    kill_build(catalogue, url, "before a row")
    with pytest.raises(HalfWritten, match="half-written; run the same build-targets command again"):
        open_store(url)
    assert any("half-written" in problem for problem in verify_store(url))
    summary = build(plan, url, shard=SHARD)
    assert (summary.shards_kept, summary.shards_written) == (2, 2)
    assert objects_of(url) == content_of(built)


@pytest.mark.parametrize("number", range(max(1, KILLS // 3)))
def test_a_build_at_a_url_killed_at_a_random_moment_is_finished_bit_for_bit(
    number: int, plan: BuildPlan, catalogue: Catalogue, built: Path, url: str
) -> None:
    seed = os.environ.get("ANATPREP_KILL_SEED", str(time.time_ns()))
    moment_s = random.Random(f"{seed} bucket {number}").uniform(0, 2.0)
    command = [sys.executable, "-c", BUILD, str(catalogue.folder), url]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"planned\n"
        time.sleep(moment_s)
        running.send_signal(signal.SIGKILL)
    build(plan, url, shard=SHARD)
    assert objects_of(url) == content_of(built), f"killed after {moment_s:.3f} s, seed {seed}"
    assert verify_store(url) == []


@pytest.mark.slow
def test_two_workers_put_the_same_bytes(plan: BuildPlan, built: Path, url: str) -> None:
    build(plan, url, workers=2, shard=SHARD)
    assert objects_of(url) == content_of(built)


def test_a_server_that_goes_away_leaves_what_is_there_and_the_build_goes_on_when_it_is_back(
    plan: BuildPlan, built: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (address := os.environ.get("AWS_ENDPOINT_URL", "")):
        pytest.skip("the server's address is not ours to change: AWS_ENDPOINT_URL is not set")
    monkeypatch.setitem(bucket.RETRIES, "max_retries", 1)

    def cut(what: str, *, done: int, total: int) -> None:
        if done == 2:
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            there._opened.clear()

    there = Bucket(url)
    with pytest.raises(
        HalfWritten, match=r"is half-written: .* cannot be reached .* run the same command again"
    ):
        build(plan, there, shard=SHARD, progress=cut)
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_reader(url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    summary = build(plan, url, shard=SHARD)
    assert (summary.shards_kept, summary.shards_written) == (2, 2)
    assert objects_of(url) == content_of(built)


def test_arrays_that_lie_otherwise_are_read_through_zarr_there(built: Path, url: str, tmp_path: Path) -> None:
    store = Path(shutil.copytree(built, tmp_path / "store"))
    pixels = zarr.open_array(built / "image", mode="r")[...]
    shutil.rmtree(store / "image")
    array = zarr.create_array(
        store, name="image", shape=pixels.shape, dtype="uint16", chunks=(5, *pixels.shape[1:]),
        compressors=zarr.codecs.GzipCodec(),
    )  # fmt: skip
    array[...] = pixels
    for name, content in content_of(store).items():
        place_of(url).put(name, content)
    np.testing.assert_array_equal(open_reader(url).read("image", [3, 0, 23]), pixels[[3, 0, 23]])


def test_a_reader_of_a_url_is_shared_by_threads_and_goes_on_in_spawned_processes(
    built: Path, url: str
) -> None:
    publish(built, url)
    there = open_reader(url)
    expected = StoreReader(built).read("image", np.arange(24))
    with ThreadPoolExecutor(3) as pool:
        for wanted in ([1, 5, 9], [20, 0], [7, 7]):
            np.testing.assert_array_equal(pool.submit(there.read, "image", wanted).result(), expected[wanted])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool_of_one:
        found = pool_of_one.submit(there.read, "image", [2, 23]).result()
    np.testing.assert_array_equal(found, expected[[2, 23]])


def test_what_does_not_read_back_from_there_is_no_finished_shard(
    plan: BuildPlan, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Bucket.get

    def rotten(self: Bucket, name: str) -> bytes | None:
        content = original(self, name)
        if content is None or name != "line/c/1/0/0":
            return content
        return content[:40] + bytes([content[40] ^ 8]) + content[41:]

    monkeypatch.setattr(Bucket, "get", rotten)
    with pytest.raises(IntegrityError, match="'line/c/1/0/0' did not read back"):
        build(plan, url, shard=SHARD)
    monkeypatch.undo()
    monkeypatch.setattr(Bucket, "get", original)


def test_other_things_at_a_url_are_left_alone(plan: BuildPlan, url: str) -> None:
    place_of(url).put("notes.txt", b"keep")
    with pytest.raises(IntegrityError, match=r"not an anatprep store: found no zarr\.json"):
        build(plan, url)
    assert list(place_of(url).sizes()) == ["notes.txt"]


def test_files_come_back_in_parts(url: str) -> None:
    there = place_of(url)
    content = bytes(range(256)) * 4

    def check(name: str, found: Held) -> FileRecord:
        assert bytes(found.content) == content
        return FileRecord(len(content), name)

    assert there.put_checked([("a/b", [content[:100], content[100:]])], check) == {
        "a/b": FileRecord(1024, "a/b")
    }
    opened = there.open("a/b")
    assert opened.size_bytes == 1024
    assert list(opened.parts([(0, 3), (1000, 1024)])) == [content[:3], content[1000:]]
    with pytest.raises(IntegrityError, match="is missing"):
        there.open("a/c")


def test_a_url_that_became_a_path_is_noticed() -> None:
    with pytest.raises(WrongUse, match="was made a path"):
        place_of(Path("s3://bucket/store.zarr"))


def test_a_file_url_is_a_folder(built: Path) -> None:
    assert StoreReader(f"file://{built}").attributes == StoreReader(built).attributes


def test_a_store_on_a_plain_web_server_can_be_read(built: Path, tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    serve = functools.partial(Quiet, directory=str(built.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = open_reader(f"http://127.0.0.1:{server.server_port}/{built.name}")
        np.testing.assert_array_equal(there.column("location"), StoreReader(built).column("location"))
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/x.zarr", "Error performing PUT http://169.254.169.254/latest/api/token in 1 ms: 403"),
        ("gs://bucket/x.zarr", "Error performing GET http://metadata.google.internal/token"),
        ("az://bucket/x.zarr", "Generic MicrosoftAzure error: Account must be specified"),
    ],
)
def test_missing_credentials_are_told_by_the_names_of_the_variables(url: str, said: str) -> None:
    from obstore.exceptions import BaseError

    with (
        pytest.raises(WrongUse, match=r"needs credentials.*AWS_ACCESS_KEY_ID") as caught,
        Bucket(url)._told(),
    ):
        raise BaseError(said)
    assert "169.254" not in str(caught.value)
