#!/usr/bin/env python3
"""Drives the gateway with the real `openai` package, as an application would.

Three far ends: the built-in echo provider (no settings file), the mock provider of `loadtest`
(settings with virtual keys), and a small provider in this file that never finishes, for timeouts
and abandoned streams. Everything listens on 127.0.0.1 and a free port. One line per check; exit
status 1 if any check fails. `scripts/test-clients` calls it.
"""

import asyncio
import contextlib
import http.server
import json
import math
import os
import pathlib
import sys
import tempfile
import threading

import openai

from stage import LIMIT_S, Report, command_line, forget_the_environment, gateway, mock_provider

SETTINGS = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
shards = 2

[providers.mock]
dialect = "openai-chat"
base_url = "{mock}/v1"
api_key = "${{MOCK_KEY}}"
models = ["mock-chat", "mock-text", "mock-embedding", "forbidden-chat"]

[providers.endless]
dialect = "openai-chat"
base_url = "{endless}/v1"
api_key = "${{MOCK_KEY}}"
models = ["endless-stream", "endless-silence"]

[keys.team-a]
secret = "${{TEAM_A_KEY}}"
models = ["mock-*", "endless-*"]
# With a list of models it may not touch the account's files unless this says so.
endpoints = ["/v1/*"]
"""

TEAM_A_KEY = "rg-team-a-for-tests-only"


class EndlessProvider(http.server.BaseHTTPRequestHandler):
    """Answers `endless-stream` with chunks until the connection breaks, others never."""

    protocol_version = "HTTP/1.1"
    is_abandoned = threading.Event()
    is_over = threading.Event()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] != "endless-stream":
            self.is_over.wait(LIMIT_S)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        event = "data: " + json.dumps(
            {
                "id": "chatcmpl-endless",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "delta": {"content": "on "}, "finish_reason": None}],
            }
        )
        piece = (event + "\n\n").encode()
        try:
            while not self.is_over.wait(0.01):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
        except OSError:
            self.is_abandoned.set()
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def endless_provider():
    """A running `EndlessProvider`; gives its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EndlessProvider)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        EndlessProvider.is_over.set()
        server.shutdown()


def messages(text):
    return [{"role": "user", "content": text}]


def stream_text(chunks):
    """The joined content of a stream's chunks."""
    return "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices
    )


def raised(kind, code, function, **arguments):
    """Asserts that the call raises exactly `kind` with the error's `code`."""
    try:
        function(**arguments)
    except openai.APIStatusError as error:
        assert type(error) is kind, f"expected {kind.__name__}, got {error!r}"
        assert error.code == code, f"expected code {code}, got {error.code}: {error.body}"
        assert error.body.get("message"), f"no message for a person: {error.body}"
        return
    raise AssertionError(f"expected {kind.__name__}, got an answer")


# What holds for any provider.


def chat_json(client, model):
    answer = client.chat.completions.create(model=model, messages=messages("a small question"))
    assert answer.object == "chat.completion", answer
    assert len(answer.choices) == 1, answer
    assert answer.choices[0].message.role == "assistant", answer
    assert answer.choices[0].message.content, answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def chat_stream(client, model):
    chunks = list(
        client.chat.completions.create(
            model=model, messages=messages("a small question"), stream=True
        )
    )
    assert stream_text(chunks), chunks
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks), chunks
    ends = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert ends == ["stop"], ends
    assert len({chunk.id for chunk in chunks}) == 1, "all chunks of an answer bear one id"


def chat_stream_usage(client, model):
    def usages(**options):
        chunks = list(
            client.chat.completions.create(
                model=model, messages=messages("count me"), stream=True, **options
            )
        )
        return [chunk.usage is not None for chunk in chunks], chunks[-1]

    have_usage, _ = usages()
    assert not any(have_usage), "usage came without being asked for"
    have_usage, last = usages(stream_options={"include_usage": True})
    assert have_usage.count(True) == 1 and have_usage[-1], have_usage
    assert last.choices == [] and last.usage.total_tokens > 0, last


def embeddings(client, model):
    # The package asks for base64 when the caller names no format, and decodes it itself.
    encoded = client.embeddings.create(model=model, input=["first", "second"])
    assert [item.index for item in encoded.data] == [0, 1], encoded
    first = encoded.data[0].embedding
    assert isinstance(first, list) and len(first) > 1, "base64 was not decoded"
    assert all(isinstance(number, float) and math.isfinite(number) for number in first)
    plain = client.embeddings.create(model=model, input="first", encoding_format="float")
    assert len(plain.data[0].embedding) == len(first)
    differences = [abs(a - b) for a, b in zip(plain.data[0].embedding, first)]
    assert max(differences) < 1e-6, "base64 and float disagree on the same input"
    assert plain.usage.prompt_tokens > 0, plain.usage


def models(client, expected):
    listed = client.models.list().data
    assert listed, "no models"
    names = [model.id for model in listed]
    if expected:
        assert expected in names, names
    name = expected or names[0]
    assert client.models.retrieve(name).id == name


def cached(client, model):
    headers = {"x-ringgate-config": json.dumps({"cache": {"mode": "simple"}})}

    def ask(**options):
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=messages("asked again"), extra_headers=headers, **options
        )
        return raw.headers["x-ringgate-cache-status"], raw.parse()

    status, first = ask()
    assert status == "MISS", status
    status, again = ask()
    assert status == "HIT", status
    assert again.choices == first.choices and again.usage == first.usage, again
    assert again.id != first.id, "a hit is an answer of its own"
    status, stream = ask(stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert status == "HIT", status
    assert stream_text(chunks) == first.choices[0].message.content, chunks
    assert chunks[-1].usage == first.usage, chunks[-1]


# Echo only.


def echo_is_deterministic(client):
    def ask(stream):
        return client.chat.completions.create(
            model="echo", messages=messages("say Grüße 🚀 twice"), stream=stream
        )

    text = ask(False).choices[0].message.content
    assert ask(False).choices[0].message.content == text
    assert "Grüße 🚀" in text, text
    assert stream_text(ask(True)) == text, "stream and JSON disagree"


def fifty_at_once(base_url):
    async def run():
        async with openai.AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:

            async def ask(number):
                mark = f"call-{number:03}-of-fifty"
                answer = await client.chat.completions.create(
                    model="echo", messages=messages(mark), stream=number % 2 == 1
                )
                if number % 2 == 1:
                    text = stream_text([chunk async for chunk in answer])
                else:
                    text = answer.choices[0].message.content
                assert mark in text, f"{mark} got another call's answer: {text}"

            await asyncio.gather(*(ask(number) for number in range(50)))

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


# With keys, against the mock.


def completions(client):
    answer = client.completions.create(model="mock-text", prompt="once upon a time")
    assert answer.object == "text_completion", answer
    assert answer.choices[0].text, answer
    chunks = list(client.completions.create(model="mock-text", prompt="once", stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices), chunks


def wrong_key(base_url):
    for key in ("rg-wrong", "MOCK_KEY"):
        stranger = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
        raised(
            openai.AuthenticationError,
            "invalid_api_key",
            stranger.chat.completions.create,
            model="mock-chat",
            messages=messages("let me in"),
        )


def refused_model(client, kind, code, model):
    for stream in (False, True):
        raised(
            kind,
            code,
            client.chat.completions.create,
            model=model,
            messages=messages("hello"),
            stream=stream,
        )


def timeout(client):
    hasty = client.with_options(timeout=0.3)
    try:
        hasty.chat.completions.create(model="endless-silence", messages=messages("anyone?"))
    except openai.APITimeoutError:
        chat_json(client, "mock-chat")
        return
    raise AssertionError("a provider that never answers has answered")


def abandoned_stream(client):
    stream = client.chat.completions.create(
        model="endless-stream", messages=messages("go on"), stream=True
    )
    for count, _ in enumerate(stream):
        if count == 3:
            break
    stream.close()
    assert EndlessProvider.is_abandoned.wait(LIMIT_S), "the provider's call outlived its client"
    chat_json(client, "mock-chat")


def file_upload(client):
    # Larger than any buffer on the way, and with every byte value in it.
    content = bytes(range(256)) * 2048
    answer = client.files.with_raw_response.create(
        file=("every-byte.bin", content, "application/octet-stream"),
        purpose="user_data",
        extra_headers={"x-ringgate-provider": "mock"},
    )
    assert answer.status_code == 200, answer.status_code
    echoed = json.loads(answer.text)
    assert isinstance(echoed, dict), echoed
    # The mock tells what reached it.
    assert "multipart/form-data" in answer.text and "/v1/files" in answer.text, echoed
    if "body_bytes" in echoed:
        assert echoed["body_bytes"] > len(content), echoed


def speech(client):
    with client.audio.speech.with_streaming_response.create(
        model="mock-speech",
        voice="alloy",
        input="Good morning.",
        extra_headers={"x-ringgate-provider": "mock"},
    ) as answer:
        assert answer.status_code == 200, answer.status_code
        size = sum(len(piece) for piece in answer.iter_bytes())
    assert size > 0, "an empty answer"


def check_echo(report, program, folder):
    arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "2"]
    with gateway(program, folder, *arguments) as running:
        base_url = f"{running.address}/v1"
        client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=LIMIT_S)
        report.check("echo: chat", chat_json, client, "echo")
        report.check("echo: chat stream", chat_stream, client, "echo")
        report.check("echo: usage only when asked for", chat_stream_usage, client, "echo")
        report.check("echo: same question, same answer", echo_is_deterministic, client)
        report.check("echo: cached", cached, client, "echo")
        report.check("echo: embeddings", embeddings, client, "echo")
        report.check("echo: models", models, client, None)
        report.check("echo: fifty calls at once", fifty_at_once, base_url)


def check_mock(report, program, loadtest, folder):
    with (
        mock_provider(loadtest, folder) as mock,
        endless_provider() as endless,
    ):
        settings = folder / "ringgate.toml"
        settings.write_text(SETTINGS.format(mock=mock.address, endless=endless))
        environment = {"TEAM_A_KEY": TEAM_A_KEY, "MOCK_KEY": "MOCK_KEY"}
        arguments = ["--config", str(settings)]
        with gateway(program, folder, *arguments, environment=environment) as running:
            check_mock_calls(report, f"{running.address}/v1")


def check_mock_calls(report, base_url):
    client = openai.OpenAI(base_url=base_url, api_key=TEAM_A_KEY, max_retries=0, timeout=LIMIT_S)
    report.check("mock: chat", chat_json, client, "mock-chat")
    report.check("mock: chat stream", chat_stream, client, "mock-chat")
    report.check("mock: usage only when asked for", chat_stream_usage, client, "mock-chat")
    report.check("mock: cached", cached, client, "mock-chat")
    report.check("mock: embeddings", embeddings, client, "mock-embedding")
    report.check("mock: completions", completions, client)
    report.check("mock: models", models, client, "mock-chat")
    report.check("mock: provider named in the model", chat_json, client, "mock/mock-chat")
    refusals = [
        ("unknown model", openai.BadRequestError, "unknown_model", "mock-unknown"),
        ("model not allowed", openai.PermissionDeniedError, "model_not_allowed", "forbidden-chat"),
    ]
    for name, kind, code, model in refusals:
        report.check(f"mock: {name}", refused_model, client, kind, code, model)
    report.check("mock: wrong key", wrong_key, base_url)
    report.check("mock: file upload", file_upload, client)
    report.check("mock: speech", speech, client)
    report.check("endless: the client's timeout", timeout, client)
    report.check("endless: a stream left midway", abandoned_stream, client)


def main():
    arguments = command_line(__doc__)
    forget_the_environment()

    report = Report()
    with tempfile.TemporaryDirectory(prefix="ringgate-clients-") as folder:
        folder = pathlib.Path(folder)
        program = os.path.abspath(arguments.ringgate)
        check_echo(report, program, folder)
        check_mock(report, program, os.path.abspath(arguments.loadtest), folder)
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
