#!/usr/bin/env python3
"""Runs `node/clients.mjs` against a gateway with providers of every dialect.

Its packages must lie in `--modules`. Exit status 1 if any check fails. `scripts/test-clients` calls it.
"""

import os
import pathlib
import subprocess
import sys

from stage import DIALECTS, command_line, gateway_of_all_dialects


def main():
    arguments = command_line(__doc__, modules="folder with node_modules and the script")
    script = pathlib.Path(arguments.modules).resolve() / "clients.mjs"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        command = ["node", str(script), address, *DIALECTS]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
