"""A real S3 server on the loopback, by moto, and a bucket of its own for a test.

Or a folder of its own in the bucket that ANATPREP_TEST_BUCKET names (`az://stores`), with the credentials of
the environment.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of an S3 server on the loopback, by moto."""
    pytest.importorskip("obstore", reason="obstore, through which URLs are read, is not installed")
    moto = pytest.importorskip("moto.server", reason="moto[server], the S3 server of tests, is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a test may put its store, and the environment that leads there."""
    mine = uuid.uuid4().hex
    if own := os.environ.get("ANATPREP_TEST_BUCKET"):
        return f"{own.rstrip('/')}/{mine}/hearts/sax.zarr"
    server = request.getfixturevalue("server")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3  # type: ignore[import-not-found]

    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket=f"stores-{mine}")
    return f"s3://stores-{mine}/hearts/sax.zarr"
