#!/usr/bin/env bash
# Traces by OTLP: sent when an endpoint is named, and only then.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl jq openssl python3

make_certificate
write_config basic
PORT=$(free_port)
SPANS=$WORK/spans
mkdir "$SPANS"
start collector python3 "$HERE/collector.py" "$PORT" "$SPANS"
wait_for bash -c ": </dev/tcp/127.0.0.1/$PORT"
TRACE=4bf92f3577b34da6a3ce929d0e0e4736
export OTEL_BSP_SCHEDULE_DELAY=100

# Makes one request with a trace of its own.
look() {
    same "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$WORK/ca.crt" -u "$NAME:$PASSWORD" \
        -H "traceparent: 00-$TRACE-00f067aa0ba902b7-01" "https://$REGISTRY/v2/a/manifests/none")" 404
}

span() {
    cat "$SPANS"/*.json | jq -es "[.[].resourceSpans[].scopeSpans[].spans[]] | map(select(.traceId == \"$TRACE\")) | .[0]"
}

step "a request is a span of the trace that it belongs to"
export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:$PORT OTEL_EXPORTER_OTLP_PROTOCOL=http/json OTEL_SERVICE_NAME=registry-a
start_registry
look
wait_for span
same "$(span | jq -r '.name, .parentSpanId' | paste -sd' ')" "GET manifest 00f067aa0ba902b7"
attribute() { span | jq -r ".attributes[] | select(.key == \"$1\") | .value[]"; }
same "$(attribute http.request.method) $(attribute url.path) $(attribute http.response.status_code)" "GET /v2/a/manifests/none 404"
cat "$SPANS"/*.json | jq -es '.[0].resourceSpans[0].resource.attributes[] | select(.key == "service.name" and .value.stringValue == "registry-a")' >/dev/null
if grep -q "$PASSWORD\|Basic " "$SPANS"/*; then echo "a span holds credentials" >&2; exit 1; fi

step "a stop sends what waits"
rm "$SPANS"/*
OTEL_BSP_SCHEDULE_DELAY=600000 restart_registry
look
stop registry
span >/dev/null

step "the usual form is protobuf"
unset OTEL_EXPORTER_OTLP_PROTOCOL
start_registry
look
wait_for compgen -G "$SPANS/*.protobuf"
stop registry

step "a collector that is gone harms no request"
stop collector
start_registry
look
stop registry

step "without an endpoint, or with the exporter off, nothing is sent"
rm -f "$SPANS"/*
start collector python3 "$HERE/collector.py" "$PORT" "$SPANS"
wait_for bash -c ": </dev/tcp/127.0.0.1/$PORT"
OTEL_TRACES_EXPORTER=none start_registry
look
stop registry
unset OTEL_EXPORTER_OTLP_ENDPOINT
start_registry
look
stop registry
if compgen -G "$SPANS/*" >/dev/null; then echo "something was sent" >&2; exit 1; fi
