"""Makes `src/orion_client/models.py` from `openapi.json`: `python generate.py openapi.json > src/orion_client/models.py`.

The types of the dashboards' own routes, whose names have a dot, are left out.
"""

import json
import keyword
import sys
from typing import Any

Schema = dict[str, Any]
HEADER = '''"""The objects of the server. Made by `generate.py` from its `/openapi.json`: do not edit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict
'''


class Models:
    """Collects the types of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.schemas: dict[str, Schema] = document["components"]["schemas"]
        self.text: list[str] = []

    def all(self) -> str:
        for name in self.schemas:
            if "." not in name:
                self.declare(class_name(name), self.schemas[name])
        return HEADER + "".join(self.text)

    def declare(self, name: str, schema: Schema) -> None:
        properties, required = self.properties(schema)
        if properties and "oneOf" not in schema:
            self.typed_dict(name, schema, properties, required)
        else:
            self.text.append(f"\n{name}: TypeAlias = {quoted(self.type_of(schema, name))}\n{doc(schema, '')}")

    def typed_dict(self, name: str, schema: Schema, properties: dict[str, Schema], required: set[str]) -> None:
        fields = []
        for field, of_field in properties.items():
            kind = self.type_of(of_field, name + class_name(field))
            fields.append((field, kind if field in required else f"NotRequired[{kind}]", of_field))
        if any(keyword.iskeyword(field) for field, _, _ in fields):
            listed = "".join(f'    "{field}": {quoted(kind)},\n' for field, kind, _ in fields)
            self.text.append(f'\n{name} = TypedDict("{name}", {{\n{listed}}})\n{doc(schema, "")}')
            return
        lines = "".join(f"    {field}: {kind}\n{doc(of_field, '    ')}" for field, kind, of_field in fields)
        self.text.append(f"\n\nclass {name}(TypedDict):\n{doc(schema, '    ') or ''}{lines}")

    def properties(self, schema: Schema) -> tuple[dict[str, Schema], set[str]]:
        """The fields of an object, those of its parts included."""
        if "$ref" in schema:
            return self.properties(self.schemas[schema["$ref"].rsplit("/", 1)[1]])
        properties: dict[str, Schema] = dict(schema.get("properties", {}))
        required = set(schema.get("required", []))
        for part in schema.get("allOf", []):
            more, needed = self.properties(part)
            properties = {**more, **properties}
            required |= needed
        variants = [self.properties(variant) for variant in schema.get("oneOf", [])]
        for more, _ in variants:
            properties = {**more, **properties}
        if variants:
            required |= set.intersection(*(needed for _, needed in variants))
        return properties, required

    def type_of(self, schema: Schema, name: str) -> str:
        if "$ref" in schema:
            return class_name(schema["$ref"].rsplit("/", 1)[1])
        if "enum" in schema:
            return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
        if "oneOf" in schema:
            variants = enumerate(schema["oneOf"], 1)
            return " | ".join(dict.fromkeys(self.type_of(variant, f"{name}{index}") for index, variant in variants))
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return " | ".join(self.plain(kind, schema, name) for kind in kinds) or self.inline(schema, name)

    def inline(self, schema: Schema, name: str) -> str:
        if self.properties(schema)[0]:
            self.declare(name, schema)
            return name
        return "Any"

    def plain(self, kind: str, schema: Schema, name: str) -> str:
        match kind:
            case "array":
                return f"list[{self.type_of(schema.get('items', {}), name + 'Item')}]"
            case "object" if schema.get("properties"):
                return self.inline(schema, name)
            case "object":
                values = schema.get("additionalProperties")
                return f"dict[str, {self.type_of(values, name + 'Value') if isinstance(values, dict) else 'Any'}]"
        return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}[kind]


def class_name(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def quoted(kind: str) -> str:
    """A type that may be declared further below."""
    return json.dumps(kind) if '"' not in kind else repr(kind)


def doc(schema: Schema, indent: str) -> str:
    text = " ".join(schema.get("description", "").split()).replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{text}"""\n' if text else ""


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(Models(json.load(file)).all())
