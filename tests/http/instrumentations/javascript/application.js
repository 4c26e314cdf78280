// An application whose calls of models an instrumentation reports, as application.py is in Python.
//
// Takes the names of an instrumentation and of an exporter ("traceloop,json") and the address of the models. Each line
// of JSON, {"request", "unit", "to"}, is a request of a unit that is reported to a Rampart; a line answers it.

import { createInterface } from "node:readline";
import { OpenAIInstrumentation as OpenInference } from "@arizeai/openinference-instrumentation-openai";
import { trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { OpenAIInstrumentation as Traceloop } from "@traceloop/instrumentation-openai";
import OpenAI from "openai";

const [names, models] = process.argv.slice(2);
const [instrumentation, encoding] = names.split(",");
const INSTRUMENTATIONS = { openinference: OpenInference, traceloop: Traceloop };
const EXPORTERS = { json: JsonExporter, protobuf: ProtobufExporter };

// OpenTelemetry's exporter to where the request wanted its spans.
let exporter;
const processor = new BatchSpanProcessor({
  export: (spans, done) => exporter.export(spans, done),
  shutdown: () => exporter.shutdown(),
});
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "shop" }),
  spanProcessors: [processor],
});
provider.register();
const reporting = new INSTRUMENTATIONS[instrumentation]();
reporting.setTracerProvider(provider);
reporting.manuallyInstrument(OpenAI);

const client = new OpenAI({ apiKey: "none", baseURL: models });
const ask = (content, more = {}) =>
  client.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content }], ...more });
const REQUESTS = {
  answer: () => ask("Where is my parcel?"),
  streamed: async () => {
    const chunks = await ask("Where is my parcel?", { stream: true, stream_options: { include_usage: true } });
    for await (const _ of chunks);
  },
  failed: () => ask("Whoever answers this fails."),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  exporter = new EXPORTERS[encoding]({ url: `${asked.to}/v1/traces` });
  const attributes = {
    "gen_ai.operation.name": "invoke_agent", // so that it is a request even if no call is reported, as of a failed one
    "feature_flag.key": "support-assistant",
    "feature_flag.result.variant": "canary",
    "feature_flag.context.id": asked.unit,
  };
  await trace.getTracer("shop").startActiveSpan("POST /ask", { attributes }, async (span) => {
    try {
      await REQUESTS[asked.request]();
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: 2 });
    }
    span.end();
  });
  await processor.forceFlush();
  console.log(JSON.stringify({ sent: "" }));
}
