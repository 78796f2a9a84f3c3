#!/usr/bin/env python3
"""Leads the vendors' packages, LangGraph, pydantic-ai, openai-agents and the Vercel AI SDK through a loop of tools,
streamed, each with providers of four vendors that refuse what their vendors refuse.

The packages of OpenAI and Anthropic parse strictly. A check passes where the loop ends, no provider has refused a
request, and each answer of the gateway keeps to the vendor's own description of its API. One line per check; exit
status 1 if any check fails. `scripts/test-clients` calls it.
"""

import asyncio
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading

import agents
import anthropic
import openai
import pydantic_ai
from google import genai
from google.genai import types
from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from stage import LIMIT_S, Report, command_line, forget_the_environment
from strict.hall import MODELS, Hall, Place, is_run
from strict.model import Loop, expect

KEY = "no-key-is-asked-for"
WORKERS = 2
TASK = "What is the weather?"
FINAL = "It is 18 degrees in Oslo."
STEPS_MAX = 8
# Vendors whose model here thinks nothing, and refuses to be asked for it.
NO_THOUGHTS = ("chat",)
# The vendors of a journey, and the clients that make one.
ROUND = ["messages", "gemini", "imitator", "responses"]
TRAVELERS = ("openai-chat", "openai-responses", "anthropic", "google-genai")
# Providers of the Vercel AI SDK, as `node/loops.mjs` names them.
AI_SDK = ("responses", "chat", "compatible", "anthropic", "google")
# Checks that are not run, by patterns of their names, and why.
SKIPPED = {}


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"18 degrees in {city}"


def get_time() -> str:
    """Tells the time."""
    return "12:00"


def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return f"the sum is {a + b}"


FUNCTIONS = {function.__name__: function for function in (get_weather, get_time, add)}
INTEGER = {"type": "integer"}
SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "get_time": {"type": "object", "properties": {}},
    "add": {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["a", "b"]},
}


def weather_script():
    """One call, one of them without arguments beside another, two of one tool, and one more."""
    steps = [
        [("get_weather", {"city": "Oslo"})],
        [("get_time", {}), ("get_weather", {"city": "Bergen"})],
        [("add", {"a": 1, "b": 2}), ("add", {"a": 30, "b": 4})],
        [("get_weather", {"city": "Narvik"})],
    ]
    wants = {1: ["in Oslo"], 2: ["12:00", "in Bergen"], 3: ["sum is 3", "sum is 34"], 4: ["in Narvik"]}
    return Loop(steps, FINAL, wants)


def called(name, arguments):
    return FUNCTIONS[name](**arguments)


def strict_openai(place):
    return openai.OpenAI(
        base_url=f"{place.base_url}/v1", api_key=KEY, max_retries=0, timeout=LIMIT_S, _strict_response_validation=True
    )


def openai_chat(place, stream=True):
    client = strict_openai(place)
    tools = [{"type": "function", "function": {"name": name, "parameters": it}} for name, it in SCHEMAS.items()]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TASK}]
    for _ in range(STEPS_MAX):
        asked = {"model": place.model, "messages": messages, "tools": tools}
        if stream:
            options = {"include_usage": True}
            with client.chat.completions.stream(**asked, stream_options=options) as events:
                for _event in events:
                    pass
                answer = events.get_final_completion()
        else:
            answer = client.chat.completions.create(**asked)
        expect(answer.usage and answer.usage.total_tokens > 0, "no usage")
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in messages[-1].get("tool_calls") or []:
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            content = called(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})


def openai_chat_whole(place):
    return openai_chat(place, stream=False)


def openai_responses(place, stream=True):
    client = strict_openai(place)
    tools = [{"type": "function", "name": name, "parameters": it, "strict": False} for name, it in SCHEMAS.items()]
    items = [{"role": "user", "content": TASK}]
    asked = {"instructions": "Be brief.", "input": items, "tools": tools, "store": False}
    if place.vendor not in NO_THOUGHTS:
        asked |= {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high", "summary": "auto"}}
    for _ in range(STEPS_MAX):
        asked["model"] = place.model
        if stream:
            for event in client.responses.create(**asked, stream=True):
                if event.type == "response.completed":
                    answer = event.response
        else:
            answer = client.responses.create(**asked)
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        for call in calls:
            output = called(call.name, json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def openai_responses_whole(place):
    return openai_responses(place, stream=False)


def anthropic_messages(place, stream=True):
    client = anthropic.Anthropic(
        base_url=place.base_url, api_key=KEY, max_retries=0, timeout=LIMIT_S, _strict_response_validation=True
    )
    tools = [{"name": name, "input_schema": it} for name, it in SCHEMAS.items()]
    messages = [{"role": "user", "content": TASK}]
    asked = {"max_tokens": 4_000, "system": "Be brief.", "messages": messages, "tools": tools}
    asked["thinking"] = {"type": "adaptive"}
    for _ in range(STEPS_MAX):
        asked["model"] = place.model
        if stream:
            with client.messages.stream(**asked) as events:
                for _event in events:
                    pass
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**asked)
        messages.append({"role": "assistant", "content": [it.model_dump(exclude_none=True) for it in answer.content]})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return next(block.text for block in answer.content if block.type == "text")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": called(call.name, call.input)} for call in calls
        ]
        messages.append({"role": "user", "content": results})


def anthropic_messages_whole(place):
    return anthropic_messages(place, stream=False)


def google_genai(place):
    options = types.HttpOptions(base_url=place.base_url, timeout=int(LIMIT_S * 1_000))
    client = genai.Client(api_key=KEY, http_options=options)
    declared = [
        types.FunctionDeclaration(name=name, description="A tool", parameters_json_schema=it) for name, it in SCHEMAS.items()
    ]
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        tools=[types.Tool(function_declarations=declared)],
        thinking_config=types.ThinkingConfig(include_thoughts=True),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents = [types.Content(role="user", parts=[types.Part(text=TASK)])]
    for _ in range(STEPS_MAX):
        parts = []
        for chunk in client.models.generate_content_stream(model=place.model, contents=contents, config=config):
            parts += (chunk.candidates[0].content and chunk.candidates[0].content.parts) or []
        contents.append(types.Content(role="model", parts=parts))
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            return "".join(part.text for part in parts if part.text and not part.thought)
        results = [
            types.FunctionResponse(id=it.id, name=it.name, response={"result": called(it.name, it.args or {})}) for it in calls
        ]
        contents.append(types.Content(role="user", parts=[types.Part(function_response=it) for it in results]))


def langgraph(chat):
    """LangGraph with the chat model that `chat` makes for a place."""

    def run(place):
        tools = list(FUNCTIONS.values())
        model = chat(place).bind_tools(tools)
        steps = StateGraph(MessagesState)
        steps.add_node("model", lambda state: {"messages": [model.invoke([("system", "Be brief."), *state["messages"]])]})
        steps.add_node("tools", ToolNode(tools))
        steps.add_edge(START, "model")
        steps.add_conditional_edges("model", tools_condition)
        steps.add_edge("tools", "model")
        graph = steps.compile()
        final = None
        # With the messages of the model streamed piece by piece.
        for mode, value in graph.stream({"messages": [("user", TASK)]}, stream_mode=["messages", "values"]):
            if mode == "values":
                final = value["messages"][-1]
        return final.text if isinstance(final.text, str) else final.text()

    return run


def langchain_openai(place, **options):
    return ChatOpenAI(
        base_url=f"{place.base_url}/v1", api_key=KEY, model=place.model, max_retries=0, timeout=LIMIT_S, streaming=True, **options
    )


def langchain_openai_responses(place):
    # What it has to send back where nothing is stored.
    thoughts = {} if place.vendor in NO_THOUGHTS else {"include": ["reasoning.encrypted_content"], "output_version": "responses/v1"}
    return langchain_openai(place, use_responses_api=True, store=False, **thoughts)


def langchain_anthropic(place):
    return ChatAnthropic(
        base_url=place.base_url, api_key=KEY, model=place.model, max_tokens=4_000, max_retries=0, timeout=LIMIT_S, streaming=True
    )


def langchain_google(place):
    return ChatGoogleGenerativeAI(base_url=place.base_url, api_key=KEY, model=place.model, max_retries=0, include_thoughts=True)


# One loop for all: some clients close their connections after their loop has ended.
EVENTS = asyncio.new_event_loop()


def awaited(call):
    return asyncio.run_coroutine_threadsafe(call, EVENTS).result(LIMIT_S)


async def drain(_context, events):
    async for _event in events:
        pass


def pydantic(model):
    """pydantic-ai with the model that `model` makes for a place."""

    def run(place):
        async def streamed():
            agent = pydantic_ai.Agent(model(place), instructions="Be brief.", tools=list(FUNCTIONS.values()))
            # With a handler it asks for streams.
            answer = await agent.run(TASK, event_stream_handler=drain)
            return answer.output

        return awaited(streamed())

    return run


def async_openai(place):
    return openai.AsyncOpenAI(base_url=f"{place.base_url}/v1", api_key=KEY, max_retries=0, timeout=LIMIT_S)


def pydantic_openai(place):
    return OpenAIChatModel(place.model, provider=OpenAIProvider(openai_client=async_openai(place)))


def pydantic_openai_responses(place):
    return OpenAIResponsesModel(place.model, provider=OpenAIProvider(openai_client=async_openai(place)))


def pydantic_anthropic(place):
    client = anthropic.AsyncAnthropic(base_url=place.base_url, api_key=KEY, max_retries=0, timeout=LIMIT_S)
    return AnthropicModel(place.model, provider=AnthropicProvider(anthropic_client=client))


def pydantic_google(place):
    options = types.HttpOptions(base_url=place.base_url, timeout=int(LIMIT_S * 1_000))
    return GoogleModel(place.model, provider=GoogleProvider(client=genai.Client(api_key=KEY, http_options=options)))


def openai_agents(model):
    """openai-agents with one of its two kinds of models."""

    def run(place):
        async def streamed():
            tools = [agents.function_tool(function) for function in FUNCTIONS.values()]
            agent = agents.Agent("weather", instructions="Be brief.", tools=tools, model=model(place.model, async_openai(place)))
            answer = agents.Runner.run_streamed(agent, TASK)
            async for _event in answer.stream_events():
                pass
            return answer.final_output

        return awaited(streamed())

    return run


CLIENTS = {
    "openai-chat": openai_chat,
    "openai-chat-whole": openai_chat_whole,
    "openai-responses": openai_responses,
    "openai-responses-whole": openai_responses_whole,
    "anthropic": anthropic_messages,
    "anthropic-whole": anthropic_messages_whole,
    "google-genai": google_genai,
    "langgraph-openai": langgraph(langchain_openai),
    "langgraph-responses": langgraph(langchain_openai_responses),
    "langgraph-anthropic": langgraph(langchain_anthropic),
    "langgraph-google": langgraph(langchain_google),
    "pydantic-ai-openai": pydantic(pydantic_openai),
    "pydantic-ai-responses": pydantic(pydantic_openai_responses),
    "pydantic-ai-anthropic": pydantic(pydantic_anthropic),
    "pydantic-ai-google": pydantic(pydantic_google),
    "openai-agents-chat": openai_agents(agents.OpenAIChatCompletionsModel),
    "openai-agents-responses": openai_agents(agents.OpenAIResponsesModel),
}


def ai_sdk(provider, modules):
    """The Vercel AI SDK with one of its providers."""

    def run(place):
        command = ["node", str(pathlib.Path(modules).resolve() / "loops.mjs"), provider, place.base_url, place.model]
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        expect(ended.returncode == 0, ended.stderr[-2_000:])
        # Warnings come before it.
        return ended.stdout.strip().rpartition("\n")[2]

    return run


class Journey:
    """One client whose turns go to one vendor after the other, beginning with `first`; each gets the history that the
    others have made."""

    vendor = "several"

    def __init__(self, hall, client, first):
        self.script = weather_script()
        at = ROUND.index(first)
        self.places = [Place(hall, f"{client}-on-from-{first}", vendor, self.script) for vendor in ROUND[at:] + ROUND[:at]]
        self.turn = 0

    @property
    def base_url(self):
        return self.places[0].base_url

    @property
    def model(self):
        """That of the next turn."""
        self.turn += 1
        return self.places[(self.turn - 1) % len(self.places)].model

    def judge(self, printed):
        for place in self.places:
            place.judge(printed)


def check(place, run):
    text, failure = None, None
    try:
        text = run(place)
    except Exception as error:  # What the provider says of it comes first.
        failure = error
    place.judge(repr(failure or text))
    if failure:
        raise failure
    expect(text == FINAL, f"the final text is {text!r}")
    expect(place.script.reached == {0, 1, 2, 3, 4}, f"steps {place.script.reached}")


def main():
    arguments = command_line(
        __doc__,
        folder="folder for the settings; emptied",
        descriptions="folder that keeps the vendors' descriptions in a form that is quick to read",
        modules="folder with node_modules and loops.mjs; empty where Node is not installed",
    )
    forget_the_environment()
    # It would send traces to OpenAI.
    agents.set_tracing_disabled(True)
    threading.Thread(target=EVENTS.run_forever, daemon=True).start()
    report = Report()
    clients = dict(CLIENTS)
    if arguments.modules:
        clients |= {f"ai-sdk-{provider}": ai_sdk(provider, arguments.modules) for provider in AI_SDK}
    journeys = [f"{client}-on-from-{first}" for client in TRAVELERS for first in ROUND]
    hall = Hall(arguments.folder, arguments.descriptions, [*clients, *journeys])
    with hall.open(arguments.ringgate), concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for client, run in clients.items():
            for vendor in MODELS:
                name = f"{client} from {vendor}"
                if is_run(name, SKIPPED):
                    pool.submit(report.check, name, check, Place(hall, client, vendor, weather_script()), run)
        for client in TRAVELERS:
            for first in ROUND:
                name = f"{client} on from {first} through all vendors"
                if is_run(name, SKIPPED):
                    pool.submit(report.check, name, check, Journey(hall, client, first), CLIENTS[client])
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
