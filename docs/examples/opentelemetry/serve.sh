#!/usr/bin/env bash
# Sends a trace of each request to a collector: `docs/examples/opentelemetry/serve.sh`. Needs pip install "askd[otel]".
# A collector that shows them is Jaeger: docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger:latest
#
#   curl 'localhost:2024/ask?q=Ada'       # then open http://localhost:16686
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export OTEL_EXPORTER_OTLP_ENDPOINT=${OTEL_EXPORTER_OTLP_ENDPOINT:-http://localhost:4318} OTEL_SERVICE_NAME=greeter
exec askd serve "$here/../function/main.py"
