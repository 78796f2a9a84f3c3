"""The gateway with strict providers behind it and a judge of its answers before it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import sys

# The modules of the checks lie one folder up.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from stage import gateway

from .answers import Judge, Record, Tap
from .descriptions import load
from .model import expect
from .provider import VENDORS, Server, Stage, serving

# The model of each vendor, and how the gateway knows the vendor.
MODELS = {
    "chat": "gpt-4.1",
    "imitator": "gpt-oss-120b",
    "responses": "gpt-5.5",
    "messages": "claude-opus-4-8",
    "gemini": "gemini-3-pro-preview",
}
PROVIDERS = {
    "chat": 'preset = "openai"\nbase_url = "{}/v1"\n',
    "imitator": 'preset = "cerebras"\nbase_url = "{}/v1"\n',
    "responses": 'preset = "openai"\ndialect = "openai-responses"\nbase_url = "{}/v1"\n',
    "messages": 'preset = "anthropic"\nbase_url = "{}/v1"\n',
    "gemini": 'preset = "google"\nbase_url = "{}/v1beta"\n',
}
# The imitator's model is told to see pictures, since agents send some.
SETTINGS = f"""[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"

[catalogue.cerebras."{MODELS["imitator"]}"]
abilities = ["tools", "parallel_tools", "vision", "reasoning"]

"""
# What is shown of complaints: how many, and of each how many characters.
COMPLAINTS_MAX = 12
COMPLAINT_MAX = 2_000


def is_run(name, skipped):
    """True for a check that is to be run; tells of one that is left out."""
    if not re.search(os.environ.get("RINGGATE_CLIENT_CHECKS", ""), name):
        return False
    for pattern, reason in skipped.items():
        if re.fullmatch(pattern, name):
            print(f"skip {name}: {reason}", flush=True)
            return False
    return True


class Place:
    """Where one client finds one vendor: a path of the tap, a provider and a route of one name."""

    def __init__(self, hall, client, vendor, script):
        self.name = f"{client}-{vendor}"
        self.vendor = vendor
        self.script = script
        self.stage = hall.provider.stages[self.name] = Stage(VENDORS[vendor](hall.schemas), script)
        self.record = hall.tap.records[self.name] = Record()
        self.base_url = f"{hall.tap.address}/{self.name}"
        self.model = f"{self.name}/{MODELS[vendor]}"

    def judge(self, printed="", may_fail=False):
        """Raises what was wrong, the nearest to the cause first."""
        wrong = self.stage.complaints + self.record.complaints
        failed = [it for it in self.record.statuses if it[1] >= 400 and not may_fail]
        wrong += [f"status {status} for {path}: {text[:600]}" for path, status, text in failed]
        lines = [line[:COMPLAINT_MAX] for line in dict.fromkeys(wrong)]
        expect(not wrong, "\n".join(lines[:COMPLAINTS_MAX]) + f"\nthe client printed:\n{printed[-800:]}")


class Hall:
    """All places of a run; `clients` names who comes."""

    def __init__(self, folder, descriptions, clients):
        self.folder = pathlib.Path(folder).resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        cache = pathlib.Path(descriptions).resolve()
        self.schemas = {vendor: load(vendor, cache) for vendor in ("openai", "anthropic", "gemini")}
        self.provider = Server()
        self.settings = SETTINGS
        for client in clients:
            for vendor, model in MODELS.items():
                section = PROVIDERS[vendor].format(f"{self.provider.address}/{client}-{vendor}")
                self.settings += f'[providers.{client}-{vendor}]\n{section}api_key = "strict"\n'
                self.settings += f'[routes.{client}-{vendor}]\nprovider = "{client}-{vendor}"\n'
                self.settings += f'override_params = {{ model = "{model}" }}\n'

    @contextlib.contextmanager
    def open(self, ringgate):
        (self.folder / "ringgate.toml").write_text(self.settings)
        options = ["--config", str(self.folder / "ringgate.toml")]
        with gateway(os.path.abspath(ringgate), self.folder, *options) as running, serving(self.provider):
            self.tap = Tap(running.address, Judge(self.schemas))
            with serving(self.tap):
                yield self
        # For a person who looks into a failure.
        for name, stage in self.provider.stages.items():
            (self.folder / f"{name}.requests.json").write_text(json.dumps(stage.requests, indent=1))
