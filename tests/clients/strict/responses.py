"""OpenAI's responses, refusing what OpenAI refuses."""

import itertools
import json

from .chat import (
    REASONS,
    OpenAiErrors,
    check_described,
    check_name,
    check_parameters,
    check_sampling,
    check_user,
    pieces,
    unsupported,
)
from .descriptions import Description
from .model import Call, Conversation, Refusal, Result, Turn

# What ids of items begin with.
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
}
# What OpenAI takes from Codex although its description does not have it.
UNDESCRIBED = (
    r"\.client_metadata: unknown member",
    r"\.input\[\d+\]\.(id|status|namespace|internal_chat_message_metadata_passthrough): unknown member",
    r"\.input\[\d+\]\.content: expected array, got null",
    r"\.input\[\d+\]\.content\[\d+\]: no alternative for 'output_text'",
    r"\.tools\[\d+\]\.(external_web_access|search_content_types): unknown member",
    r"\.tools\[\d+\](\.tools\[\d+\])?\.strict: missing",
)
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
CALLS["tool_search_call"] = "tool_search_output"
SEARCH = "tool_search"
OUTPUTS = {output: call for call, output in CALLS.items()}


class Responses(OpenAiErrors):
    NAME = "OpenAI's responses"
    FULL = "Your input exceeds the context window of this model. Please adjust your input and try again."
    MEMBER = "input"

    def __init__(self, schemas):
        self.request = Description(schemas["openai"], closed=True)
        self.ids = itertools.count(1)
        # Encrypted thoughts by the id of their item.
        self.thoughts = {}
        # Items that are kept, since their request did not say otherwise.
        self.stored = {}
        # The thought that an item of an answer came with.
        self.companions = {}

    def answer(self, path, body, _headers, script):
        if path == "v1/responses/input_tokens":
            return {"object": "response.input_tokens", "input_tokens": 100}
        if path != "v1/responses":
            raise Refusal(f"Invalid URL (POST /{path})", status=404)
        self.check(body)
        conversation = self.read(body)
        reply = script.reply(conversation)
        output = self.output(body, reply, conversation)
        return self.events(body, reply, output) if body.get("stream") else self.response(body, reply, output)

    def check(self, body):
        check_described(self.request, "CreateResponse", body, UNDESCRIBED)
        check_user(body)
        check_sampling(body)
        if body.get("max_output_tokens") is not None and body["max_output_tokens"] < 16:
            message = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16."
            raise Refusal(message, code="integer_below_min_value", param="max_output_tokens")
        for key in ("safety_identifier", "prompt_cache_key"):
            if isinstance(body.get(key), str) and len(body[key]) > 64:
                raise Refusal(f"Invalid '{key}': string too long.", code="string_above_max_length", param=key)
        if body.get("previous_response_id"):
            raise Refusal("Previous response not found.", status=400, code="previous_response_not_found")
        if "reasoning.encrypted_content" in (body.get("include") or []) and not REASONS.match(body["model"]):
            raise unsupported("include", "Encrypted content is not supported with this model.")
        if body.get("reasoning") and not REASONS.match(body["model"]):
            raise unsupported("reasoning")
        for at, tool in enumerate(body.get("tools") or []):
            self.check_tool(tool, f"tools[{at}]")
        if isinstance(body["input"], list):
            self.check_items(body["input"])

    def check_tool(self, tool, where):
        if tool["type"] in ("function", "custom", "namespace"):
            check_name(tool.get("name"), f"{where}.name")
        if tool["type"] == "function":
            check_parameters(tool.get("parameters"), tool.get("strict"), f"{where}.parameters")
        if tool["type"] == "namespace":
            for at, inner in enumerate(tool["tools"]):
                self.check_tool(inner, f"{where}.tools[{at}]")

    def check_items(self, items):
        calls, answered = {}, set()
        items = [self.stored.get(item.get("id"), item) if item.get("type") == "item_reference" else item for item in items]
        present = {item.get("id") for item in items if item.get("type") == "reasoning"}
        for at, item in enumerate(items):
            kind = item.get("type", "message")
            identity = item.get("id")
            if identity is not None and kind in PREFIXES:
                if not identity.startswith(PREFIXES[kind]):
                    raise Refusal(
                        f"Invalid 'input[{at}].id': '{identity}'. Expected an ID that begins with '{PREFIXES[kind]}'.",
                        code="invalid_value",
                        param=f"input[{at}].id",
                    )
                if len(identity) > 64:
                    raise Refusal(f"Invalid 'input[{at}].id': string too long.", code="string_above_max_length")
            if kind == "item_reference" and identity not in self.stored:
                raise Refusal(f"Item with id '{identity}' not found. Items are not persisted when `store` is false.", status=404)
            if kind == "reasoning":
                self.check_thought(item, at)
            if kind in CALLS:
                if len(item["call_id"]) > 64:
                    raise Refusal(f"Invalid 'input[{at}].call_id': string too long.", code="string_above_max_length")
                if kind != "tool_search_call":
                    check_name(item["name"], f"input[{at}].name")
                if kind == "function_call":
                    json.loads(item["arguments"])
                calls[item["call_id"]] = kind
                needed = self.companions.get(identity)
                if needed and needed not in present:
                    raise Refusal(
                        f"Item '{identity}' of type '{kind}' was provided without its required 'reasoning' item: '{needed}'."
                    )
            if kind in OUTPUTS:
                if calls.get(item["call_id"]) != OUTPUTS[kind]:
                    raise Refusal(f"No tool call found for {kind.replace('_', ' ')} with call_id {item['call_id']}.", param="input")
                answered.add(item["call_id"])
            if kind == "message":
                self.check_message(item, at)
        for call_id, kind in calls.items():
            if call_id not in answered:
                raise Refusal(f"No tool output found for {kind.replace('_', ' ')} {call_id}.", param="input")

    def check_message(self, item, at):
        if item["content"] == []:
            raise Refusal(f"Invalid 'input[{at}].content': empty array.")
        for part in item["content"] if isinstance(item["content"], list) else []:
            is_output = part["type"] in ("output_text", "refusal")
            if is_output != (item["role"] == "assistant"):
                raise Refusal(f"Invalid value: '{part['type']}'. (input[{at}].content, role {item['role']})", code="invalid_value")

    def check_thought(self, item, at):
        encrypted = item.get("encrypted_content")
        if encrypted is None and item.get("id") in self.stored:
            return
        if encrypted is None:
            raise Refusal(
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false.", status=404
            )
        if encrypted not in self.thoughts.values():
            raise Refusal(
                f"The encrypted content {encrypted[:40]!r} of input[{at}] could not be verified.", code="invalid_encrypted_content"
            )
        if item.get("id") and self.thoughts.get(item["id"]) != encrypted:
            raise Refusal(f"The encrypted content of input[{at}] is not that of {item['id']}.", code="invalid_encrypted_content")

    def read(self, body):
        system, turns, found = [body.get("instructions") or ""], [], []
        items = body["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        for item in items:
            item = self.stored.get(item.get("id"), item) if item.get("type") == "item_reference" else item
            kind = item.get("type", "message")
            if kind == "message":
                texts, pictures = read_content(item["content"])
                if item["role"] in ("system", "developer"):
                    system += texts
                    continue
                self.turn(turns, item["role"]).texts += texts
                turns[-1].pictures += pictures
            elif kind == "reasoning":
                self.turn(turns, "assistant").thoughts.append(item.get("encrypted_content"))
            elif kind == "function_call":
                call = Call(item["name"], json.loads(item["arguments"]), item["call_id"])
                self.turn(turns, "assistant").calls.append(call)
            elif kind == "custom_tool_call":
                self.turn(turns, "assistant").calls.append(Call(item["name"], item["input"], item["call_id"]))
            elif kind == "tool_search_call":
                self.turn(turns, "assistant").calls.append(Call(SEARCH, item["arguments"], item["call_id"]))
            elif kind == "tool_search_output":
                found += item["tools"]
                self.turn(turns, "user").results.append(Result(item["call_id"], json.dumps(item["tools"])))
            elif kind in OUTPUTS:
                texts, pictures = read_content(item["output"])
                turn = self.turn(turns, "user")
                turn.results.append(Result(item["call_id"], "\n".join(texts)))
                turn.pictures += pictures
        tools, self.namespaces = {}, {}
        for tool in [*(body.get("tools") or []), *found]:
            if tool["type"] == SEARCH and tool.get("execution") == "client":
                tools[SEARCH] = False
            elif tool["type"] == "namespace":
                for inner in tool["tools"]:
                    tools[f"{tool['name']}.{inner['name']}"] = inner["type"] == "custom"
                    self.namespaces[f"{tool['name']}.{inner['name']}"] = (tool["name"], inner["name"])
            elif "name" in tool:
                tools[tool["name"]] = tool["type"] == "custom"
        wanted = (body.get("text") or {}).get("format") or {}
        return Conversation(
            model=body["model"],
            system="\n".join(system),
            turns=turns,
            tools=tools,
            wants_json=wanted.get("type") in ("json_object", "json_schema"),
            schema=wanted.get("schema"),
        )

    def turn(self, turns, role):
        if not turns or turns[-1].role != role:
            turns.append(Turn(role))
        return turns[-1]

    def output(self, body, reply, conversation):
        """The items of an answer."""
        number, output = next(self.ids), []
        thought_id = None
        if reply.thought and REASONS.match(body["model"]):
            thought_id = f"rs_{number:032x}"
            self.thoughts[thought_id] = f"gAAAA-{number:08}-{'x' * 80}"
            item = {
                "id": thought_id,
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": reply.thought}],
            }
            if "reasoning.encrypted_content" in (body.get("include") or []):
                item["encrypted_content"] = self.thoughts[thought_id]
            output.append(item)
        if reply.text:
            content = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]
            output.append(
                {"id": f"msg_{number:032x}", "type": "message", "status": "completed", "role": "assistant", "content": content}
            )
        for at, call in enumerate(reply.calls):
            call.id = f"call_{number:016x}{at:08x}"
            is_freeform = conversation.tools[call.name]
            kind = "custom_tool_call" if is_freeform else "tool_search_call" if call.name == SEARCH else "function_call"
            namespace, name = self.namespaces.get(call.name, (None, call.name))
            item = {"id": f"{PREFIXES[kind]}_{number:024x}{at:08x}", "type": kind, "status": "completed"}
            item["call_id"] = call.id
            if call.name == SEARCH:
                output.append(item | {"execution": "client", "arguments": call.arguments})
                continue
            item["name"] = name
            if namespace:
                item["namespace"] = namespace
            if is_freeform:
                item["input"] = call.arguments
            else:
                item["arguments"] = json.dumps(call.arguments)
            if thought_id and at == 0:
                self.companions[item["id"]] = thought_id
            output.append(item)
        if body.get("store") is not False:
            self.stored |= {item["id"]: item for item in output}
        return output

    def response(self, body, reply, output, status="completed"):
        effort = (body.get("reasoning") or {}).get("effort")
        value = {
            "id": f"resp_{next(self.ids):032x}",
            "object": "response",
            "created_at": 1_790_000_000,
            "completed_at": 1_790_000_001 if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": None,
            "model": body["model"],
            "output": output,
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": {"effort": effort, "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": body.get("store", True),
            "temperature": 1.0,
            "text": told_text(body),
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": [told(tool) for tool in body.get("tools") or []],
            "top_logprobs": 0,
            "top_p": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            "metadata": {},
        }
        if status == "completed":
            value["usage"] = {
                "input_tokens": 150,
                "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
                "output_tokens": 40,
                "output_tokens_details": {"reasoning_tokens": 12},
                "total_tokens": 190,
            }
        return value

    def events(self, body, reply, output):
        numbers = itertools.count()
        begun = self.response(body, reply, [], "in_progress")

        def event(kind, **members):
            value = {"type": kind, "sequence_number": next(numbers), **members}
            return f"event: {kind}\ndata: {json.dumps(value)}\n\n"

        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        for index, item in enumerate(output):
            place = {"item_id": item["id"], "output_index": index}
            yield event("response.output_item.added", output_index=index, item=opening(item))
            if item["type"] == "reasoning":
                text = item["summary"][0]["text"]
                part = place | {"summary_index": 0}
                yield event("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}, **part)
                for piece in pieces(text):
                    yield event("response.reasoning_summary_text.delta", delta=piece, **part)
                yield event("response.reasoning_summary_text.done", text=text, **part)
                yield event("response.reasoning_summary_part.done", part={"type": "summary_text", "text": text}, **part)
            elif item["type"] == "message":
                whole = item["content"][0]
                part = place | {"content_index": 0}
                yield event("response.content_part.added", part=whole | {"text": ""}, **part)
                for piece in pieces(whole["text"]):
                    yield event("response.output_text.delta", delta=piece, logprobs=[], **part)
                yield event("response.output_text.done", text=whole["text"], logprobs=[], **part)
                yield event("response.content_part.done", part=whole, **part)
            elif item["type"] == "function_call":
                for piece in pieces(item["arguments"]):
                    yield event("response.function_call_arguments.delta", delta=piece, **place)
                yield event(
                    "response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **place
                )
            elif item["type"] == "custom_tool_call":
                for piece in pieces(item["input"]):
                    yield event("response.custom_tool_call_input.delta", delta=piece, **place)
                yield event("response.custom_tool_call_input.done", input=item["input"], **place)
            yield event("response.output_item.done", output_index=index, item=item)
        response = self.response(body, reply, output)
        yield event("response.completed", response=response | {"id": begun["id"]})


def told_text(body):
    """The form of the answer as it repeats it, with its description."""
    text = body.get("text") or {"format": {"type": "text"}}
    form = text.get("format") or {"type": "text"}
    return text | {"format": {"description": None} | form if form["type"] == "json_schema" else form}


def told(tool):
    """A tool as an answer repeats it, with its defaults."""
    if tool["type"] == "namespace":
        return tool | {"tools": [told(inner) for inner in tool["tools"]]}
    return {"strict": True, "parameters": None} | tool if tool["type"] == "function" else tool


def opening(item):
    """An item as it is added, before its pieces."""
    empty = {"status": "in_progress"} if "status" in item else {}
    for name, value in (("summary", []), ("content", []), ("arguments", ""), ("input", "")):
        if isinstance(item.get(name), type(value)):
            empty[name] = value
    return item | empty


def read_content(content):
    """Texts and pictures of a message or an output."""
    if isinstance(content, str):
        return [content], []
    texts = [it["text"] for it in content if it["type"] in ("input_text", "output_text", "text")]
    pictures = [it["image_url"].partition(";")[0] for it in content if it["type"] == "input_image"]
    return texts, pictures
