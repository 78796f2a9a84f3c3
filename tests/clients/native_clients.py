#!/usr/bin/env python3
"""Drives the gateway with the SDKs of Amazon and Cohere, each answered by providers of every dialect.

The mock of `loadtest` plays the providers. One line per check; exit status 1 if any check fails.
`scripts/test-clients` calls it.
"""

import json
import sys

import boto3
import botocore.config
import cohere

from stage import (
    DIALECTS,
    LIMIT_S,
    Report,
    command_line,
    forget_the_environment,
    gateway_of_all_dialects,
)

KEY = "no-key-is-asked-for"
ARGUMENTS = {"city": "x"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def amazon_message(text):
    return [{"role": "user", "content": [{"text": text}]}]


def amazon_said(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def amazon_converse(client, model):
    asked = {"modelId": model, "messages": amazon_message("Hello there"), "inferenceConfig": {"maxTokens": 99}}
    answer = client.converse(**asked)
    assert amazon_said(answer) and answer["stopReason"] == "end_turn", answer
    assert answer["usage"]["totalTokens"] > 0, answer
    events = list(client.converse_stream(**asked)["stream"])
    deltas = [it["contentBlockDelta"]["delta"] for it in events if "contentBlockDelta" in it]
    assert "".join(it.get("text", "") for it in deltas) == amazon_said(answer), events
    assert list(events[0]) == ["messageStart"], events
    assert [list(it)[0] for it in events[-2:]] == ["messageStop", "metadata"], events
    assert events[-1]["metadata"]["usage"]["totalTokens"] > 0, events


def amazon_tools(client, model):
    spec = {"name": "get_weather", "description": "Tells the weather", "inputSchema": {"json": SCHEMA}}
    asked = {"modelId": model, "toolConfig": {"tools": [{"toolSpec": spec}]}}
    messages = amazon_message("call the tool")
    answer = client.converse(messages=messages, **asked)
    message = answer["output"]["message"]
    call = next(it["toolUse"] for it in message["content"] if "toolUse" in it)
    assert call["input"] == ARGUMENTS and answer["stopReason"] == "tool_use", answer
    text = ""
    for event in client.converse_stream(messages=messages, **asked)["stream"]:
        text += event.get("contentBlockDelta", {}).get("delta", {}).get("toolUse", {}).get("input", "")
    assert json.loads(text) == ARGUMENTS, text
    result = {"toolUseId": call["toolUseId"], "content": [{"text": "18 degrees"}]}
    messages += [message, {"role": "user", "content": [{"toolResult": result}]}]
    answer = client.converse(messages=messages, **asked)
    assert "18 degrees" in amazon_said(answer), answer


def amazon_errors(client, model):
    try:
        client.converse(modelId=model, messages=amazon_message("error 429"))
    except client.exceptions.ThrottlingException as error:
        assert error.response["Error"]["Message"], error
        return
    raise AssertionError("expected a ThrottlingException")


def cohere_chat(client, model):
    messages = [{"role": "user", "content": "Hello there"}]
    answer = client.chat(model=model, messages=messages, max_tokens=99)
    said = "".join(block.text for block in answer.message.content if block.type == "text")
    assert said and answer.finish_reason == "COMPLETE", answer
    assert answer.usage.tokens or answer.usage.billed_units, answer
    events = list(client.chat_stream(model=model, messages=messages, max_tokens=99))
    deltas = [it.delta.message.content for it in events if it.type == "content-delta"]
    assert "".join(it.text or "" for it in deltas) == said, events
    assert events[0].type == "message-start" and events[-1].type == "message-end", events
    assert events[-1].delta.finish_reason == "COMPLETE", events[-1]


def cohere_tools(client, model):
    function = {"name": "get_weather", "description": "Tells the weather", "parameters": SCHEMA}
    asked = {"model": model, "tools": [{"type": "function", "function": function}]}
    messages = [{"role": "user", "content": "call the tool"}]
    answer = client.chat(messages=messages, **asked)
    call = answer.message.tool_calls[0]
    assert json.loads(call.function.arguments) == ARGUMENTS, answer
    assert answer.finish_reason == "TOOL_CALL", answer
    text = ""
    for event in client.chat_stream(messages=messages, **asked):
        if event.type in ("tool-call-start", "tool-call-delta"):
            text += event.delta.message.tool_calls.function.arguments or ""
    assert json.loads(text) == ARGUMENTS, text
    messages += [
        {"role": "assistant", "tool_calls": [it.model_dump() for it in answer.message.tool_calls]},
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    answer = client.chat(messages=messages, **asked)
    assert "18 degrees" in answer.message.content[-1].text, answer


def cohere_errors(client, model):
    try:
        client.chat(model=model, messages=[{"role": "user", "content": "error 429"}])
    except cohere.TooManyRequestsError as error:
        assert error.body["message"], error
        return
    raise AssertionError("expected a TooManyRequestsError")


def main():
    arguments = command_line(__doc__)
    forget_the_environment()
    report = Report()
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=LIMIT_S)
        # Over plain HTTP it sends no bearer token, but the id of an access key.
        of_amazon = boto3.client(
            "bedrock-runtime",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key="of-no-use",
            config=config,
        )
        of_cohere = cohere.ClientV2(api_key=KEY, base_url=address, timeout=LIMIT_S)
        for dialect in DIALECTS:
            model = f"{dialect}/model-1"
            for name, function, client in [
                ("boto3, converse", amazon_converse, of_amazon),
                ("boto3, tools", amazon_tools, of_amazon),
                ("boto3, errors", amazon_errors, of_amazon),
                ("cohere, chat", cohere_chat, of_cohere),
                ("cohere, tools", cohere_tools, of_cohere),
                ("cohere, errors", cohere_errors, of_cohere),
            ]:
                report.check(f"{name} from {dialect}", function, client, model)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
