#!/usr/bin/env bash
# What systemd is told and what it passes on; then the unit and its page, in a systemd that boots on a copy of this machine.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
needs systemd-socket-activate systemd-analyze systemd-nspawn nsenter pgrep python3 curl openssl
needs_root "systemd"

make_certificate
PORT=$(free_port)
REGISTRY=$LISTEN:$PORT
ROOT=$WORK/root
cat >"$WORK/config.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $ROOT}}
http: {addr: "$REGISTRY"}
YAML
NOTES=$WORK/notify.log
told() {
    grep -qE "$1" "$NOTES"
}
times_told() {
    grep -cE "$1" "$NOTES" || true
}
open_to() {
    same "$(curl -s -o /dev/null -w '%{http_code}' "$@")" 200
}

step "it says when it is ready, alive, reading its files again, and stopping"
start notify python3 "$HERE/notify.py" "$WORK/notify.sock"
wait_for told listening
start registry env "NOTIFY_SOCKET=$WORK/notify.sock" WATCHDOG_USEC=400000 "$BREAKWATER_BIN" serve "$WORK/config.yml"
wait_for told '(^|[|])READY=1'
open_to "http://$REGISTRY/v2/"  # not only soon: it listened before it said so
wait_for told '^WATCHDOG=1'
alive=$(times_told '^WATCHDOG=1')
more_alive() {
    [ "$(times_told '^WATCHDOG=1')" -gt $((alive + 1)) ]
}
wait_for more_alive
kill -HUP "${PIDS[registry]}"
wait_for told '^RELOADING=1[|]MONOTONIC_USEC=[0-9]+'
again() {
    same "$(times_told '(^|[|])READY=1')" 2
}
wait_for again
stop registry
told '^STOPPING=1'
same "$(grep -c ERROR "$WORK/registry.log" || true)" 0

step "the watchdog is told of a registry with TLS too"
: >"$NOTES"
export REGISTRY_HTTP_TLS_CERTIFICATE=$WORK/tls.crt REGISTRY_HTTP_TLS_KEY=$WORK/tls.key
start registry env "NOTIFY_SOCKET=$WORK/notify.sock" WATCHDOG_USEC=400000 "$BREAKWATER_BIN" serve "$WORK/config.yml"
wait_for told '^WATCHDOG=1'
"$BREAKWATER_BIN" health --config "$WORK/config.yml"
stop registry
unset REGISTRY_HTTP_TLS_CERTIFICATE REGISTRY_HTTP_TLS_KEY

step "one socket is taken, of TCP or in the file system"
activated() {
    start activation systemd-socket-activate "${@/#/--listen=}" "$BREAKWATER_BIN" serve --as-root "$WORK/config.yml"
    wait_for grep -q "Listening on ${!#}" "$WORK/activation.log"
}
other=$(free_port)
activated "127.0.0.1:$other"
open_to "http://127.0.0.1:$other/v2/"
refused . curl -sS "http://$REGISTRY/v2/"
stop activation
: >"$WORK/activation.log"
activated "$WORK/registry.sock"
open_to --unix-socket "$WORK/registry.sock" http://localhost/v2/
stop activation

step "two are refused, and so is a socket of another kind"
: >"$WORK/activation.log"
activated "127.0.0.1:$other" "127.0.0.1:$(free_port)"
refused . curl -sS "http://127.0.0.1:$other/v2/"
wait_for grep -q '2 sockets were passed in LISTEN_FDS, and the registry takes one' "$WORK/activation.log"
stop activation
: >"$WORK/activation.log"
start activation systemd-socket-activate --datagram "--listen=127.0.0.1:$other" "$BREAKWATER_BIN" serve --as-root "$WORK/config.yml"
wait_for grep -q 'Listening on' "$WORK/activation.log"
echo >"/dev/udp/127.0.0.1/$other"
wait_for grep -q 'what was passed in LISTEN_FDS is no stream socket' "$WORK/activation.log"
stop activation

# --- A machine of its own: this one's files with a layer over them, and no network.
MACHINE=$WORK/machine
boot() {
    mkdir -p "$WORK/layer"
    mount -t tmpfs tmpfs "$WORK/layer"
    CLEANUPS+=("umount $WORK/layer")
    mkdir "$WORK/layer/upper" "$WORK/layer/work" "$MACHINE"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/layer/upper,workdir=$WORK/layer/work" "$MACHINE"
    CLEANUPS=("umount $MACHINE" "${CLEANUPS[@]}")
    # What this machine would start, that one does not.
    rm -rf "$MACHINE"/etc/systemd/system/*.wants
    tr -d - </proc/sys/kernel/random/uuid >"$MACHINE/etc/machine-id"  # without one it is a first boot, which enables everything
    rm -rf "$MACHINE/var/lib/registry" "$MACHINE/etc/docker" "$MACHINE/etc/systemd/system"/breakwater*
    install -D "$BREAKWATER_BIN" "$MACHINE/root/checkout/target/release/breakwater"
    cp -r "$TREE/deploy" "$MACHINE/root/checkout/deploy"
    start machine systemd-nspawn --quiet --register=no --keep-unit --private-network --machine "breakwater-$$" --directory "$MACHINE" \
        --boot systemd.unit=multi-user.target </dev/null
    wait_for inside systemctl is-active multi-user.target
}
# A command in that machine.
inside() {
    local leader
    leader=$(pgrep --parent "${PIDS[machine]}" --exact systemd)
    nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd -- env -i PATH="$PATH" HOME=/root TERM=dumb SYSTEMD_PAGER=cat "$@"
}
# The commands of a section of the page, there.
page() {
    local script
    script=$(commands "$@")
    ok inside bash -euxc "cd /root/checkout; $script"
    tried "$1"
}
main_pid() {
    inside systemctl show --property MainPID --value breakwater
}

read_page systemd.md
step "a systemd boots"
boot

step "the page: install"
page Install
page Look
grep -q 'Active: active (running)' "$WORK/said"
grep -q 'Status: "serving"' "$WORK/said"
grep -q 'the registry can serve' "$WORK/said"
same "$(inside ps -o user= -p "$(main_pid)")" registry
same "$(inside stat -c %U:%a /var/lib/registry)" registry:750
ok inside curl --fail -sS -X POST http://localhost:5000/v2/a/blobs/uploads/

step "the page: change"
first=$(main_pid)
ok inside systemctl reload breakwater
same "$(main_pid)" "$first"
page Change
[ "$(main_pid)" != "$first" ]

step "a registry that hangs is started again"
impatient=$MACHINE/etc/systemd/system/breakwater.service.d/impatient.conf
mkdir -p "${impatient%/*}"
printf '[Service]\nWatchdogSec=1s\n' >"$impatient"
ok inside systemctl daemon-reload
ok inside systemctl restart breakwater
first=$(main_pid)
ok inside kill -STOP "$first"
another() {
    [ "$(main_pid)" != "$first" ] && inside systemctl is-active breakwater
}
wait_for another
ok inside journalctl --unit breakwater
grep -q 'Watchdog timeout' "$WORK/said"
rm "$impatient"

step "the page: directly on 443, with a key of root's"
mkdir -p "$MACHINE/etc/ssl/registry"
install -m 600 "$WORK/tls.crt" "$WORK/tls.key" "$MACHINE/etc/ssl/registry"
page 'Directly on 443'
ok inside curl --fail -sS --insecure https://localhost/v2/
rm "$MACHINE/etc/systemd/system/breakwater.service.d/tls.conf"
ok inside systemctl daemon-reload

step "the page: socket activation"
page 'Socket activation'
first=$(main_pid)
inside systemctl restart breakwater &
ok inside curl --fail -sS --retry 0 http://localhost:5000/v2/
wait $!
[ "$(main_pid)" != "$first" ]

step "the page: what it may do"
page 'What it may do'
exposure=$(sed -n 's/.*exposure level for breakwater.service: \([0-9.]*\).*/\1/p' "$WORK/said")
grep -q 'rates it below 2 of 10' "$TREE/deploy/systemd.md"
python3 -c 'import sys; sys.exit(not 0 < float(sys.argv[1]) < 2)' "$exposure"
all_are_tried
ok inside systemctl poweroff
wait "${PIDS[machine]}" || true
