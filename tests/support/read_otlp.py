"""Reads what a gateway posts to an OpenTelemetry collector, with the protocol's own messages and conventions.

It shares no code with the gateway. Reads one base64 body a line; prints one JSON object a span, and fails when a body is not
exactly a message of the protocol, or when an attribute is neither in the conventions nor named `aperture.`.
"""

import base64
import importlib
import json
import pkgutil
import sys

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def conventions():
    names = set()
    for package in (stable, incubating):
        for module in pkgutil.iter_modules(package.__path__):
            members = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            names.update(value for key, value in members.items() if key.isupper() and isinstance(value, str))
    return names


def known_fields_only(message):
    assert len(UnknownFieldSet(message)) == 0, f"unknown fields in {message.DESCRIPTOR.name}"
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                known_fields_only(inner)


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return {"list": [plain(item) for item in value.array_value.values]}
    return {kind.removesuffix("_value"): getattr(value, kind)}


def attributes(pairs, names):
    found = {}
    for pair in pairs:
        known = pair.key in names or pair.key.startswith("aperture.")
        assert known, f"{pair.key} is in no convention"
        assert pair.key not in found, f"{pair.key} is there twice"
        found[pair.key] = plain(pair.value)
    return found


def main():
    names = conventions()
    assert "gen_ai.request.model" in names
    for number, line in enumerate(sys.stdin):
        message = ExportTraceServiceRequest.FromString(base64.b64decode(line))
        known_fields_only(message)
        for resource in message.resource_spans:
            of = attributes(resource.resource.attributes, names)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert len(span.trace_id) == 16 and any(span.trace_id)
                    assert len(span.span_id) == 8 and any(span.span_id)
                    assert len(span.parent_span_id) in (0, 8)
                    assert span.start_time_unix_nano <= span.end_time_unix_nano
                    for event in span.events:
                        assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
                    print(json.dumps({
                        "body": number,
                        "resource": of,
                        "scope": scope.scope.name,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "state": span.trace_state,
                        "flags": span.flags,
                        "name": span.name,
                        "kind": Span.SpanKind.Name(span.kind),
                        "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                        "attributes": attributes(span.attributes, names),
                        "events": [event.name for event in span.events],
                        "status": span.status.code,
                    }))


main()
