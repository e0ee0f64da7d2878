"""Judges an OpenAPI document, and exchanges by that document, with validators that share no code with the gateway.

Reads one JSON object: document, and exchanges: operation, status, media (null without a body), body. Prints one line for each
thing that is wrong.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

BASE = "urn:document"


def main():
    case = json.load(sys.stdin)
    document = case["document"]
    for error in OpenAPIV31SpecValidator(document).iter_errors():
        print(f"document: {'/'.join(map(str, error.absolute_path))}: {error.message}")
    registry = Registry().with_resource(BASE, Resource(document, DRAFT202012))
    operations = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                operations[operation["operationId"]] = operation
                where = f"#/paths/{path.replace('~', '~0').replace('/', '~1').replace('{', '%7B').replace('}', '%7D')}/{method}"
                operation["where"] = where
    for exchange in case["exchanges"]:
        name = f"{exchange['operation']} {exchange['status']}"
        operation = operations.get(exchange["operation"])
        if operation is None:
            print(f"{name}: no such operation")
            continue
        answer = operation["responses"].get(str(exchange["status"]))
        if answer is None:
            print(f"{name}: this status is not documented: {exchange['body']}")
            continue
        content = answer.get("content", {})
        media = exchange["media"]
        if media is None:
            if content:
                print(f"{name}: a body is documented, and there is none")
            continue
        essence = media.split(";")[0].strip()
        if essence not in content:
            print(f"{name}: {essence} is not documented")
            continue
        place = essence.replace("/", "~1")
        reference = f"{BASE}{operation['where']}/responses/{exchange['status']}/content/{place}/schema"
        validator = Draft202012Validator({"$ref": reference}, registry=registry)
        for error in validator.iter_errors(exchange["body"]):
            print(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")


main()
