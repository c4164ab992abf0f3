#!/usr/bin/env bash
# A thousand slow downloads over TLS: what memory they take, the kernel's included, and what an ordinary pull beside them gets.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl jq openssl python3

COUNT=1000
MOST_KIB=$((150 * 1024))
SIZE=$((256 * 1024 * 1024))

make_certificate
MODE=basic
write_config basic
sed -i '/^auth:/,$d' "$WORK/config.yml"
printf 'limits: {connections: {total: 2000}}\n' >>"$WORK/config.yml"
ulimit -n 8192
start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
wait_for curl -sf --cacert "$WORK/ca.crt" "https://$REGISTRY/v2/"

push_blob() {
    local location
    head -c "$SIZE" /dev/urandom >"$WORK/blob"
    BLOB=sha256:$(sha256sum <"$WORK/blob" | cut -c1-64)
    location=$(curl -sS --fail-with-body --cacert "$WORK/ca.crt" -X POST -D - -o /dev/null "https://$REGISTRY/v2/a/blobs/uploads/" \
        | tr -d '\r' | sed -n 's/^location: //Ip')
    ok curl -sS --fail-with-body --cacert "$WORK/ca.crt" -T "$WORK/blob" "$location&digest=$BLOB"
    rm "$WORK/blob"
}

# The memory of the registry, in KiB.
memory() {
    awk '/^VmRSS:/ { print $2 }' "/proc/${PIDS[registry]}/status"
}

# What the kernel holds of answers that the registry has written, in KiB.
kernel_memory() {
    ss -tmnH "sport = :${REGISTRY##*:}" | grep -o 'skmem:([^)]*)' | grep -o ',w[0-9]*' | awk '{ sum += substr($0, 3) } END { print int(sum / 1024) }'
}

# How many bytes a second a pull of the whole blob gets: the best of three.
pull() {
    local speed best=0
    for _ in 1 2 3; do
        speed=$(curl -sS --fail --cacert "$WORK/ca.crt" -o /dev/null -w '%{speed_download}' "https://$REGISTRY/v2/a/blobs/$BLOB")
        [ "${speed%.*}" -le "$best" ] || best=${speed%.*}
    done
    echo "$best"
}

mib() {
    echo "$(($1 / 1024 / 1024)) MiB/s"
}

says() {
    [ "$(wc -l <"$WORK/slow.log")" -ge "$1" ]
}

step "a pull alone"
push_blob
ALONE=$(pull)

step "$COUNT slow downloads"
BEFORE=$(memory)
mkfifo "$WORK/orders"
exec 3<>"$WORK/orders"
start slow python3 "$HERE/slow.py" "$REGISTRY" "$WORK/ca.crt" "/v2/a/blobs/$BLOB" "$COUNT" "$WORK/orders"
wait_for says 1
BESIDE=$(pull)
for round in 2 3 4 5; do
    echo >&3
    wait_for says "$round"
    same "$(tail -n 1 "$WORK/slow.log")" "read $COUNT"
done
AFTER=$(memory) KERNEL=$(kernel_memory)
stop slow
echo "  memory $((BEFORE / 1024)) MiB before, $((AFTER / 1024)) MiB with $COUNT slow downloads, and $((KERNEL / 1024)) MiB in the kernel; a pull: $(mib "$ALONE") alone, $(mib "$BESIDE") beside them"
[ $((AFTER + KERNEL)) -le "$MOST_KIB" ] || { echo "that is more than $((MOST_KIB / 1024)) MiB" >&2; exit 1; }
[ "$BESIDE" -ge $((ALONE / 2)) ] || { echo "the pull lost more than half of its speed" >&2; exit 1; }
