#!/usr/bin/env python3
"""Asks strict providers of five vendors with async-openai, the strictest of OpenAI's clients in its types: chats and
responses, whole and streamed, words and calls; and providers of four dialects for embeddings.

One line per check; exit status 1 if any check fails. `scripts/test-clients` builds the client and calls it.
"""

import json
import os
import subprocess
import sys

from stage import LIMIT_S, Report, command_line, forget_the_environment, gateway_of_all_dialects
from strict.hall import MODELS, Hall, Place, is_run
from strict.model import Call, ContextFull, Reply, Script, expect

CLIENT = "async-openai"
FULL = "The context is full now."
WORDS = "It is 18 degrees in Oslo."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Tells the weather of a city.", "parameters": CITY}
EMBEDDERS = {
    "openai-chat": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
    "cohere-chat": "embed-v4.0",
    "bedrock-converse": "amazon.titan-embed-text-v2:0",
}
ASKED = {
    "chat": {"messages": [{"role": "user", "content": "Hello."}]},
    "responses": {"input": "Hello."},
}
TOOLS = {
    "chat": [{"type": "function", "function": WEATHER}],
    "responses": [{"type": "function", "strict": False, **WEATHER}],
}


class Answers(Script):
    """Calls a tool where there is one; words else."""

    def reply(self, conversation):
        if FULL in conversation.first_text():
            raise ContextFull
        if conversation.tools:
            return Reply(thought="I need it.", calls=[Call("get_weather", {"city": "Oslo"})])
        return Reply(text=WORDS, thought="I know.")


def run(program, kind, base_url, body):
    command = [os.path.abspath(program), kind, f"{base_url}/v1", json.dumps(body)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def answered(program, kind, base_url, body):
    ended = run(program, kind, base_url, body)
    expect(ended.returncode == 0, ended.stderr[-2_000:])
    return json.loads(ended.stdout)


def request(kind, place):
    body = ASKED[kind.partition("-")[0]] | {"model": place.model}
    if kind == "chat-stream":
        body |= {"stream_options": {"include_usage": True}}
    return body


def words(place, program, kind):
    told = answered(program, kind, place.base_url, request(kind, place))
    expect(told["text"] == WORDS and told["calls"] == [], told)
    expect(told["tokens"] > 0, told)
    place.judge()


def calls(place, program, kind):
    body = request(kind, place) | {"tools": TOOLS[kind.partition("-")[0]]}
    told = answered(program, kind, place.base_url, body)
    expect([name for name, _ in told["calls"]] == ["get_weather"], told)
    expect(json.loads(told["calls"][0][1]) == {"city": "Oslo"}, told)
    place.judge()


def full_context(place, program, kind):
    body = request(kind, place)
    body |= {"input": FULL} if "input" in body else {"messages": [{"role": "user", "content": FULL}]}
    ended = run(program, kind, place.base_url, body)
    expect(ended.returncode == 1 and "context_length_exceeded" in ended.stderr, ended.stderr[-2_000:])
    place.judge(may_fail=True)


def embeddings(program, base_url, model):
    told = answered(program, "embeddings", base_url, {"model": model, "input": ["first", "second"]})
    expect(len(told["sizes"]) == 2 and min(told["sizes"]) > 0, told)


def main():
    arguments = command_line(
        __doc__,
        folder="folder for the settings; emptied",
        descriptions="folder that keeps the vendors' descriptions in a form that is quick to read",
        program="the client, built of tests/clients/rust",
    )
    forget_the_environment()
    report = Report()
    hall = Hall(arguments.folder, arguments.descriptions, [CLIENT])
    with hall.open(arguments.ringgate):
        for vendor in MODELS:
            for kind in ("chat", "chat-stream", "responses", "responses-stream"):
                for what in (words, calls, full_context):
                    name = f"{CLIENT} {kind} {what.__name__} from {vendor}"
                    if is_run(name, {}):
                        place = Place(hall, CLIENT, vendor, Answers())
                        report.check(name, what, place, arguments.program, kind)
    with gateway_of_all_dialects(arguments.ringgate, arguments.loadtest) as address:
        for dialect, model in EMBEDDERS.items():
            name = f"{CLIENT} embeddings from {dialect}"
            if is_run(name, {}):
                report.check(name, embeddings, arguments.program, address, f"{dialect}/{model}")
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
