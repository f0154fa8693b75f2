"""A real browser for tests: opens a file, runs expressions in it, and keeps what the console said.

Speaks Chromium's DevTools protocol over Tornado's WebSocket, which dask brings along; so nothing
has to be installed beside the browser itself, and a page is tested as it was written.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--metrics-recording-only", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip
"""Without a sandbox, because continuous integration runs as root; it opens our own file only."""

PATIENCE_S = 60.0
LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


def browser_path() -> str | None:
    """Where a Chromium is; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in one browser; use as a context."""

    def __init__(self, program: str, *, width: int = 1400, height: int = 1000) -> None:
        self._program, self._size = program, (width, height)
        self.complaints: list[str] = []
        """Errors and warnings of the console, and exceptions that nobody caught."""
        self.requests: list[str] = []
        """Addresses that the page asked for, without those that are their own content."""

    def __enter__(self) -> Browser:
        self._folder = TemporaryDirectory()
        size = f"--window-size={self._size[0]},{self._size[1]}"
        self._process = subprocess.Popen(
            [self._program, f"--user-data-dir={self._folder.name}", size, *FLAGS],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._session: str | None = None
        self._socket: WebSocketClientConnection | None = None
        self._number = 0
        try:
            self._run(self._connect(self._address()))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
        if self._socket is not None:
            self._run(self._say_goodbye())
        self._loop.close()
        self._folder.cleanup()

    async def _say_goodbye(self) -> None:
        """Within the loop: closing writes, for which the socket asks the thread for a loop."""
        assert self._socket is not None
        self._socket.close()
        await asyncio.sleep(0.05)

    def open(self, page: Path, **media: str) -> None:
        """Open a file and wait until it is loaded; `prefers_color_scheme="dark"` and the like."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)
        self._loaded.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        self._run(asyncio.wait_for(self._loaded.wait(), PATIENCE_S))

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> bool:
        """Whether a JavaScript expression becomes true before patience ends; events take their time."""
        attempts = "for (let n = 0; n < 250; n++) {"
        pause = "await new Promise(done => setTimeout(done, 20)); }"
        return bool(
            self.run(f"(async () => {{ {attempts} if ({expression}) return true; {pause} return false; }})()")
        )

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._run(asyncio.wait_for(self._ask(method, parameters), PATIENCE_S))

    def press(self, key: str) -> None:
        """Press and release a key, by its name in JavaScript."""
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=codes[key],
                **(text if kind == "keyDown" else {}),
            )

    def drag(self, selector: str, across: float, down: float) -> None:
        """Take the middle of an element with the mouse and move it so many pixels."""
        x, y = self.middle_of(selector)
        for kind, left, top in (
            ("mousePressed", x, y),
            ("mouseMoved", x + across, y + down),
            ("mouseReleased", x + across, y + down),
        ):
            self.send("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", clickCount=1)

    def point_at(self, selector: str) -> None:
        """Move the mouse to the middle of an element."""
        x, y = self.middle_of(selector)
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def middle_of(self, selector: str) -> tuple[float, float]:
        """Scroll to an element, and tell its middle in the window."""
        x, y = self.run(
            "(() => { const one = document.querySelector(" + json.dumps(selector) + ");"
            "one.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return float(x), float(y)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def _address(self) -> str:
        assert self._process.stderr is not None
        said = b""
        for line in self._process.stderr:
            said += line
            if found := LISTENING.search(line):
                return found[1].decode()
        raise OSError(f"{self._program} does not start: {said[-300:].decode(errors='replace')}")

    async def _connect(self, address: str) -> None:
        self._socket = await websocket_connect(
            address, on_message_callback=self._heard, max_message_size=1 << 28
        )
        targets = await self._ask("Target.getTargets", {})
        page = next(one for one in targets["targetInfos"] if one["type"] == "page")
        attached = await self._ask("Target.attachToTarget", {"targetId": page["targetId"], "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._ask(f"{domain}.enable", {})

    async def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        answer = self._waiting[self._number] = self._loop.create_future()
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        assert self._socket is not None
        await self._socket.write_message(json.dumps(message))
        return await answer

    def _heard(self, message: str | bytes | None) -> None:
        said = json.loads(message) if message else {}
        if "id" in said:
            answer = self._waiting.pop(said["id"])
            if "error" in said:
                answer.set_exception(AssertionError(said["error"]))
            else:
                answer.set_result(said["result"])
        method, parameters = said.get("method"), said.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            address = parameters["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)
