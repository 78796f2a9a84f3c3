"""What the checks with real client packages share: processes, and a report of what passed."""

import argparse
import contextlib
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import traceback
import pathlib

# Of anything that is waited for. Generous, since it is only reached when something is broken.
LIMIT_S = 30.0

# The outbound dialects, and where the mock speaks them.
DIALECTS = {
    "openai-chat": "/compatible/v1",
    "openai-responses": "/openai/v1",
    "anthropic-messages": "/v1",
    "gemini": "/v1beta",
    "bedrock-converse": "",
    "cohere-chat": "",
}

# Configs of every mode, as clients write them, over these providers and one that is not there.
CONFIGS = json.loads(pathlib.Path(__file__).with_name("configs.json").read_text())


class Process:
    """A child whose output is read until it says where it listens."""

    def __init__(self, command, stream, pattern, folder, environment=None):
        self.command = command
        self.lines = []
        self.address = None
        self.is_read = threading.Condition()
        # Nothing of the caller's environment: a provider key in it would add a provider.
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.child = subprocess.Popen(
            command,
            cwd=folder,
            env=kept | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for name in ("stdout", "stderr"):
            awaited = re.compile(pattern) if name == stream else None
            pipe = getattr(self.child, name)
            threading.Thread(target=self.read, args=(pipe, awaited), daemon=True).start()

    def read(self, pipe, awaited):
        for line in pipe:
            with self.is_read:
                self.lines.append(line.rstrip())
                found = awaited and awaited.search(line)
                if found and self.address is None:
                    self.address = found.group(1)
                self.is_read.notify_all()
        with self.is_read:
            self.is_read.notify_all()

    def __enter__(self):
        with self.is_read:
            self.is_read.wait_for(
                lambda: self.address or self.child.poll() is not None, timeout=LIMIT_S
            )
        if self.address is None:
            self.stop()
            said = "\n  ".join(self.lines) or "(nothing)"
            raise SystemExit(f"{self.command} did not say where it listens; it said:\n  {said}")
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            self.lines.append("(did not end on SIGTERM and was killed)")


def gateway(program, folder, *arguments, environment=None):
    """A running gateway; its `address` is that of the data plane."""
    pattern = r"^ringgate: serving (http://\S+)"
    return Process([program, "serve", *arguments], "stderr", pattern, folder, environment)


def mock_provider(loadtest, folder):
    """A running mock; its `address` is the root of all its paths."""
    command = [loadtest, "mock", "--listen", "127.0.0.1:0"]
    return Process(command, "stdout", r"^listening on (http://\S+)", folder)


def toml(value):
    """A value of JSON as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(it)}" for name, it in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@contextlib.contextmanager
def gateway_of_all_dialects(ringgate, loadtest):
    """The address of a gateway that knows one mock as a provider of each dialect, by its name."""
    with tempfile.TemporaryDirectory(prefix="ringgate-clients-") as folder:
        folder = pathlib.Path(folder)
        with mock_provider(os.path.abspath(loadtest), folder) as mock:
            settings = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\n'
            for name, version in DIALECTS.items():
                settings += f'[providers.{name}]\ndialect = "{name}"\n'
                settings += f'base_url = "{mock.address}{version}"\n'
            # Nobody listens on port 9, which is for discarding.
            settings += '[providers.dead]\ndialect = "openai-chat"\n'
            settings += 'base_url = "http://127.0.0.1:9/v1"\n[routes]\n'
            settings += "".join(f"{name} = {toml(it)}\n" for name, it in CONFIGS.items())
            (folder / "ringgate.toml").write_text(settings)
            arguments = ["--config", str(folder / "ringgate.toml")]
            with gateway(os.path.abspath(ringgate), folder, *arguments) as running:
                yield running.address


def command_line(text, **further):
    """The arguments of a check: the two programs, and what `further` names with its help."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--ringgate", required=True, help="the gateway's program")
    parser.add_argument("--loadtest", required=True, help="the load test's program")
    for name, meaning in further.items():
        parser.add_argument(f"--{name}", required=True, help=meaning)
    return parser.parse_args()


def forget_the_environment():
    """Takes out what would steer a client package elsewhere."""
    vendors = ("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "PORTKEY_", "LITELLM_", "AWS_", "CO_")
    for name in list(os.environ):
        if name.upper().startswith(vendors) or name.upper().endswith("_PROXY"):
            del os.environ[name]


class Report:
    """Runs checks, prints one line for each, counts."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, function, *arguments):
        started = time.monotonic()
        try:
            function(*arguments)
        except Exception:  # A failed check must not hide the ones after it.
            self.failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)

    def exit_status(self):
        """Prints the counts."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
