"""OTLP's own schema of traces, except that the attributes of a span stay encoded: most of them are never read."""

from collections.abc import Iterable
from functools import cache
from typing import Any

_PACKAGE = "rampart.otlp"


@cache
def load_traces_class() -> Any:
    """The class of `ExportTraceServiceRequest` messages whose `Span.attributes` are bytes: one `KeyValue` each.

    On the wire a message looks like its bytes, so everything else is parsed and checked as OTLP says.
    """
    # Loaded late, as most processes are sent none.
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from opentelemetry.proto.trace.v1 import trace_pb2

    file = FileDescriptorProto()
    trace_pb2.DESCRIPTOR.CopyToProto(file)
    theirs, file.name, file.package = f".{file.package}.", f"{_PACKAGE}.proto", _PACKAGE
    for message in _walk_messages(file.message_type):
        for field in message.field:
            if field.type_name.startswith(theirs):
                field.type_name = f".{_PACKAGE}.{field.type_name.removeprefix(theirs)}"
            if message.name == "Span" and field.name == "attributes":
                field.type = FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
    pool = descriptor_pool.Default()  # where the schemas are that this one uses
    pool.Add(file)
    # `TracesData` has the fields of an `ExportTraceServiceRequest`.
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.TracesData"))


def _walk_messages(messages: Iterable[Any]) -> Iterable[Any]:
    for message in messages:
        yield message
        yield from _walk_messages(message.nested_type)
