#!/usr/bin/env python3
"""Runs `node/clients.mjs` against a gateway with providers of every dialect.

Its packages must lie in `--modules`. Exit status 1 if any check fails. `scripts/test-clients` calls it.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from stage import DIALECTS, gateway_of_all_dialects


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ringgate", required=True, help="the gateway's program")
    parser.add_argument("--loadtest", required=True, help="the load test's program")
    parser.add_argument("--modules", required=True, help="folder with node_modules and the script")
    arguments = parser.parse_args()
    script = pathlib.Path(arguments.modules).resolve() / "clients.mjs"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        command = ["node", str(script), address, *DIALECTS]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
