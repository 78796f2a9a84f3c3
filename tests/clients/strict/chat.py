"""OpenAI's chat completions, refusing what OpenAI refuses."""

import itertools
import json
import re

from .descriptions import Description
from .model import Call, Conversation, Refusal, Reply, Result, Turn

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REASONS = re.compile(r"(gpt-5|o[1-9])")
# Of these models tools and an effort go to `/responses` only.
NO_TOOLS_WITH_EFFORT = re.compile(r"gpt-5\.([4-9]|\d\d)")
# What OpenAI takes back although its description has it in answers only.
UNDESCRIBED = (r"\.messages\[\d+\]\.annotations: unknown member",)
PIECE = 7


def unsupported(param, message=None):
    message = message or f"Unsupported parameter: '{param}' is not supported with this model."
    return Refusal(message, code="unsupported_parameter", param=param)


def check_user(body):
    user = body.get("user")
    if isinstance(user, str) and len(user) > 64:
        message = f"Invalid 'user': string too long. Expected a string with maximum length 64, but got {len(user)}."
        raise Refusal(message, code="string_above_max_length", param="user")


def check_name(name, where):
    if not isinstance(name, str) or not NAME.fullmatch(name):
        message = f"Invalid '{where}': string does not match pattern '^[a-zA-Z0-9_-]+$', 64 at most: {name!r}."
        raise Refusal(message, code="invalid_value", param=where)


def check_described(description, schema, body, undescribed=()):
    """Refuses what the vendor's description does not allow, but for what is known to be taken."""
    # Null stands for absence at the top.
    problems = description.problems(schema, {key: it for key, it in body.items() if it is not None})
    problems = [problem for problem in problems if not any(re.fullmatch(it, problem) for it in undescribed)]
    if problems:
        code = "unknown_parameter" if "unknown member" in problems[0] else "invalid_request"
        raise Refusal("; ".join(problems[:5]), code=code)


def check_sampling(body):
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    if not REASONS.match(body["model"]):
        if effort:
            raise unsupported("reasoning_effort")
        return
    # From gpt-5.1 on a model that does not think may be sampled.
    if re.match(r"gpt-5\.", body["model"]) and effort in (None, "none"):
        return
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            raise unsupported(name)
    for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs"):
        if body.get(name):
            raise unsupported(name)


def check_parameters(parameters, strict, where):
    """The rules of function schemas."""
    if parameters is None:
        return
    if parameters and parameters.get("type") != "object":
        message = f"Invalid schema for function: schema must be a JSON Schema of 'type: \"object\"', got {parameters.get('type')!r}."
        raise Refusal(message, code="invalid_function_parameters", param=where)
    if strict:
        check_strict(parameters, where)


def check_strict(schema, where):
    if isinstance(schema, list):
        for item in schema:
            check_strict(item, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            message = "Invalid schema: 'additionalProperties' is required to be supplied and to be false."
            raise Refusal(message, code="invalid_function_parameters", param=where)
        missing = set(schema.get("properties") or {}) - set(schema.get("required") or [])
        if missing:
            message = f"Invalid schema: 'required' is required to include every key in properties. Missing {missing}."
            raise Refusal(message, code="invalid_function_parameters", param=where)
    for key, value in schema.items():
        for item in value.values() if key in ("properties", "$defs", "definitions") and isinstance(value, dict) else [value]:
            check_strict(item, where)


class OpenAiErrors:
    """How OpenAI tells what it refuses; `FULL` is its sentence for a full context, `MEMBER` the member that fills it."""

    def context_full(self):
        return Refusal(self.FULL, code="context_length_exceeded", param=self.MEMBER, is_complaint=False)

    def error(self, refusal):
        return {
            "error": {
                "message": refusal.message,
                "type": "invalid_request_error",
                "param": refusal.param,
                "code": refusal.code,
            }
        }


class Chat(OpenAiErrors):
    NAME = "OpenAI's chat"
    FULL = (
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens. "
        "Please reduce the length of the messages."
    )
    MEMBER = "messages"

    def __init__(self, schemas):
        self.request = Description(schemas["openai"], closed=True)
        self.ids = itertools.count(1)

    def answer(self, path, body, _headers, script):
        if path != "v1/chat/completions":
            raise Refusal(f"Invalid URL (POST /{path})", status=404)
        self.check(body)
        reply = script.reply(self.read(body))
        for call in reply.calls:
            call.id = f"call_{next(self.ids):024}"
        identity = f"chatcmpl-{next(self.ids):08}"
        return self.events(body, reply, identity) if body.get("stream") else self.whole(body, reply, identity)

    def check(self, body):
        check_described(self.request, "CreateChatCompletionRequest", body, UNDESCRIBED)
        check_user(body)
        self.check_sampling(body)
        model = body["model"]
        if REASONS.match(model):
            if body.get("max_tokens") is not None:
                raise unsupported(
                    "max_tokens",
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                )
            if body.get("stop"):
                raise unsupported("stop")
            if body.get("tools") and body.get("reasoning_effort") and NO_TOOLS_WITH_EFFORT.match(model):
                raise unsupported(
                    "reasoning_effort",
                    f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use /v1/responses instead.",
                )
        if body.get("stream_options") and not body.get("stream"):
            raise Refusal("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        if len(body.get("tools") or []) > 128:
            raise Refusal("Invalid 'tools': array too long. Expected at most 128.", code="array_above_max_length")
        if body.get("tools") == []:
            raise Refusal("[] is too short - 'tools'")
        for at, tool in enumerate(body.get("tools") or []):
            function = tool.get("function") or tool.get("custom")
            check_name(function.get("name"), f"tools[{at}].function.name")
            check_parameters(function.get("parameters"), function.get("strict"), f"tools[{at}].function.parameters")
        if body.get("tool_choice") is not None and not body.get("tools"):
            raise Refusal("'tool_choice' is only allowed when 'tools' are specified.")
        if body.get("parallel_tool_calls") is not None and not body.get("tools"):
            raise Refusal("'parallel_tool_calls' is only allowed when 'tools' are specified.")
        for key, value in (body.get("metadata") or {}).items():
            if len(key) > 64 or len(value) > 512:
                raise Refusal("Invalid 'metadata': too long", code="string_above_max_length")
        self.check_messages(body["messages"])

    def check_sampling(self, body):
        check_sampling(body)

    def check_messages(self, messages):
        open_calls = {}
        for at, message in enumerate(messages):
            role = message["role"]
            if role == "tool":
                if message["tool_call_id"] not in open_calls:
                    raise Refusal(
                        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                        param=f"messages[{at}].role",
                    )
                open_calls[message["tool_call_id"]] = True
                continue
            self.check_answered(open_calls)
            open_calls = {}
            if role == "assistant":
                calls = message.get("tool_calls") or []
                if message.get("content") is None and not calls and not message.get("refusal"):
                    raise Refusal(f"Invalid value for 'content': expected a string, got null. messages[{at}]")
                for call in calls:
                    check_name((call.get("function") or call.get("custom"))["name"], f"messages[{at}].tool_calls.name")
                    if len(call["id"]) > 64:
                        raise Refusal(f"Invalid 'messages[{at}].tool_calls[0].id': string too long.")
                    if call["type"] == "function":
                        json.loads(call["function"]["arguments"] or "0")
                    open_calls[call["id"]] = False
        self.check_answered(open_calls)

    def check_answered(self, open_calls):
        missing = [name for name, is_answered in open_calls.items() if not is_answered]
        if missing:
            raise Refusal(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {missing}"
            )

    def read(self, body):
        system, turns = [], []
        for message in body["messages"]:
            role, content = message["role"], message.get("content")
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
            texts = [it["text"] for it in parts if it["type"] == "text"]
            pictures = [it["image_url"]["url"].partition(";")[0] for it in parts if it["type"] == "image_url"]
            if role in ("system", "developer"):
                system += texts
            elif role == "tool":
                turns.append(Turn("user", results=[Result(message["tool_call_id"], "\n".join(texts))]))
            else:
                turn = Turn(role, texts=texts, pictures=pictures)
                for call in message.get("tool_calls") or []:
                    if call["type"] == "custom":
                        turn.calls.append(Call(call["custom"]["name"], call["custom"]["input"], call["id"]))
                    else:
                        arguments = json.loads(call["function"]["arguments"] or "{}")
                        turn.calls.append(Call(call["function"]["name"], arguments, call["id"]))
                turns.append(turn)
        tools = {
            (tool.get("function") or tool.get("custom"))["name"]: tool["type"] == "custom"
            for tool in body.get("tools") or []
        }
        wanted = body.get("response_format") or {}
        return Conversation(
            model=body["model"],
            system="\n".join(system),
            turns=turns,
            tools=tools,
            wants_json=wanted.get("type") in ("json_object", "json_schema"),
            schema=(wanted.get("json_schema") or {}).get("schema"),
        )

    def shown_thought(self, _reply):
        """OpenAI's chats show no thoughts."""
        return ""

    def usage(self, body, reply):
        prompt, completion = 100 + 10 * len(body["messages"]), 20 + len(reply.text)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self, body, reply, identity):
        message = {"role": "assistant", "content": reply.text or None, "refusal": None, "annotations": []}
        if self.shown_thought(reply):
            message["reasoning"] = reply.thought
        if reply.calls:
            message["tool_calls"] = [
                {"id": it.id, "type": "function", "function": {"name": it.name, "arguments": json.dumps(it.arguments)}}
                for it in reply.calls
            ]
        return {
            "id": identity,
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": body["model"],
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if reply.calls else "stop"}
            ],
            "usage": self.usage(body, reply),
            "service_tier": "default",
            "system_fingerprint": "fp_1",
        }

    def events(self, body, reply, identity):
        has_usage = (body.get("stream_options") or {}).get("include_usage")

        def chunk(delta, finish_reason=None, **members):
            choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
            value = {
                "id": identity,
                "object": "chat.completion.chunk",
                "created": 1_790_000_000,
                "model": body["model"],
                "service_tier": "default",
                "system_fingerprint": "fp_1",
                "choices": choices,
            }
            if has_usage:
                value["usage"] = None
            return "data: " + json.dumps(value | members) + "\n\n"

        yield chunk({"role": "assistant", "content": "" if reply.text else None})
        for piece in pieces(self.shown_thought(reply)):
            yield chunk({"reasoning": piece})
        for piece in pieces(reply.text):
            yield chunk({"content": piece})
        # Pieces of parallel calls come in turns.
        texts = [list(pieces(json.dumps(call.arguments))) for call in reply.calls]
        for index, call in enumerate(reply.calls):
            function = {"name": call.name, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        for row in itertools.zip_longest(*texts):
            for index, piece in enumerate(row):
                if piece is not None:
                    yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, "tool_calls" if reply.calls else "stop")
        if has_usage:
            yield chunk({}, choices=[], usage=self.usage(body, reply))
        yield "data: [DONE]\n\n"


class Imitator(Chat):
    """A vendor that imitates OpenAI, shows its thoughts, and takes none of them back."""

    NAME = "the imitator of OpenAI"
    REFUSED = ("frequency_penalty", "presence_penalty", "n", "store", "metadata")

    def check_sampling(self, body):
        for name in self.REFUSED:
            if body.get(name) is not None:
                raise Refusal(f"property '{name}' is unsupported", code="wrong_api_format", param=name)

    def shown_thought(self, reply):
        return reply.thought


def pieces(text):
    """Small pieces, so that none of what is streamed is whole."""
    for at in range(0, len(text), PIECE):
        yield text[at : at + PIECE]
