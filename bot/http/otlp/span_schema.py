"""OTLP's own schemas, in which texts and attributes stay encoded: most of them are never read.

So one text that is not UTF-8, which protobuf refuses, keeps nothing else of its export from being read.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

_PACKAGE = "rampart.otlp"
_COMMON = ".opentelemetry.proto.common.v1."
_RESOURCE = ".opentelemetry.proto.resource.v1.Resource"


@cache
def load_traces_class() -> Any:
    """The class of `ExportTraceServiceRequest` messages: `attributes` are bytes, one `KeyValue` each, as are texts.

    On the wire a message looks like its bytes, so everything else is parsed and checked as OTLP says.
    """
    # Loaded late, as most processes are sent none.
    from opentelemetry.proto.trace.v1 import trace_pb2

    # `TracesData` has the fields of an `ExportTraceServiceRequest`.
    return _load_class(trace_pb2.DESCRIPTOR, "traces", "TracesData")


@cache
def load_logs_class() -> Any:
    """The class of `ExportLogsServiceRequest` messages, with bytes as in traces; `body` is bytes, too."""
    from opentelemetry.proto.logs.v1 import logs_pb2

    return _load_class(logs_pb2.DESCRIPTOR, "logs", "LogsData")


@cache
def load_metrics_class() -> Any:
    """The class of `ExportMetricsServiceRequest` messages, with bytes as in traces."""
    from opentelemetry.proto.metrics.v1 import metrics_pb2

    return _load_class(metrics_pb2.DESCRIPTOR, "metrics", "MetricsData")


@cache
def load_pair_class() -> Any:
    """The class of `KeyValue` messages whose texts are bytes, whatever they hold."""
    from opentelemetry.proto.common.v1 import common_pb2

    return _load_class(common_pb2.DESCRIPTOR, "common", "KeyValue")


def _load_class(descriptor: Any, name: str, message_name: str) -> Any:
    """The class of a message of OTLP's file, in a copy of it."""
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    theirs, file.name, file.package = f".{file.package}.", f"{_PACKAGE}.{name}.proto", f"{_PACKAGE}.{name}"
    resource = file.message_type.add(name="Attributes")
    resource.field.add(
        name="attributes", number=1, type=FieldDescriptorProto.TYPE_BYTES, label=FieldDescriptorProto.LABEL_REPEATED
    )
    for message in _walk_messages(file.message_type):
        for field in message.field:
            if field.type_name == _RESOURCE:
                field.type_name = f".{file.package}.Attributes"
            elif field.type_name.startswith(theirs):
                field.type_name = f".{file.package}.{field.type_name.removeprefix(theirs)}"
            elif field.type == FieldDescriptorProto.TYPE_STRING or field.type_name.startswith(_COMMON):
                field.type = FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
    pool = descriptor_pool.Default()  # where the schemas are that this one uses
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{message_name}"))


def _walk_messages(messages: Iterable[Any]) -> Iterable[Any]:
    for message in messages:
        yield message
        yield from _walk_messages(message.nested_type)
