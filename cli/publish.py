"""`anatprep publish`: a finished store on object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Screen
from cli.options import Json
from dicomgeom.errors import EXIT_DONE, EXIT_INTEGRITY, WrongUse


def publish(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="What `anatprep build-targets` wrote.")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where to: s3://bucket/name.zarr, gs://..., az://...")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Send nothing; compare what lies there with its manifest.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy a complete store to object storage; a copy that was interrupted goes on where it stopped.

    Addresses and credentials come from the environment: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on.
    """
    screen = Screen(as_json=json)
    from pretext_targets.remote import publish as send
    from pretext_targets.verify import verify_store
    from pretext_targets.where import is_url

    if not store.exists():
        raise WrongUse(f"{store} does not exist; name a store that anatprep build-targets wrote")
    if not is_url(url):
        raise WrongUse(f"{url} is no URL; give one such as s3://bucket/name.zarr")
    sent = 0
    if not check:
        with screen.progress() as progress:
            sent = send(store, url, progress=progress)
        screen.say(f"{sent} files sent to {url}")
    problems = verify_store(url) if check else []
    for problem in problems:
        screen.say(problem)
    if problems:
        screen.say(f"delete these files at {url}, and publish again")
    screen.finish(
        {"url": url, "sent": sent, "problems": problems},
        exit_code=EXIT_INTEGRITY if problems else EXIT_DONE,
    )
