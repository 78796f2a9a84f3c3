"""Anthropic's messages, refusing what Anthropic refuses."""

import base64
import itertools
import json
import re

from .chat import pieces
from .descriptions import Description
from .model import Call, Conversation, Refusal, Result, Turn

# From these on a conversation has to end with the user.
NO_PREFILL = re.compile(r"claude-(opus|sonnet)-(4-[6-9]|[5-9])")
# From these on thinking has no budget, and sampling is the model's own.
ADAPTIVE_ONLY = re.compile(r"claude-(opus-(4-[7-9]|[5-9])|sonnet-[5-9])")
ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
BUDGET_MIN = 1_024
CACHE_POINTS_MAX = 4
THOUGHTS = ("thinking", "redacted_thinking")
# Words of JSON schema that structured outputs and strict tools do not take.
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems")


def refuse(message):
    raise Refusal(message)


class Messages:
    NAME = "Anthropic"

    def __init__(self, schemas):
        self.request = Description(schemas["anthropic"], closed=True)
        self.ids = itertools.count(1)
        # Thoughts by their signatures.
        self.signatures = {}

    def answer(self, path, body, headers, script):
        if not headers.get("anthropic-version"):
            refuse("anthropic-version: header is required")
        beta = "Beta" if headers.get("anthropic-beta") else ""
        if path == "v1/messages/count_tokens":
            self.check_described(f"{beta}CountMessageTokensParams", body)
            return {"input_tokens": 100}
        if path != "v1/messages":
            raise Refusal("Not found", status=404)
        self.check_described(f"{beta}CreateMessageParams", body)
        self.check(body)
        reply = script.reply(self.read(body))
        message = self.message(body, reply)
        return self.events(message) if body.get("stream") else message

    def check_described(self, schema, body):
        problems = self.request.problems(schema, {key: it for key, it in body.items() if it is not None})
        problems = [it.replace("unknown member", "Extra inputs are not permitted").lstrip(".") for it in problems]
        if problems:
            refuse("; ".join(problems[:5]))

    def check(self, body):
        self.check_thinking(body)
        self.check_tools(body)
        self.check_cache_points(body)
        user = (body.get("metadata") or {}).get("user_id")
        if isinstance(user, str) and len(user) > 256:
            refuse("metadata.user_id: String should have at most 256 characters")
        for sequence in body.get("stop_sequences") or []:
            if not sequence.strip():
                refuse("stop_sequences: each stop sequence must contain non-whitespace")
        if isinstance(body.get("system"), list):
            self.check_texts(body["system"], "system")
        self.check_messages(body)
        output = (body.get("output_config") or {}).get("format") or body.get("output_format")
        if output and output.get("schema"):
            check_subset(output["schema"], "output_config.format.schema")

    def check_thinking(self, body):
        thinking = body.get("thinking") or {"type": "disabled"}
        is_on = thinking["type"] in ("enabled", "adaptive")
        model = body["model"]
        if thinking["type"] == "enabled":
            if ADAPTIVE_ONLY.match(model):
                refuse(f'"thinking.type.enabled" is not supported for this model ({model}). Use "thinking.type.adaptive".')
            if thinking["budget_tokens"] < BUDGET_MIN:
                refuse(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {BUDGET_MIN}")
            if thinking["budget_tokens"] >= body["max_tokens"]:
                refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if ADAPTIVE_ONLY.match(model):
            for name in ("temperature", "top_p", "top_k"):
                if body.get(name) not in (None, 1):
                    refuse(f"`{name}` is not supported for this model.")
        if body.get("temperature") is not None and body.get("top_p") is not None:
            refuse("`temperature` and `top_p` cannot both be specified for this model.")
        if is_on:
            if body.get("temperature") not in (None, 1):
                refuse("`temperature` may only be set to 1 when thinking is enabled.")
            if body.get("top_k") is not None:
                refuse("`top_k` must be unset when thinking is enabled.")
            if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
                refuse("Thinking may not be enabled when tool_choice forces tool use.")

    def check_tools(self, body):
        names = [tool["name"] for tool in body.get("tools") or []]
        if len(names) != len(set(names)):
            refuse("tools: Tool names must be unique.")
        for at, tool in enumerate(body.get("tools") or []):
            if not TOOL_NAME.fullmatch(tool["name"]):
                refuse(f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            schema = tool.get("input_schema") or {}
            if any(word in schema for word in ("anyOf", "oneOf", "allOf")):
                refuse(f"tools.{at}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
            if tool.get("strict"):
                check_subset(schema, f"tools.{at}.custom.input_schema")
        if body.get("tool_choice") and not names:
            refuse("tool_choice may only be specified while providing tools.")

    def check_cache_points(self, body):
        blocks = list(body.get("tools") or [])
        for content in (body.get("system"), *(message["content"] for message in body["messages"])):
            for block in content if isinstance(content, list) else []:
                blocks.append(block)
                inner = block.get("content") if block["type"] == "tool_result" else None
                blocks += inner if isinstance(inner, list) else []
        points = [block for block in [body, *blocks] if block.get("cache_control")]
        if len(points) > CACHE_POINTS_MAX:
            refuse(f"A maximum of {CACHE_POINTS_MAX} blocks with cache_control may be provided. Found {len(points)}.")
        if any(block.get("type") in THOUGHTS for block in points):
            refuse("thinking.cache_control: Extra inputs are not permitted")

    def check_texts(self, blocks, where):
        for at, block in enumerate(blocks):
            if block["type"] == "text" and not block["text"].strip():
                refuse(f"{where}.{at}: text content blocks must contain non-whitespace text")

    def check_messages(self, body):
        messages = body["messages"]
        if messages[0]["role"] != "user":
            refuse('messages: first message must use the "user" role')
        pending, seen = [], set()
        for at, message in enumerate(messages):
            content = message["content"]
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            is_last = at == len(messages) - 1
            if not content and not (is_last and message["role"] == "assistant"):
                refuse("messages: all messages must have non-empty content except for the optional final assistant message")
            self.check_texts(content, f"messages.{at}.content")
            results = [it["tool_use_id"] for it in content if it["type"] == "tool_result"]
            if sorted(results) != sorted(pending):
                if set(pending) - set(results):
                    refuse(
                        f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                        f"{sorted(set(pending) - set(results))}"
                    )
                refuse(f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {sorted(results)}")
            if any(it["type"] != "tool_result" for it in content[: len(results)]):
                refuse(f"messages.{at}: `tool_result` blocks must come first")
            pending = [it["id"] for it in content if it["type"] == "tool_use"]
            if pending and message["role"] != "assistant":
                refuse(f"messages.{at}: `tool_use` blocks can only be in `assistant` messages")
            for identity in pending:
                if not ID.fullmatch(identity):
                    refuse(f"messages.{at}.content.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
                if identity in seen:
                    refuse(f"messages.{at}.content: `tool_use` ids must be unique")
                seen.add(identity)
            for block in content:
                self.check_block(block, at)
        if pending:
            refuse(f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks: {pending}")
        last = messages[-1]
        if last["role"] == "assistant":
            if NO_PREFILL.match(body["model"]):
                refuse("This model does not support assistant message prefill. The conversation must end with a user message.")
            if (body.get("thinking") or {}).get("type") == "enabled":
                refuse("Prefilling assistant messages is not supported with thinking.")
            text = last["content"] if isinstance(last["content"], str) else (last["content"][-1].get("text") or "")
            if text != text.rstrip():
                refuse("messages: final assistant content cannot end with trailing whitespace")
        if (body.get("thinking") or {}).get("type") == "enabled":
            self.check_thoughts_before_calls(messages)

    def check_block(self, block, at):
        if block["type"] == "thinking" and self.signatures.get(block["signature"]) != block["thinking"]:
            refuse(f"messages.{at}.content: Invalid `signature` in `thinking` block: {block['signature'][:60]!r}")
        if block["type"] == "redacted_thinking":
            refuse(f"messages.{at}.content: Invalid `data` in `redacted_thinking` block: {block['data'][:60]!r}")
        inner = block.get("content") if block["type"] == "tool_result" else [block]
        for picture in inner if isinstance(inner, list) else []:
            if picture["type"] == "image" and picture["source"]["type"] == "base64":
                base64.b64decode(picture["source"]["data"], validate=True)

    def check_thoughts_before_calls(self, messages):
        """Within a chain of tool calls each answer begins with its thoughts."""
        for message in reversed(messages):
            content = message["content"] if isinstance(message["content"], list) else []
            if message["role"] == "user":
                if not any(block["type"] == "tool_result" for block in content):
                    return
            elif any(block["type"] == "tool_use" for block in content) and content[0]["type"] not in THOUGHTS:
                refuse(
                    "messages: Expected `thinking` or `redacted_thinking`, but found "
                    f"`{content[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."
                )

    def read(self, body):
        system = body.get("system") or ""
        if isinstance(system, list):
            system = "\n".join(block["text"] for block in system)
        turns = []
        for message in body["messages"]:
            content = message["content"]
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            if not turns or turns[-1].role != message["role"]:
                turns.append(Turn(message["role"]))
            turn = turns[-1]
            for block in content:
                kind = block["type"]
                if kind == "text":
                    turn.texts.append(block["text"])
                elif kind == "thinking":
                    turn.thoughts.append(block["thinking"])
                elif kind == "tool_use":
                    turn.calls.append(Call(block["name"], block["input"], block["id"]))
                elif kind == "image":
                    turn.pictures.append(block["source"].get("media_type", "url"))
                elif kind == "tool_result":
                    inner = block.get("content") or ""
                    inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
                    texts = [it["text"] for it in inner if it["type"] == "text"]
                    turn.results.append(Result(block["tool_use_id"], "\n".join(texts)))
                    turn.pictures += [it["source"].get("media_type", "url") for it in inner if it["type"] == "image"]
        output = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
        return Conversation(
            model=body["model"],
            system=system,
            turns=turns,
            tools={tool["name"]: False for tool in body.get("tools") or []},
            wants_json=bool(output),
            schema=output.get("schema"),
        )

    def message(self, body, reply):
        number, content = next(self.ids), []
        thinking = (body.get("thinking") or {}).get("type")
        if reply.thought and thinking in ("enabled", "adaptive"):
            signature = base64.b64encode(f"signature {number} of Anthropic".encode()).decode()
            self.signatures[signature] = reply.thought
            content.append({"type": "thinking", "thinking": reply.thought, "signature": signature})
        if reply.text:
            content.append({"type": "text", "text": reply.text, "citations": None})
        for at, call in enumerate(reply.calls):
            call.id = f"toolu_{number:016}{at:08}"
            content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments, "caller": {"type": "direct"}})
        return {
            "id": f"msg_{number:024}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "container": None,
            "content": content,
            "stop_reason": "tool_use" if reply.calls else "end_turn",
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                "input_tokens": 30,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 64,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 40,
                "service_tier": "standard",
                "inference_geo": None,
                "server_tool_use": None,
                "output_tokens_details": None,
            },
        }

    def events(self, message):
        def event(kind, **members):
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"

        opening = message | {"content": [], "stop_reason": None}
        opening["usage"] = message["usage"] | {"output_tokens": 1}
        yield event("message_start", message=opening)
        yield event("ping")
        for index, block in enumerate(message["content"]):
            kind = block["type"]
            empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
            yield event("content_block_start", index=index, content_block=block | empty)
            if kind == "text":
                deltas = [{"type": "text_delta", "text": it} for it in pieces(block["text"])]
            elif kind == "thinking":
                deltas = [{"type": "thinking_delta", "thinking": it} for it in pieces(block["thinking"])]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            else:
                # An empty input has the empty piece only.
                texts = pieces(json.dumps(block["input"])) if block["input"] else []
                deltas = [{"type": "input_json_delta", "partial_json": it} for it in ("", *texts)]
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "server_tool_use", "output_tokens_details")
        usage = {name: message["usage"][name] for name in names}
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None, "container": None, "stop_details": None}
        yield event("message_delta", delta=delta, usage=usage)
        yield event("message_stop")

    def context_full(self):
        return Refusal("prompt is too long: 207314 tokens > 200000 maximum", is_complaint=False)

    def error(self, refusal):
        kind = "not_found_error" if refusal.status == 404 else "invalid_request_error"
        return {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": "req_1"}


def check_subset(schema, where):
    """The part of JSON schema that structured outputs take."""
    if isinstance(schema, list):
        for item in schema:
            check_subset(item, where)
    if not isinstance(schema, dict):
        return
    for name in BOUNDS:
        if name in schema:
            refuse(f"{where}: For '{schema.get('type')}' type, property '{name}' is not supported")
    if schema.get("minItems", 0) > 1:
        refuse(f"{where}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        refuse(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name, value in schema.items():
        inner = value.values() if name in ("properties", "$defs", "definitions") and isinstance(value, dict) else [value]
        for item in inner:
            check_subset(item, where)
