#!/usr/bin/env python3
"""Drives the gateway with the real `portkey-ai` client and configs of every mode, inline and by name.

One line per check; exit status 1 if any check fails. `scripts/test-clients` calls it.
"""

import sys

import portkey_ai

from stage import (
    CONFIGS,
    LIMIT_S,
    Report,
    command_line,
    forget_the_environment,
    gateway_of_all_dialects,
)

KEY = "no-key-is-asked-for"
MESSAGES = [{"role": "user", "content": "Hello there"}]

# The targets that may answer, as the gateway tells them.
OPTIONS = {
    "single": ["config.targets[0]"],
    "fallback": ["config.targets[1]"],
    "loadbalance": ["config.targets[1]", "config.targets[2]"],
    "conditional": ["config.targets[1]"],
    "nested": ["config.targets[1].targets[0]", "config.targets[1].targets[1]"],
    "retry": ["config"],
    "race": ["config.targets[1]", "config.targets[2]"],
    "canary": ["config.targets[1]"],
    "mirror": ["config.targets[0]"],
}


def ask(address, config, mode):
    client = portkey_ai.Portkey(
        base_url=f"{address}/v1",
        api_key=KEY,
        config=config,
        metadata={"plan": "paid"},
        timeout=LIMIT_S,
    )
    asked = {"model": "model-1", "messages": MESSAGES, "max_tokens": 99}
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content, answer
    headers = answer.get_headers()
    expected = OPTIONS.get(mode, ["config.targets[0]", "config.targets[1]"])
    assert headers["last-used-option-index"] in expected, headers
    assert headers["retry-attempt-count"] == "0", headers
    text = ""
    for chunk in client.chat.completions.create(stream=True, **asked):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    assert text, "an empty stream"


def refused(address):
    config = {"strategy": {"mode": "conditional", "conditions": [], "default": "a"}, "targets": [{}]}
    client = portkey_ai.Portkey(base_url=f"{address}/v1", api_key=KEY, config=config)
    try:
        client.chat.completions.create(model="model-1", messages=MESSAGES)
    except Exception as error:
        assert "config.strategy.conditions" in str(error), error
    else:
        raise AssertionError("a config without conditions was taken")


def main():
    arguments = command_line(__doc__)
    forget_the_environment()
    report = Report()
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        for mode, config in CONFIGS.items():
            report.check(f"portkey-ai, {mode} inline", ask, address, config, mode)
            report.check(f"portkey-ai, {mode} by name", ask, address, mode, mode)
        report.check("portkey-ai, a config with a fault", refused, address)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
