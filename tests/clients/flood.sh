#!/usr/bin/env bash
# A flood of wrong passwords from many addresses: what it costs a pull that goes on meanwhile, and somebody who logs in.
#
# The pull is held at 200 MiB a second by its client, over TLS, and may lose a fifth of what it has alone. The figures are printed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl jq openssl python3

MODE=token
SIZE=$((1024 * 1024 * 1024))
RATE=200M
GUESTS=10                   # who log in while the flood goes on, each for the first time
KNOWN=5                     # of them come from where somebody else has logged in before
AUDIT=$WORK/audit.log

make_certificate
write_config token
printf 'limits: {exempt: []}\n' >>"$WORK/config.yml"
for guest in $(seq $GUESTS); do set_password "guest-$guest" "password of $guest"; done
export REGISTRY_LOG_AUDIT_OUTPUT=$AUDIT
start_registry

push_blob() {
    local auth location
    truncate -s "$SIZE" "$WORK/blob"
    BLOB=sha256:$(sha256sum <"$WORK/blob" | cut -c1-64)
    auth="Authorization: $(authorization repository:big/one:pull,push)"
    location=$(curl -sS --fail-with-body --cacert "$WORK/ca.crt" -H "$auth" -X POST -D - -o /dev/null "https://$REGISTRY/v2/big/one/blobs/uploads/" \
        | tr -d '\r' | sed -n 's/^location: //Ip')
    ok curl -sS --fail-with-body --cacert "$WORK/ca.crt" -H "$auth" -T "$WORK/blob" "$location&digest=$BLOB"
    rm "$WORK/blob"
}

# How many bytes a second the pull gets.
pull() {
    curl -sS --fail --cacert "$WORK/ca.crt" -H "Authorization: $AUTHORIZATION" --limit-rate "$RATE" -o /dev/null \
        -w '%{size_download} %{speed_download}' "https://$REGISTRY/v2/big/one/blobs/$BLOB" >"$WORK/speed"
    read -r size speed <"$WORK/speed"
    same "$size" "$SIZE"
    echo "${speed%.*}"
}

mib() {
    echo "$(($1 / 1024 / 1024)) MiB/s"
}

refusals() {
    grep -c '"refused"' "$AUDIT"
}

is_under_way() {
    [ "$(refusals)" -ge "$1" ]
}

# Logs somebody in from an address of the guest's own; how that went. Arguments: guest, user and password.
visit() {
    curl -sS --cacert "$WORK/ca.crt" --interface "127.99.0.$1" -u "$2" -o /dev/null \
        -w '%{http_code} %header{retry-after}\n' "https://$REGISTRY/auth/token?service=test"
}

# How many guests were answered so.
visits() {
    grep -cE "$1" "$WORK/visits" || true
}

# How many answers of a kind the flood got.
got() {
    jq --arg kind "$1" '[.answers | to_entries[] | select(.key | test($kind)) | .value] | add // 0' <<<"$figures"
}

at_least() {
    [ "$2" -ge "$3" ] || { echo "$1: $2, which is less than $3" >&2; return 1; }
}

push_blob
for guest in $(seq $KNOWN); do visit "$guest" "$NAME:$PASSWORD" >/dev/null; done
step "the pull alone"
AUTHORIZATION=$(authorization repository:big/one:pull)
alone=$(pull)

step "the flood begins"
start flood python3 "$HERE/flood.py" "$REGISTRY" "$WORK/ca.crt" "$NAME"
wait_for is_under_way 300

step "the pull while it goes on, and guests that log in"
visitors=()
for guest in $(seq $GUESTS); do
    visit "$guest" "guest-$guest:password of $guest" >"$WORK/visit-$guest" &
    visitors+=($!)
done
before=$(refusals)
began=$(date +%s%N)
during=$(pull)
rate=$((($(refusals) - before) * 1000000000 / ($(date +%s%N) - began)))
for visitor in "${visitors[@]}"; do wait "$visitor"; done
cat "$WORK"/visit-* >"$WORK/visits"
stop flood
figures=$(tail -n 1 "$WORK/flood.log")
echo "  pull: $(mib "$alone") alone, $(mib "$during") while $rate passwords a second were refused"
echo "  guests: $(visits '^200 ') of $GUESTS got in at once, $(visits '^429 ') were told to come again"
echo "  flood: $figures"

step "the flood was one, and was refused"
at_least 'refusals a second' "$rate" 100
at_least 'addresses' "$(jq .sources <<<"$figures")" 300
at_least 'compared' "$(got '^401$')" 30
at_least 'not compared' "$(got '^429 retry after [0-9]+$')" 500
same "$(got '^(401|429 retry after [0-9]+)$')" "$(got .)"

step "guests from known addresses get in, the others do or are told to come again"
for guest in $(seq $KNOWN); do same "$(cat "$WORK/visit-$guest")" '200 '; done
same "$(visits '^(200 |429 1)$')" "$GUESTS"

step "the pull lost at most a fifth"
at_least 'bytes a second' "$during" $((alone * 4 / 5))
