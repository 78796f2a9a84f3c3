"""The server of the strict providers: each check has a path of its own, with a script and a record of complaints."""

import contextlib
import http.server
import json
import threading
import traceback
import urllib.parse

from .chat import Chat, Imitator
from .gemini import Gemini
from .messages import Messages
from .model import ContextFull, Expectation, Refusal
from .responses import Responses



class OpenAi:
    """OpenAI with both of its paths."""

    NAME = "OpenAI"

    def __init__(self, schemas):
        self.chat, self.responses = Chat(schemas), Responses(schemas)
        self.context_full, self.error = self.chat.context_full, self.chat.error

    def answer(self, path, *rest):
        return (self.responses if path.startswith("v1/responses") else self.chat).answer(path, *rest)


# OpenAI with a model for chats; one who imitates OpenAI's chats and has no responses; OpenAI's responses.
VENDORS = {"chat": OpenAi, "imitator": Imitator, "responses": Responses, "messages": Messages, "gemini": Gemini}


class Stage:
    """One check at one vendor: what it is answered, and what was wrong."""

    def __init__(self, vendor, script):
        self.vendor = vendor
        self.script = script
        self.complaints = []
        # Requests as they came: path and body.
        self.requests = []
        self.lock = threading.Lock()

    def complain(self, message, body=None):
        with self.lock:
            self.complaints.append(message if body is None else f"{message}\n    asked: {short(body)}")


def short(body):
    text = json.dumps(body)
    return text if len(text) < 1_500 else text[:700] + " ... " + text[-700:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = urllib.parse.unquote(self.path.partition("?")[0])
        _, name, rest = path.split("/", 2)
        stage = self.server.stages.get(name)
        if stage is None:
            return self.send(404, {"error": {"message": f"no stage {name}"}})
        try:
            body = json.loads(body)
        except ValueError:
            body = body.decode(errors="replace")
        with stage.lock:
            stage.requests.append((rest, body))
        try:
            # A vendor remembers what it has issued, and several requests may come at once.
            with stage.lock:
                answer = stage.vendor.answer(rest, body, self.headers, stage.script)
        except Refusal as refusal:
            if refusal.is_complaint:
                stage.complain(f"{stage.vendor.NAME} refuses: {refusal}", body)
            return self.send(refusal.status, stage.vendor.error(refusal))
        except ContextFull:
            refusal = stage.vendor.context_full()
            return self.send(refusal.status, stage.vendor.error(refusal))
        except Expectation as wrong:
            stage.complain(str(wrong), body)
            return self.send(400, stage.vendor.error(Refusal(f"not as expected: {wrong}")))
        except Exception:  # A fault of the mock has to be seen in the report.
            stage.complain(traceback.format_exc(), body)
            return self.send(400, stage.vendor.error(Refusal("the mock failed")))
        if isinstance(answer, dict):
            return self.send(200, answer)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            for event in answer:
                piece = event.encode()
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        self.send(404, {"error": {"message": f"no page {self.path}"}})

    def send(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Several agents at once, each with several connections.
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.stages = {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def serving(server):
    """Runs a server while the block does."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
