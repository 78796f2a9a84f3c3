"""Google's generateContent, refusing what Gemini refuses."""

import base64
import itertools
import json
import re

from .chat import pieces
from .descriptions import ProtoDescription
from .model import Call, Conversation, Refusal, Result, Turn

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
# From these on calls without a signature are refused.
SIGNED = re.compile(r"gemini-3")
# What Google's documentation allows in place of a signature, for calls that no Gemini has made.
DUMMIES = {base64.b64encode(it).decode() for it in (b"skip_thought_signature_validator",)} | {
    "skip_thought_signature_validator",
    "context_engineering_is_the_way_to_go",
}
DATA = {
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
}
LEVELS = {"LOW", "HIGH"}
FORMATS = ("enum", "date-time")


def refuse(message):
    raise Refusal(message)


def member(value, name):
    """A member by its name in camelCase or snake_case."""
    return value.get(name, value.get(re.sub(r"[A-Z]", lambda it: "_" + it.group().lower(), name)))


class Gemini:
    NAME = "Gemini"

    def __init__(self, schemas):
        self.request = ProtoDescription(schemas["gemini"])
        self.ids = itertools.count(1)
        self.signatures = set()

    def answer(self, path, body, _headers, script):
        found = re.fullmatch(r"v1beta/models/([a-z0-9.-]+):(generateContent|streamGenerateContent|countTokens)", path)
        if not found:
            raise Refusal(f"Not found: {path}", status=404)
        model, verb = found.groups()
        if verb == "countTokens":
            self.check_described("CountTokensRequest", body)
            return {"totalTokens": 100}
        self.check_described("GenerateContentRequest", body)
        self.check(model, body)
        reply = script.reply(self.read(model, body))
        return self.events(model, body, reply) if verb == "streamGenerateContent" else self.whole(model, body, reply)

    def check_described(self, schema, body):
        problems = self.request.problems(schema, body)
        if problems:
            refuse("Invalid JSON payload received. " + "; ".join(problems[:5]))

    def check(self, model, body):
        self.check_contents(model, body.get("contents") or refuse("contents is not specified"))
        system = member(body, "systemInstruction")
        if system is not None:
            self.check_parts(system, "system_instruction")
        config = member(body, "generationConfig") or {}
        thinking = member(config, "thinkingConfig") or {}
        budget, level = member(thinking, "thinkingBudget"), member(thinking, "thinkingLevel")
        if budget is not None and level is not None:
            refuse("You can only set only one of thinking budget and thinking level.")
        if level is not None and level.upper() not in LEVELS and model.startswith("gemini-3-pro"):
            refuse(f"Thinking level {level} is not supported for this model.")
        if level is not None and not SIGNED.match(model):
            refuse("Thinking level is not supported for this model.")
        if len(member(config, "stopSequences") or []) > 5:
            refuse("The number of stop sequences must be at most 5.")
        if member(config, "responseSchema") and member(config, "responseJsonSchema"):
            refuse("only one of response_schema and response_json_schema may be set")
        if member(config, "responseSchema"):
            check_schema(member(config, "responseSchema"), "generation_config.response_schema")
        names = []
        for tool in body.get("tools") or []:
            if tool == {}:
                refuse("tools[0].tool_type: required one_of 'tool_type' must have one initialized field")
            for at, function in enumerate(member(tool, "functionDeclarations") or []):
                where = f"tools[0].function_declarations[{at}]"
                names.append(function.get("name"))
                if not NAME.fullmatch(function.get("name") or ""):
                    refuse(
                        f"{where}.name: Invalid function name {function.get('name')!r}. Must start with a letter or an underscore. "
                        "Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
                    )
                if "parameters" in function and member(function, "parametersJsonSchema"):
                    refuse(f"{where}: only one of parameters and parameters_json_schema may be set")
                if function.get("parameters") is not None:
                    check_schema(function["parameters"], f"{where}.parameters")
        if len(names) != len(set(names)):
            refuse("Duplicate function declaration found")

    def check_parts(self, content, where):
        parts = content.get("parts")
        if not parts:
            refuse(f"{where}.parts must not be empty.")
        for at, part in enumerate(parts):
            if not any(member(part, name) is not None for name in DATA):
                refuse(f"{where}.parts[{at}].data: required oneof field 'data' must have one initialized field")
            signature = member(part, "thoughtSignature")
            if signature and signature not in self.signatures and signature not in DUMMIES:
                refuse(f"{where}.parts[{at}]: Thought signature is not valid: {signature[:60]!r}")

    def check_contents(self, model, contents):
        calls = None
        for at, content in enumerate(contents):
            where = f"contents[{at}]"
            if content.get("role") not in (None, "user", "model", "function"):
                refuse("Please use a valid role: user, model.")
            self.check_parts(content, where)
            responses = [member(part, "functionResponse") for part in content["parts"]]
            responses = [it for it in responses if it is not None]
            if calls is not None or responses:
                if len(responses) != len(calls or []):
                    refuse(
                        "Please ensure that the number of function response parts is equal to the number of function call "
                        f"parts of the function call turn. ({where}: {len(responses)}, {len(calls or [])})"
                    )
                if sorted(it["name"] for it in responses) != sorted(it["name"] for it in calls):
                    refuse(f"{where}: function responses are of other functions than were called")
            calls = [member(part, "functionCall") for part in content["parts"]]
            calls = [it for it in calls if it is not None] or None
            if calls and content.get("role") != "model":
                refuse(f"{where}: function calls must be in a model turn")
            if calls and at == 0:
                refuse("Please ensure that function call turn comes immediately after a user turn or after a function response turn.")
        if calls or contents[-1].get("role") == "model":
            refuse("Please ensure that single turn requests end with a user role or the role field is not specified.")
        if SIGNED.match(model):
            self.check_signed(contents)

    def check_signed(self, contents):
        """Of each step of the current turn the first call has to be signed."""
        for at in reversed(range(len(contents))):
            parts = contents[at]["parts"]
            if contents[at].get("role") != "model":
                if not any(member(part, "functionResponse") for part in parts):
                    return
                continue
            calls = [part for part in parts if member(part, "functionCall")]
            if calls and not member(calls[0], "thoughtSignature"):
                name = member(calls[0], "functionCall")["name"]
                refuse(f"Function call is missing a thought_signature in functionCall parts. Function call `default_api:{name}`, position {at}.")

    def read(self, model, body):
        system = member(body, "systemInstruction") or {}
        turns = []
        for content in body["contents"]:
            turn = Turn("assistant" if content.get("role") == "model" else "user")
            turns.append(turn)
            for part in content["parts"]:
                call, result = member(part, "functionCall"), member(part, "functionResponse")
                data = member(part, "inlineData")
                if call:
                    turn.calls.append(Call(call["name"], call.get("args") or {}, call.get("id") or ""))
                elif result:
                    turn.results.append(Result(result.get("id") or "", read_result(result)))
                    for inner in result.get("parts") or []:
                        turn.pictures.append(member(member(inner, "inlineData"), "mimeType"))
                elif data:
                    turn.pictures.append(member(data, "mimeType"))
                elif part.get("thought"):
                    turn.thoughts.append(part["text"])
                elif "text" in part:
                    turn.texts.append(part["text"])
        tools = {}
        for tool in body.get("tools") or []:
            for function in member(tool, "functionDeclarations") or []:
                tools[function["name"]] = False
        config = member(body, "generationConfig") or {}
        return Conversation(
            model=model,
            system="\n".join(part["text"] for part in system.get("parts") or []),
            turns=turns,
            tools=tools,
            wants_json=member(config, "responseMimeType") == "application/json",
            schema=member(config, "responseJsonSchema") or member(config, "responseSchema"),
        )

    def parts(self, model, body, reply):
        thinking = member(member(body, "generationConfig") or {}, "thinkingConfig") or {}
        signature = base64.b64encode(f"signature {next(self.ids)} of Gemini".encode()).decode()
        parts = []
        if reply.thought and member(thinking, "includeThoughts"):
            parts.append({"text": reply.thought, "thought": True})
        if reply.text:
            parts.append({"text": reply.text})
        for at, call in enumerate(reply.calls):
            part = {"functionCall": {"name": call.name, "args": call.arguments}}
            if at == 0 and SIGNED.match(model):
                part["thoughtSignature"] = signature
                self.signatures.add(signature)
            parts.append(part)
        if not reply.calls and SIGNED.match(model):
            # The last part of an answer without calls is signed, too.
            parts[-1]["thoughtSignature"] = signature
            self.signatures.add(signature)
        return parts

    def chunk(self, model, parts, finish_reason=None, number=0):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish_reason:
            candidate["finishReason"] = finish_reason
        return {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": 120,
                "candidatesTokenCount": 40,
                "thoughtsTokenCount": 12,
                "totalTokenCount": 172,
                "cachedContentTokenCount": 64,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 120}],
            },
            "modelVersion": model,
            "responseId": f"response-{number}",
        }

    def whole(self, model, body, reply):
        return self.chunk(model, self.parts(model, body, reply), "STOP", next(self.ids))

    def events(self, model, body, reply):
        number = next(self.ids)

        def event(parts, finish_reason=None):
            return f"data: {json.dumps(self.chunk(model, parts, finish_reason, number))}\r\n\r\n"

        for part in self.parts(model, body, reply):
            if "functionCall" in part:
                yield event([part])
                continue
            for piece in pieces(part["text"]):
                yield event([{name: it for name, it in part.items() if name != "thoughtSignature"} | {"text": piece}])
            if "thoughtSignature" in part:
                yield event([{"text": "", "thoughtSignature": part["thoughtSignature"]}])
        yield event([{"text": ""}], "STOP")

    def context_full(self):
        return Refusal(
            "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).", is_complaint=False
        )

    def error(self, refusal):
        status = "NOT_FOUND" if refusal.status == 404 else "INVALID_ARGUMENT"
        return {"error": {"code": refusal.status, "message": refusal.message, "status": status}}


def read_result(result):
    response = result.get("response") or {}
    values = response.values() if isinstance(response, dict) else [response]
    return "\n".join(it if isinstance(it, str) else json.dumps(it) for it in values)


def check_schema(schema, where):
    """The rules of Google's own schemas."""
    kind = str(schema.get("type") or "").upper()
    if kind == "OBJECT" and schema.get("properties") == {}:
        refuse(f"{where}.properties: should be non-empty for OBJECT type")
    if kind == "ARRAY" and "items" not in schema:
        refuse(f"{where}.items: missing field.")
    if schema.get("enum") and kind != "STRING":
        refuse(f"{where}.enum: only allowed for STRING type")
    if any(it == "" for it in schema.get("enum") or []):
        refuse(f"{where}.enum[0]: cannot be empty")
    if kind == "STRING" and schema.get("format") not in (None, *FORMATS):
        refuse(f"{where}.format: only 'enum' and 'date-time' are supported for STRING type")
    for at, name in enumerate(schema.get("required") or []):
        if name not in (schema.get("properties") or {}):
            refuse(f"{where}.required[{at}]: property is not defined")
    for name, inner in (schema.get("properties") or {}).items():
        check_schema(inner, f"{where}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        check_schema(schema["items"], f"{where}.items")
    for inner in member(schema, "anyOf") or []:
        check_schema(inner, f"{where}.any_of")
