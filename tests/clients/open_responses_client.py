#!/usr/bin/env python3
"""Asks providers of several vendors through OpenAI's responses, in the cases that the compliance tests of Open Responses
name, and holds answers and events against the types of its specification (the package openresponses-types).

The tests themselves are no package; these are the same cases in our words, with errors, results of tools and forms of
answers beside them. One line per check; exit status 1 if any check fails. `scripts/test-clients` calls it.
"""

import enum
import inspect
import json
import sys
import urllib.error
import urllib.request

import openresponses_types as spec

from stage import LIMIT_S, Report, command_line, forget_the_environment
from strict.hall import MODELS, Hall, Place, is_run
from strict.model import Call, ContextFull, Reply, Script, expect

CLIENT = "open-responses"
FULL = "The context is full now."
WORDS = "One, two, three, four, five."
# A picture of one white point.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsmMBXQAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "get_weather", "description": "Tells the weather of a city.", "parameters": CITY}
CLOSED = CITY | {"additionalProperties": False}
# Kinds of items that the specification leaves to the vendors have other types there.
SPECIFIED = ("message", "function_call", "function_call_output", "reasoning", "compaction")


def message(role, content):
    return {"type": "message", "role": role, "content": content}


def user(text):
    return message("user", text)


CALLED = [
    user("What is the weather in Oslo?"),
    {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"},
]
SEEN = [{"type": "input_text", "text": "What do you see?"}]
SEEN.append({"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"})
FORM = {"format": {"type": "json_schema", "name": "place", "schema": CLOSED, "strict": True}}
# By case: members of the request, and the kind of item that the answer has to have.
CASES = {
    "text": ({"input": [user("Say hello.")]}, "message"),
    "words alone": ({"input": "Say hello."}, "message"),
    "system": ({"input": [message("system", "Talk like a pirate."), user("Say hello.")]}, "message"),
    "developer": ({"input": [message("developer", "Talk like a pirate."), user("Say hello.")]}, "message"),
    "instructions": ({"input": [user("Say hello.")], "instructions": "Talk like a pirate."}, "message"),
    "tool": ({"input": [user("What is the weather in Oslo?")], "tools": [WEATHER]}, "function_call"),
    "tool forced": (
        {"input": [user("Hello.")], "tools": [WEATHER], "tool_choice": {"type": "function", "name": "get_weather"}},
        "function_call",
    ),
    "tool result": ({"input": CALLED, "tools": [WEATHER]}, "message"),
    "picture": ({"input": [message("user", SEEN)]}, "message"),
    "turns": (
        {"input": [user("My name is Alice."), message("assistant", "Hello Alice!"), user("What is my name?")]},
        "message",
    ),
    "form": ({"input": [user("Name a city.")], "text": FORM}, "message"),
    "settings": ({"input": [user("Say hello.")], "max_output_tokens": 4000, "metadata": {"a": "b"}}, "message"),
}
# Of these the compliance tests want a call that grows.
GROWN = ("response.function_call_arguments.delta", "response.function_call_arguments.done")


class Answers(Script):
    """Calls the tool where there is one and no result yet; a text else."""

    def reply(self, conversation):
        if FULL in conversation.first_text():
            raise ContextFull
        if conversation.tools and not conversation.results():
            return Reply(thought="I need it.", calls=[Call("get_weather", {"city": "Oslo"})])
        text = json.dumps({"city": "Oslo"}) if conversation.wants_json else WORDS
        return Reply(text=text, thought="I know.")


def event_types():
    """The types of events by the name that each has for its `type`."""
    found = {}
    for name, kind in inspect.getmembers(spec, inspect.isclass):
        if name.endswith("StreamingEvent"):
            names = kind.model_fields["type"].annotation
            expect(issubclass(names, enum.Enum), f"{name} has a type of another kind")
            found |= {one.value: kind for one in names}
    return found


EVENTS = event_types()


def post(place, body):
    """Status and text of the answer."""
    fields = {"content-type": "application/json", "authorization": "Bearer no-key-is-asked-for"}
    data = json.dumps({"model": place.model, **body}).encode()
    request = urllib.request.Request(f"{place.base_url}/v1/responses", data, fields)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def events_of(text):
    """The data of the events of a stream, each of which is named as it says."""
    told = []
    for block in filter(None, text.replace("\r\n", "\n").split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        # A comment keeps the connection alive.
        if lines.get("data", "[DONE]") == "[DONE]":
            continue
        told.append(json.loads(lines["data"]))
        expect(lines.get("event") == told[-1]["type"], f"event {lines.get('event')} holds {told[-1]['type']}")
    return told


def parse(kind, value):
    """The value as its type has it, but for the schema of a format, which the specification has for null."""
    response = value.get("response", value)
    text = response.get("text")
    form = text.get("format") or {} if isinstance(text, dict) else {}
    if form.get("type") == "json_schema":
        form["schema"] = None
    return kind.model_validate(value)


def check_response(response, wanted):
    expect(all(item["type"] in SPECIFIED for item in response["output"]), f"items {response['output']}")
    parsed = parse(spec.ResponseResource, response)
    expect(parsed.status == "completed", f"status {parsed.status}")
    expect(parsed.completed_at >= parsed.created_at, f"completed at {parsed.completed_at}, made at {parsed.created_at}")
    kinds = [item["type"] for item in response["output"]]
    expect(wanted in kinds, f"no {wanted} among {kinds}")


def whole(place, request, wanted):
    status, text = post(place, request)
    expect(status == 200, f"status {status}: {text}")
    check_response(json.loads(text), wanted)


def streamed(place, request, wanted):
    status, text = post(place, request | {"stream": True})
    expect(status == 200, f"status {status}: {text}")
    told = events_of(text)
    for number, event in enumerate(told):
        expect(event["sequence_number"] == number, f"number {event['sequence_number']} at {number}")
        expect(event["type"] in EVENTS, f"an event {event['type']}")
        parse(EVENTS[event["type"]], event)
    kinds = [event["type"] for event in told]
    expect(kinds[0] == "response.created" and kinds[-1] == "response.completed", f"events {kinds}")
    check_response(told[-1]["response"], wanted)
    for kind in ("response.output_item.added", "response.output_item.done"):
        items = [event["item"]["type"] for event in told if event["type"] == kind]
        expect(wanted in items, f"{kind} of {items}")
    if wanted == "function_call":
        expect(set(GROWN) <= set(kinds), f"events {kinds}")


def refused(place, body, code=None):
    """A request that is refused, whole or before its stream has begun."""
    for stream in (False, True):
        status, text = post(place, body | {"stream": stream})
        error = spec.ErrorPayload.model_validate(json.loads(text)["error"])
        expect(status == 400, f"status {status}: {text}")
        expect(code in (None, error.code), f"code {error.code}")
    place.stage.complaints.clear()


def check(place, run, *arguments):
    run(place, *arguments)
    place.judge(may_fail=run is refused)


def main():
    arguments = command_line(
        __doc__,
        folder="folder for the settings; emptied",
        descriptions="folder that keeps the vendors' descriptions in a form that is quick to read",
    )
    forget_the_environment()
    report = Report()
    hall = Hall(arguments.folder, arguments.descriptions, [CLIENT])
    with hall.open(arguments.ringgate):
        for vendor in MODELS:
            runs = [(case, whole, asked) for case, asked in CASES.items()]
            runs += [(f"{case}, streamed", streamed, asked) for case, asked in CASES.items()]
            runs += [
                ("no input", refused, ({"input": 7},)),
                ("full context", refused, ({"input": [user(FULL)]}, "context_length_exceeded")),
            ]
            for case, run, asked in runs:
                name = f"{CLIENT} {case} from {vendor}"
                if is_run(name, {}):
                    report.check(name, check, Place(hall, CLIENT, vendor, Answers()), run, *asked)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
