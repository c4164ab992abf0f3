#!/usr/bin/env bash
# kill -9 right after the answer to a push, again and again: each event is delivered in the end, signed and in order.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl openssl python3

ROUNDS=20
KEY='a key of this test'
PORT=$(free_port)
make_certificate
MODE=basic
write_config basic
cat >>"$WORK/config.yml" <<YAML
notifications:
  endpoints:
    - {name: one, url: "http://127.0.0.1:$PORT/events", secret: $KEY, threshold: 1, backoff: 100ms, ignore: {actions: [pull]}}
YAML

# Pushes a blob that no other is the same as, in one request, and keeps its digest.
push() {
    printf 'blob %s' "$1" >"$WORK/blob"
    local digest
    digest=sha256:$(sha256sum <"$WORK/blob" | cut -c1-64)
    ok api -X POST -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/blob" "/v2/a/blobs/uploads/?digest=$digest"
    echo "$digest" >>"$WORK/pushed"
}

kill_registry() {
    kill -9 "${PIDS[registry]}"
    wait "${PIDS[registry]}" 2>/dev/null || true
    unset 'PIDS[registry]'
}

step "kill -9 after each of $ROUNDS pushes, while nobody listens"
for ((round = 1; round <= ROUNDS; round++)); do
    start_registry
    push "$round"
    kill_registry
done

step "a torn end of the queue"
QUEUE=$ROOT/breakwater/events/one
LAST=$(find "$QUEUE" -name '*.log' | sort | tail -n 1)
printf '0000 {"id": "half' >>"$LAST"

step "all of them are delivered in order, by the next start"
start endpoint python3 "$HERE/events.py" "$PORT" "$WORK/told" "$KEY"
start_registry
told() { awk '{ print $4 }' "$WORK/told" | awk '!seen[$0]++'; }
is_told() { [ "$(told | wc -l)" -ge "$ROUNDS" ]; }
wait_for is_told
same "$(told)" "$(cat "$WORK/pushed")"
[ "$(awk '$2 == "push" && $3 == "a"' "$WORK/told" | wc -l)" = "$(wc -l <"$WORK/told")" ]
grep -q 'events in the queue are broken' "$WORK/registry.log"

step "kill -9 while they are delivered: again all, and at least once"
: >"$WORK/pushed"
rm "$WORK/told"
for ((round = 1; round <= 5; round++)); do
    push "again $round"
    kill_registry
    start_registry
done
ROUNDS=5
wait_for is_told
same "$(told)" "$(cat "$WORK/pushed")"
