#!/usr/bin/env python3
"""Drives the gateway with the real client packages of several vendors, as applications would.

Each client speaks its own dialect and is answered by providers of every dialect, which the mock of
`loadtest` plays. What the mock says is steered by the last words of the user. One line per check; exit
status 1 if any check fails. `scripts/test-clients` calls it.
"""

import json
import sys

import anthropic
import openai
import portkey_ai
from google import genai
from google.genai import types
from langchain_openai import ChatOpenAI

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
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tells the weather", "parameters": SCHEMA},
}


def user(text):
    return [{"role": "user", "content": text}]


def openai_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=user("Hello there"), max_tokens=99)
    assert answer.choices[0].message.content, answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, answer
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=user("Hello there"),
            max_tokens=99,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    text = "".join(it.choices[0].delta.content or "" for it in chunks if it.choices)
    assert text == answer.choices[0].message.content, text
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens, chunks[-1]


def openai_tools(client, model):
    asked = {"model": model, "tools": [TOOL], "max_tokens": 99}
    messages = user("call the tool")
    answer = client.chat.completions.create(messages=messages, **asked)
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == ARGUMENTS, call
    assert answer.choices[0].finish_reason == "tool_calls", answer
    with client.chat.completions.stream(messages=messages, **asked) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(streamed.function.arguments) == ARGUMENTS, streamed
    messages = messages + [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    answer = client.chat.completions.create(messages=messages, **asked)
    assert "18 degrees" in answer.choices[0].message.content, answer


def openai_responses(client, model):
    answer = client.responses.create(model=model, input="Hello there", max_output_tokens=99)
    assert answer.status == "completed" and answer.output_text, answer
    assert answer.usage.total_tokens > 0, answer
    with client.responses.stream(model=model, input="Hello there", max_output_tokens=99) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == answer.output_text, final
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    tool = {"type": "function", **TOOL["function"], "strict": False}
    asked = {"model": model, "tools": [tool], "max_output_tokens": 99}
    answer = client.responses.create(input="call the tool", **asked)
    call = next(item for item in answer.output if item.type == "function_call")
    assert json.loads(call.arguments) == ARGUMENTS, call
    items = [{"role": "user", "content": "call the tool"}]
    items += [item.model_dump(exclude_none=True) for item in answer.output]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"})
    answer = client.responses.create(input=items, **asked)
    assert "18 degrees" in answer.output_text, answer


def openai_errors(client, model):
    try:
        client.chat.completions.create(model=model, messages=user("error 429"), max_tokens=99)
    except openai.RateLimitError as error:
        assert error.body["message"], error
        return
    raise AssertionError("expected a RateLimitError")


def anthropic_messages(client, model):
    asked = {"model": model, "max_tokens": 2000, "messages": user("Hello there")}
    answer = client.messages.create(**asked)
    assert answer.content[0].type == "text" and answer.stop_reason == "end_turn", answer
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == answer.content[0].text, final
    assert final.usage.output_tokens == answer.usage.output_tokens, final
    assert final.usage.input_tokens == answer.usage.input_tokens, final
    count = client.messages.count_tokens(model=model, messages=user("Hello there"))
    assert count.input_tokens > 0, count


def anthropic_tools(client, model):
    tool = {"name": "get_weather", "description": "Tells the weather", "input_schema": SCHEMA}
    asked = {"model": model, "max_tokens": 2000, "tools": [tool]}
    messages = user("call the tool")
    with client.messages.stream(messages=messages, **asked) as stream:
        streamed = stream.get_final_message()
    call = next(block for block in streamed.content if block.type == "tool_use")
    assert call.input == ARGUMENTS and streamed.stop_reason == "tool_use", streamed
    answer = client.messages.create(messages=messages, **asked)
    call = next(block for block in answer.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    messages = messages + [
        {"role": "assistant", "content": [it.model_dump(exclude_none=True) for it in answer.content]},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(messages=messages, **asked)
    assert "18 degrees" in answer.content[-1].text, answer


def anthropic_thinking(client, model):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = {"model": model, "max_tokens": 4000, "thinking": thinking}
    with client.messages.stream(messages=user("think"), **asked) as stream:
        streamed = stream.get_final_message()
    thought = next(block for block in streamed.content if block.type == "thinking")
    assert thought.thinking, streamed
    messages = user("think") + [
        {"role": "assistant", "content": [it.model_dump(exclude_none=True) for it in streamed.content]},
        *user("Go on"),
    ]
    answer = client.messages.create(messages=messages, **asked)
    assert answer.content, answer


def anthropic_errors(client, model):
    try:
        client.messages.create(model=model, max_tokens=99, messages=user("error 429"))
    except anthropic.RateLimitError as error:
        assert error.body["error"]["type"] == "rate_limit_error", error.body
        return
    raise AssertionError("expected a RateLimitError")


def genai_content(client, model):
    answer = client.models.generate_content(model=model, contents="Hello there")
    assert answer.text and answer.candidates[0].finish_reason == types.FinishReason.STOP, answer
    pieces = list(client.models.generate_content_stream(model=model, contents="Hello there"))
    assert "".join(piece.text or "" for piece in pieces) == answer.text, pieces
    total = answer.usage_metadata.total_token_count
    assert pieces[-1].usage_metadata.total_token_count == total, pieces[-1]


def genai_tools(client, model):
    declaration = types.FunctionDeclaration(
        name="get_weather", description="Tells the weather", parameters_json_schema=SCHEMA
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents = [types.Content(role="user", parts=[types.Part(text="call the tool")])]
    answer = client.models.generate_content(model=model, contents=contents, config=config)
    call = answer.function_calls[0]
    assert call.args == ARGUMENTS, call
    response = types.FunctionResponse(name=call.name, id=call.id, response={"result": "18 degrees"})
    contents += [
        answer.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]
    answer = client.models.generate_content(model=model, contents=contents, config=config)
    assert "18 degrees" in answer.text, answer


def portkey_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=user("Hello there"), max_tokens=99)
    assert answer.choices[0].message.content, answer
    chunks = client.chat.completions.create(
        model=model, messages=user("Hello there"), max_tokens=99, stream=True
    )
    text = "".join(it.choices[0].delta.content or "" for it in chunks if it.choices)
    assert text == answer.choices[0].message.content, text


def langchain_chat(base_url, model):
    chat = ChatOpenAI(base_url=base_url, api_key=KEY, model=model, max_retries=0, timeout=LIMIT_S)
    answer = chat.invoke("Hello there")
    assert answer.content and answer.usage_metadata["total_tokens"] > 0, answer
    assert "".join(piece.content for piece in chat.stream("Hello there")) == answer.content
    answer = chat.bind_tools([TOOL]).invoke("call the tool")
    assert answer.tool_calls[0]["args"] == ARGUMENTS, answer


def structured(client, model):
    schema = {**SCHEMA, "additionalProperties": False}
    answer = client.chat.completions.create(
        model=model,
        messages=user("Hello there"),
        max_tokens=99,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": schema, "strict": True},
        },
    )
    assert answer.choices[0].message.content, answer


def main():
    arguments = command_line(__doc__)
    forget_the_environment()
    report = Report()
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        common = {"max_retries": 0, "timeout": LIMIT_S}
        of_openai = openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, **common)
        of_anthropic = anthropic.Anthropic(base_url=address, api_key=KEY, **common)
        options = types.HttpOptions(base_url=address, timeout=int(LIMIT_S * 1000))
        of_google = genai.Client(api_key=KEY, http_options=options)
        for dialect in DIALECTS:
            model = f"{dialect}/model-1"
            of_portkey = portkey_ai.Portkey(
                base_url=f"{address}/v1", api_key=KEY, provider=f"@{dialect}"
            )
            for name, function, *values in [
                ("openai, chat", openai_chat, of_openai, model),
                ("openai, tools", openai_tools, of_openai, model),
                ("openai, responses", openai_responses, of_openai, model),
                ("openai, structured output", structured, of_openai, model),
                ("openai, errors", openai_errors, of_openai, model),
                ("anthropic, messages", anthropic_messages, of_anthropic, model),
                ("anthropic, tools", anthropic_tools, of_anthropic, model),
                ("anthropic, thinking", anthropic_thinking, of_anthropic, model),
                ("anthropic, errors", anthropic_errors, of_anthropic, model),
                ("google-genai, content", genai_content, of_google, model),
                ("google-genai, tools", genai_tools, of_google, model),
                ("portkey-ai, chat", portkey_chat, of_portkey, "model-1"),
                ("langchain-openai, chat", langchain_chat, f"{address}/v1", model),
            ]:
                report.check(f"{name} from {dialect}", function, *values)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
