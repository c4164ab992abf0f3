#!/usr/bin/env bash
# Sixteen clients push, pull, log in and delete with the limits on, while certificates change every minute and everything is read again
# every ten seconds: no 5xx, no leak, every image whole at the end. Three minutes, or SOAK_SECONDS; the long run has 1800.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl jq openssl python3

SECONDS_LONG=${SOAK_SECONDS:-180}
if [ "$SECONDS_LONG" -ge 900 ]; then SETTLING=300 TOLERANCE=5; else SETTLING=$((SECONDS_LONG / 2)) TOLERANCE=10; fi

export MODE=token
make_certificate
write_config token
cat >>"$WORK/config.yml" <<YAML
limits: {exempt: []}
access:
  rules: [{who: authenticated, repositories: "soak/**", actions: ["*"]}]
YAML
for number in $(seq 0 15); do set_password "$NAME-$number" "$PASSWORD"; done
sed -i 's/^tokenservice:.*/tokenservice: {service: soak}/' "$WORK/config.yml"
export REGISTRY_LOG_ACCESSLOG_DISABLED=true
start_registry

# A certificate of the same authority with a key of its own, put in place whole.
change_certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/new.key" -out "$WORK/new.csr" -subj "/CN=$HOST" 2>/dev/null
    openssl x509 -req -in "$WORK/new.csr" -CA "$WORK/ca.crt" -CAkey "$WORK/ca.key" -CAcreateserial -days 30 -extfile "$WORK/tls.ext" \
        -out "$WORK/new.crt" 2>/dev/null
    # Between the two there is a pair that does not fit, which must be refused.
    mv "$WORK/new.crt" "$WORK/tls.crt"
    mv "$WORK/new.key" "$WORK/tls.key"
}

# What changes meanwhile: a key every minute, a limit with each reload.
unrest() {
    local round=0
    while sleep 10; do
        round=$((round + 1))
        if [ $((round % 6)) -eq 0 ]; then change_certificate; fi
        sed "s/^limits:.*/limits: {exempt: [], manifestsize: $((4 + round % 2))MiB}/" "$WORK/config.yml" >"$WORK/config.new"
        mv "$WORK/config.new" "$WORK/config.yml"
        "$BREAKWATER_BIN" reload --config "$WORK/config.yml" || echo "RELOAD FAILED"
    done
}

# The digest of the certificate that is shown now.
shown() {
    openssl s_client -connect "$REGISTRY" -CAfile "$WORK/ca.crt" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint
}

FIRST=$(shown)
step "$SECONDS_LONG seconds of sixteen clients"
start unrest unrest
python3 "$HERE/soak.py" "$REGISTRY" "$WORK/ca.crt" "$NAME:$PASSWORD" "${PIDS[registry]}" "$SECONDS_LONG" "$SETTLING" "$TOLERANCE"
stop unrest
RELOADS=$(grep -c 'has taken' "$WORK/unrest.log")
echo "  $RELOADS reloads"
[ "$RELOADS" -ge $((SECONDS_LONG / 15)) ]
if grep -q 'RELOAD FAILED' "$WORK/unrest.log"; then cat "$WORK/unrest.log" >&2; exit 1; fi
if [ "$SECONDS_LONG" -ge 70 ] && [ "$(shown)" = "$FIRST" ]; then echo "the certificate has not changed" >&2; exit 1; fi
