"""A headless browser driven through its debugging pipe: no other package than the browser is needed."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

# What distributions call it; SOFTSTEP_BROWSER names another, and then only that one will do.
NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"]


def find_browser():
    wished = os.environ.get("SOFTSTEP_BROWSER")
    found = (shutil.which(name) for name in ([wished] if wished else NAMES))
    return next((path for path in found if path), None)


class Browser:
    """One browser with a profile of its own; `with Browser() as browser:`."""

    def __init__(self, path):
        self.path, self.number = path, 0

    def __enter__(self):
        self.profile = tempfile.mkdtemp()
        arguments = [self.path, "--headless", "--remote-debugging-pipe", "--user-data-dir=" + self.profile,
                     "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                     "--disable-component-update", "--hide-scrollbars", "about:blank"]
        if os.getuid() == 0:
            arguments.insert(1, "--no-sandbox")
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def pipes():  # the browser reads commands from 3 and answers on 4
            first, second = os.dup(to_read), os.dup(back_write)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=pipes)
        os.close(to_read)
        os.close(back_write)
        self.buffer = b""
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.profile, ignore_errors=True)  # the browser may still be writing

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.back], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.back, 1 << 20) if ready else None
            if not data:
                raise RuntimeError("the browser ended" if ready else "the browser does not answer")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, events=None, timeout=60, **parameters):
        """The result of a method; what the browser reports meanwhile is appended to `events`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + timeout
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if events is not None:
                events.append(answer)


class Page:
    """A page opened at a size: what it said while loading, and what it looks like."""

    def __init__(self, browser, url, width, height, dark=False):
        self.browser, self.events = browser, []
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        # A phone has two pixels to a unit, and lays out as its viewport tells it.
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if width < 600 else 1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 60
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(browser.receive(deadline))
        # Two frames later all is laid out, and what loading caused has been reported.
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, self.events, **parameters)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def complaints(self):
        """Console messages, exceptions and requests for anything but the page itself."""
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                yield "exception: " + parameters["exceptionDetails"]["text"]
            elif method == "Runtime.consoleAPICalled":
                yield "console: " + " ".join(str(argument.get("value")) for argument in parameters["args"])
            elif method == "Log.entryAdded":
                yield "log: " + parameters["entry"]["text"]
            elif method == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if parameters.get("type") != "Document" and not url.startswith("data:"):
                    yield "request: " + url

    def screenshot(self, file):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        file.write_bytes(base64.b64decode(data))

    def pdf(self):
        a4 = {"paperWidth": 8.27, "paperHeight": 11.69}  # inches
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False, **a4)["data"])

    def close(self):
        self.browser.call("Target.closeTarget", events=self.events, targetId=self.target)
