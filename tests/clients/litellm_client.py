#!/usr/bin/env python3
"""Drives the gateway with the real `litellm` package as a client, in two of its dialects.

It stands alone because it wants an older `openai` than the other checks. One line per check; exit
status 1 if any check fails. `scripts/test-clients` calls it.
"""

import json
import os
import sys

# It would fetch its price list from the internet.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from stage import (
    DIALECTS,
    LIMIT_S,
    Report,
    command_line,
    forget_the_environment,
    gateway_of_all_dialects,
)

KEY = "no-key-is-asked-for"
litellm.suppress_debug_info = True
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}


def user(text):
    return [{"role": "user", "content": text}]


def chat(model, api_base):
    asked = {"model": model, "api_base": api_base, "api_key": KEY, "timeout": LIMIT_S}
    answer = litellm.completion(messages=user("Hello there"), max_tokens=99, **asked)
    text = answer.choices[0].message.content
    assert text, answer
    chunks = litellm.completion(messages=user("Hello there"), max_tokens=99, stream=True, **asked)
    streamed = "".join(it.choices[0].delta.content or "" for it in chunks)
    assert streamed == text, streamed
    answer = litellm.completion(messages=user("call the tool"), tools=[TOOL], max_tokens=99, **asked)
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "x"}, call


def main():
    arguments = command_line(__doc__)
    forget_the_environment()
    report = Report()
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        for dialect in DIALECTS:
            model = f"{dialect}/model-1"
            report.check(f"litellm, openai from {dialect}", chat, f"openai/{model}", f"{address}/v1")
            report.check(f"litellm, anthropic from {dialect}", chat, f"anthropic/{model}", address)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
