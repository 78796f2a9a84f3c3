"""What stands between a client and the gateway, passes everything on, and holds each answer against the vendor's
own description and the rules of its streams."""

import http.client
import http.server
import json
import re
import threading
import urllib.parse

from .descriptions import Description, ProtoDescription, short

# Members that Open Responses' compliance tests want beside those that the description requires.
PRESENT = """id object created_at completed_at status incomplete_details model previous_response_id instructions output
    error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs
    temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata
    safety_identifier prompt_cache_key""".split()
# Null in OpenAI's own answers, although its description has no null for them.
NULLABLE = r"\.(safety_identifier|prompt_cache_key|user|usage|text\.format\.description): expected .*, got null"
NEVER_NULL = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "service_tier", "top_logprobs")
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
GENERATE = re.compile(r"v1(beta|alpha)?/.*:(generateContent|streamGenerateContent)$")
# Hop-by-hop fields, and those that tell how the body is sent.
FRAMING = ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "proxy-connection")


class Judge:
    """Tells what is wrong with answers."""

    def __init__(self, schemas):
        self.openai = Description(schemas["openai"])
        self.anthropic = Description(schemas["anthropic"], nulls_may_miss=True)
        self.gemini = ProtoDescription(schemas["gemini"])

    def problems(self, path, query, status, kind, body):
        """Of the answer to a request for `path`, without its slash; None where no rules are known."""
        dialect = self.dialect(path)
        if dialect is None:
            return []
        if status >= 400:
            return self.error(dialect, json.loads(body))
        if kind.startswith("text/event-stream"):
            return getattr(self, f"{dialect}_stream")(list(events(body)), query)
        return getattr(self, f"{dialect}_whole")(json.loads(body), query)

    def dialect(self, path):
        if GENERATE.fullmatch(path):
            return "gemini"
        return {"v1/chat/completions": "chat", "v1/responses": "responses", "v1/messages": "messages"}.get(path)

    def error(self, dialect, value):
        if dialect == "gemini":
            names = set((value.get("error") or {}))
            return [] if {"code", "message", "status"} <= names else [f"an error without code, message and status: {value}"]
        description = self.anthropic if dialect == "messages" else self.openai
        return description.problems("ErrorResponse", value)

    def chat_whole(self, value, _query):
        problems = self.openai.problems("CreateChatCompletionResponse", value)
        if not value["id"].startswith("chatcmpl-"):
            problems.append(f"id: {value['id']}")
        for choice in value["choices"]:
            problems += chat_calls(choice["message"].get("tool_calls") or [])
        return problems

    def chat_stream(self, pieces, _query):
        if not pieces or pieces[-1][1] != "[DONE]":
            return ["the stream does not end with [DONE]"]
        problems, calls, ends, identities = [], {}, 0, set()
        for _, text in pieces[:-1]:
            chunk = json.loads(text)
            if "error" in chunk:
                return [f"an error inside the stream: {text}"]
            problems += self.openai.problems("CreateChatCompletionStreamResponse", chunk)
            identities.add(chunk["id"])
            for choice in chunk["choices"]:
                ends += choice["finish_reason"] is not None
                for piece in choice["delta"].get("tool_calls") or []:
                    call = calls.setdefault(piece["index"], {"id": None, "function": {"name": None, "arguments": ""}})
                    call["id"] = piece.get("id") or call["id"]
                    function = piece.get("function") or {}
                    call["function"]["name"] = function.get("name") or call["function"]["name"]
                    call["function"]["arguments"] += function.get("arguments") or ""
        if len(identities) != 1 or not next(iter(identities)).startswith("chatcmpl-"):
            problems.append(f"ids: {identities}")
        if ends != 1:
            problems.append(f"{ends} finish reasons")
        if sorted(calls) != list(range(len(calls))):
            problems.append(f"indexes of calls: {sorted(calls)}")
        return problems + chat_calls(calls.values())

    def responses_whole(self, value, _query, where=""):
        problems = [it for it in self.openai.problems("Response", value) if not re.fullmatch(NULLABLE, it)]
        problems += [f"{where}.{name}: missing" for name in PRESENT if name not in value]
        problems += [f"{where}.{name}: null" for name in NEVER_NULL if value.get(name, 0) is None]
        if value["status"] == "completed" and value.get("completed_at") is None:
            problems.append(f"{where}.completed_at: null although completed")
        return problems

    def responses_stream(self, pieces, query):
        problems, open_items, done = [], {}, {}
        kinds = []
        for number, (name, text) in enumerate(pieces):
            value = json.loads(text)
            kind = value["type"]
            kinds.append(kind)
            found = self.openai.problems("ResponseStreamEvent", value)
            problems += [f"{kind}{it}" for it in found if not re.fullmatch(r"\.response" + NULLABLE, it)]
            if name != kind:
                problems.append(f"event {name} holds {kind}")
            if value.get("sequence_number") != number:
                problems.append(f"{kind}: sequence_number {value.get('sequence_number')} instead of {number}")
            index = value.get("output_index")
            if kind == "response.output_item.added":
                open_items[index] = value["item"]["id"]
            elif kind == "response.output_item.done":
                if open_items.pop(index, None) != value["item"]["id"]:
                    problems.append(f"item {index} is done that was not added")
                done[index] = value["item"]
            elif index is not None and open_items.get(index) != value.get("item_id"):
                problems.append(f"{kind} of the item {index} {value.get('item_id')}, which is not open")
            if "response" in value:
                problems += self.responses_whole(value["response"], query, f"{kind}.response")
        if kinds[:2] != ["response.created", "response.in_progress"]:
            problems.append(f"the stream begins with {kinds[:2]}")
        if not kinds or kinds[-1] not in ENDS or any(kind in ENDS for kind in kinds[:-1]):
            problems.append(f"the stream ends with {kinds[-2:]}")
        elif kinds[-1] == "response.completed":
            final = json.loads(pieces[-1][1])["response"]["output"]
            if final != [done[index] for index in sorted(done)]:
                problems.append("the output at the end is not that of the items")
        else:
            problems.append(f"the stream ends with {pieces[-1][1][:400]}")
        if open_items:
            problems.append(f"items left open: {open_items}")
        return problems

    def messages_whole(self, value, _query):
        problems = self.anthropic.problems("Message", value)
        if not value["id"].startswith("msg_"):
            problems.append(f"id: {value['id']}")
        return problems

    def messages_stream(self, pieces, _query):
        problems, kinds, texts, index, block = [], [], "", -1, None
        for name, text in pieces:
            value = json.loads(text)
            kind = value["type"]
            if name != kind:
                problems.append(f"event {name} holds {kind}")
            if kind == "ping":
                continue
            if kind == "error":
                return [f"an error inside the stream: {text}"]
            kinds.append(kind)
            problems += [f"{kind}{it}" for it in self.anthropic.problems("MessageStreamEvent", value)]
            if kind == "content_block_start":
                index += 1
                if block is not None or value["index"] != index:
                    problems.append(f"block {value['index']} begins where {index} should, inside {block}")
                block, texts = value["content_block"], ""
            elif kind in ("content_block_delta", "content_block_stop"):
                if block is None or value["index"] != index:
                    problems.append(f"{kind} of {value['index']} inside {index}")
                texts += (value.get("delta") or {}).get("partial_json", "")
                if kind == "content_block_stop":
                    if block and block["type"] == "tool_use":
                        problems += arguments(texts or "{}")
                    block = None
        if kinds[:1] != ["message_start"] or kinds[-2:] != ["message_delta", "message_stop"] or block is not None:
            problems.append(f"the stream is {kinds[:1]} to {kinds[-2:]}")
        elif kinds.count("message_delta") != 1:
            problems.append("more than one message_delta")
        return problems

    def gemini_whole(self, value, _query):
        return self.gemini.problems("GenerateContentResponse", value)

    def gemini_stream(self, pieces, query):
        problems, ends = [], 0
        for _, text in pieces:
            value = json.loads(text)
            if "error" in value:
                return [f"an error inside the stream: {text}"]
            problems += self.gemini_whole(value, query)
            ends += sum("finishReason" in it for it in value.get("candidates") or [])
        if ends != 1:
            problems.append(f"{ends} finish reasons")
        return problems


def chat_calls(calls):
    problems = []
    for call in calls:
        if not call["id"] or not (call.get("function") or call.get("custom"))["name"]:
            problems.append(f"a call without id or name: {call}")
        if "function" in call:
            problems += arguments(call["function"]["arguments"])
    return problems


def arguments(text):
    try:
        value = json.loads(text)
    except ValueError:
        return [f"arguments that are no JSON: {short(text)}"]
    return [] if isinstance(value, dict) else [f"arguments that are no object: {short(text)}"]


def events(body):
    """Name and data of each event of a stream."""
    for block in re.split(r"\r?\n\r?\n", body):
        name, data = None, []
        for line in block.splitlines():
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            yield name, "\n".join(data)


class Record:
    """What passed for one check."""

    def __init__(self):
        self.complaints = []
        # Paths and statuses.
        self.statuses = []
        self.warnings = set()
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self):
        length = int(self.headers.get("content-length") or 0)
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            body = b"".join(self.chunks())
        else:
            body = self.rfile.read(length)
        _, name, rest = self.path.split("/", 2) if self.path.count("/") > 1 else ("", self.path[1:], "")
        record = self.server.records.setdefault(name, Record())
        gateway = http.client.HTTPConnection(self.server.gateway, timeout=60)
        fields = {key: it for key, it in self.headers.items() if key.lower() not in (*FRAMING, "accept-encoding")}
        gateway.request(self.command, "/" + rest, body=body, headers=fields)
        answer = gateway.getresponse()
        kept = []
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in FRAMING:
                self.send_header(key, value)
        kind = answer.getheader("content-type") or ""
        if kind.startswith("text/event-stream"):
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            while piece := answer.read1(65_536):
                kept.append(piece)
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
            # Judged before its end, so that a check that has its answer finds all complaints.
            self.judge(record, rest, answer, kind, kept, body)
            self.wfile.write(b"0\r\n\r\n")
        else:
            kept.append(answer.read())
            self.judge(record, rest, answer, kind, kept, body)
            self.send_header("content-length", str(len(kept[0])))
            self.end_headers()
            self.wfile.write(kept[0])
        gateway.close()

    do_POST = do_GET = do_DELETE = do_PUT = do_HEAD = relay

    def chunks(self):
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def judge(self, record, rest, answer, kind, kept, body):
        path, _, query = rest.partition("?")
        path = urllib.parse.unquote(path)
        text = b"".join(kept).decode()
        try:
            problems = self.server.judge.problems(path, query, answer.status, kind, text)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            problems = [f"cannot be read ({error!r}): {text[:600]}"]
        with record.lock:
            record.statuses.append((path, answer.status, text if answer.status >= 400 else ""))
            record.warnings.add(answer.getheader("x-ringgate-warnings"))
            record.complaints += [f"answer of {path}: {problem}" for problem in dict.fromkeys(problems)]

    def log_message(self, *_):
        pass


class Tap(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, gateway, judge):
        super().__init__(("127.0.0.1", 0), Handler)
        self.gateway = gateway.removeprefix("http://")
        self.judge = judge
        self.records = {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        """A client that leaves midway is none of the tap's business."""
