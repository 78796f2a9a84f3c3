"""A model that follows a script, in no vendor's words: what it was asked, and what it answers."""

import dataclasses
import json
import re


@dataclasses.dataclass
class Call:
    """A call of a tool. `arguments` is a dict, or the text of a freeform tool."""

    name: str
    arguments: object
    id: str = ""


@dataclasses.dataclass
class Result:
    id: str
    text: str


@dataclasses.dataclass
class Turn:
    role: str
    texts: list = dataclasses.field(default_factory=list)
    thoughts: list = dataclasses.field(default_factory=list)
    calls: list = dataclasses.field(default_factory=list)
    results: list = dataclasses.field(default_factory=list)
    # Kinds of pictures, such as `image/png`.
    pictures: list = dataclasses.field(default_factory=list)

    @property
    def text(self):
        return "\n".join(self.texts)


@dataclasses.dataclass
class Conversation:
    """What a request says."""

    model: str
    system: str
    turns: list
    # Names of tools, and whether each takes free text.
    tools: dict
    # True if the answer has to be JSON.
    wants_json: bool = False
    # The JSON schema that it has to keep, where one is given.
    schema: dict | None = None

    def rounds(self):
        """How many answers with calls there are."""
        return sum(1 for turn in self.turns if turn.role == "assistant" and turn.calls)

    def results(self):
        return [result for turn in self.turns for result in turn.results]

    def last_results(self):
        """Texts of the results after the last call."""
        texts = []
        for turn in reversed(self.turns):
            if turn.role == "assistant":
                break
            texts = [result.text for result in turn.results] + texts
        return texts

    def pictures(self):
        return [picture for turn in self.turns for picture in turn.pictures]

    def first_text(self):
        texts = [turn.text for turn in self.turns if turn.role == "user"]
        return "\n".join(texts)

    def tool(self, hint):
        """The name of the first tool that ends with a hint: gateways and agents put prefixes before it."""
        is_meant = re.compile(rf"(^|[^a-zA-Z0-9]){re.escape(hint)}$")
        return next(filter(is_meant.search, self.tools), None)


@dataclasses.dataclass
class Reply:
    text: str = ""
    thought: str = ""
    calls: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Refusal(Exception):
    """The vendor refuses the request."""

    message: str
    status: int = 400
    code: str | None = None
    param: str | None = None
    # False where the check wants this refusal.
    is_complaint: bool = True

    def __str__(self):
        return self.message


class ContextFull(Exception):
    """The script says that the context is full; the vendor says it in its own words."""


class Expectation(AssertionError):
    """What arrived is not what an agent sent."""


def expect(condition, message):
    if not condition:
        raise Expectation(message)


def json_reply(schema):
    """A value that keeps a schema of the plain kinds."""
    schema = schema or {"type": "object"}
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return json_reply(schema[word][0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    kind = kind.lower()
    if kind == "object":
        return {name: json_reply(it) for name, it in (schema.get("properties") or {}).items()}
    return {"array": [], "integer": 1, "number": 1, "boolean": True, "null": None}.get(kind, "ok")


class Script:
    """Answers conversations. What it returns may depend on nothing but the conversation."""

    def __init__(self):
        # Marks of what has happened, for the check to look at afterwards.
        self.reached = set()

    def reply(self, conversation):
        raise NotImplementedError


class Loop(Script):
    """Calls tools round by round, and ends with a text.

    A step is a list of (hint, arguments), where a hint ends the name of a tool, or of lists of these, of which the
    first counts whose tool is there; `wants` holds for each step what the results before it have to say.
    """

    def __init__(self, steps, final, wants=()):
        super().__init__()
        self.steps = steps
        self.final = final
        self.wants = dict(wants)

    def reply(self, conversation):
        if not conversation.tools:
            return self.aside(conversation)
        place = conversation.rounds()
        for wanted in self.wants.get(place, ()):
            results = "\n".join(conversation.last_results())
            expect(wanted in results, f"step {place}: no {wanted!r} in {results[:600]!r}")
        self.reached.add(place)
        if place >= len(self.steps):
            return Reply(text=self.final, thought="All is done.")
        return Reply(
            text=f"Step {place} follows." if place % 2 else "",
            thought=f"I think of step {place}.",
            calls=[self.call(conversation, call) for call in self.steps[place]],
        )

    def call(self, conversation, choices):
        choices = choices if isinstance(choices, list) else [choices]
        found = [(conversation.tool(hint), arguments) for hint, arguments in choices]
        name, arguments = next((it for it in found if it[0]), (None, None))
        expect(name, f"no tool {[hint for hint, _ in choices]} among {sorted(conversation.tools)}")
        if isinstance(arguments, str) and not conversation.tools[name]:
            # A freeform tool is a function with one text where the vendor has no such tools.
            arguments = {"input": arguments}
        return Call(name, arguments)

    def aside(self, conversation):
        """Titles, topics and summaries that agents ask for beside their work."""
        if conversation.wants_json:
            return Reply(text=json.dumps(json_reply(conversation.schema)))
        return Reply(text="A small task")
