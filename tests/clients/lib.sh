# Shared by the scripts beside it: a registry of one's own in a temporary directory, its certificate, and what to say of a client.
#
# A script sources this file, calls `needs` for the programs it cannot do without, and runs its steps. Everything it starts is
# ended by its process id when the script ends; nothing outside its temporary directory is left behind.
# shellcheck shell=bash
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TREE=$(cd "$HERE/../.." && pwd)
# The program under test: what BREAKWATER_BIN names, else a release build of this tree.
if [ -z "${BREAKWATER_BIN:-}" ]; then
    (cd "$TREE" && cargo build --release --locked)
    BREAKWATER_BIN=${CARGO_TARGET_DIR:-$TREE/target}/release/breakwater
fi
[ -x "$BREAKWATER_BIN" ] || { echo "BREAKWATER_BIN names no program: $BREAKWATER_BIN" >&2; exit 1; }
BREAKWATER_BIN=$(realpath "$BREAKWATER_BIN")

WORK=${TMPDIR:-/tmp}/breakwater-clients-$$  # no capital letters: podman makes a name of it
mkdir -m 700 "$WORK"
# Clients keep their logins here. Not REGISTRY_AUTH_FILE: to a registry that is `auth.file`, and it does not start.
export TMPDIR=$WORK HOME=$WORK/home XDG_RUNTIME_DIR=$WORK/run
mkdir -m 700 "$HOME" "$XDG_RUNTIME_DIR"
unset "${!REGISTRY_@}"
HOST=localhost              # the name that clients use
LISTEN=127.0.0.1            # the address behind it
INSIDE=()                   # put before a server's command: the network namespace it runs in
NAME=alice
PASSWORD='correct horse'
declare -A PIDS=()          # what was started, by a name of ours
CLEANUPS=()                 # further commands for the end

finish() {
    local status=$? cleanup
    trap - EXIT INT TERM
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
        echo "FAILED: ${STEP:-before the first step}" >&2
        for log in "$WORK"/*.log; do
            [ -s "$log" ] && { echo "--- end of ${log##*/}"; tail -n 25 "$log"; } >&2
        done
    fi
    for who in "${!PIDS[@]}"; do stop "$who" || true; done
    for cleanup in "${CLEANUPS[@]}"; do eval "$cleanup" || true; done
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

# Says what comes now; the last one is named when the script fails.
step() {
    STEP="${MODE:+$MODE: }$*"
    echo "  $STEP"
}

# Ends the script as skipped when a program is missing; in CI that is a failure.
needs() {
    local program missing=()
    for program; do command -v "$program" >/dev/null || missing+=("$program"); done
    [ ${#missing[@]} -eq 0 ] && return
    echo "  SKIPPED: not on this machine: ${missing[*]}" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

# Ends the script as skipped when it does not run as root; in CI that is a failure.
needs_root() {
    [ "$(id -u)" -eq 0 ] && return
    echo "  SKIPPED: needs root for $1" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

# Waits until a command succeeds: at most 30 seconds.
wait_for() {
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "waited in vain for: $*" >&2; return 1; }
        sleep 0.05
    done
}

# Starts a command in the background; its output goes to WHO.log.
start() {
    local who=$1
    shift
    "${INSIDE[@]}" "$@" >>"$WORK/$who.log" 2>&1 &
    PIDS[$who]=$!
}

stop() {
    local who=$1 pid=${PIDS[$1]:-}
    [ -n "$pid" ] || return 0
    unset "PIDS[$who]"
    kill "$pid" 2>/dev/null || true
    # The shell that waits says nothing of how its child ended.
    wait "$pid" 2>/dev/null || true
}

# The command must succeed; what it says is shown only when it does not.
ok() {
    local status=0
    "$@" >"$WORK/said" 2>&1 || status=$?
    [ "$status" -eq 0 ] || { echo "exit $status from: $*"; cat "$WORK/said"; return 1; } >&2
}

# The command must fail, and say something that the pattern matches.
refused() {
    local pattern=$1
    shift
    if "$@" >"$WORK/said" 2>&1; then
        { echo "should have failed: $*"; cat "$WORK/said"; } >&2
        return 1
    fi
    grep -Eiq -- "$pattern" "$WORK/said" || { echo "did not say /$pattern/: $*"; cat "$WORK/said"; return 1; } >&2
}

same() {
    [ "$1" = "$2" ] || { echo "not the same: '$1' and '$2'" >&2; return 1; }
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# An authority and a certificate for HOST: ca.crt, tls.crt, tls.key.
make_certificate() {
    local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30)
    ok openssl req -x509 "${curve[@]}" -keyout "$WORK/ca.key" -out "$WORK/ca.crt" -subj '/CN=test authority' \
        -addext keyUsage=critical,keyCertSign,cRLSign
    ok openssl req "${curve[@]}" -keyout "$WORK/tls.key" -out "$WORK/tls.csr" -subj "/CN=$HOST"
    printf 'subjectAltName=DNS:%s,IP:%s\nextendedKeyUsage=serverAuth\n' "$HOST" "$LISTEN" >"$WORK/tls.ext"
    ok openssl x509 -req -in "$WORK/tls.csr" -CA "$WORK/ca.crt" -CAkey "$WORK/ca.key" -CAcreateserial -days 30 \
        -extfile "$WORK/tls.ext" -out "$WORK/tls.crt"
    mkdir -p "$WORK/certs"
    cp "$WORK/ca.crt" "$WORK/certs/ca.crt"
    export SSL_CERT_FILE=$WORK/ca.crt
}

# Writes config.yml for `basic` or `token` and sets REGISTRY to HOST:PORT. The same file starts a stock registry, in Basic mode.
write_config() {
    local port
    port=$(free_port)
    REGISTRY=$HOST:$port
    ROOT=$WORK/root-$1
    rm -f "$WORK/htpasswd"
    set_password "$NAME" "$PASSWORD"
    cat >"$WORK/config.yml" <<YAML
version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: $ROOT}
  delete: {enabled: true}
http:
  addr: $LISTEN:$port
  secret: one for all of this test
  tls: {certificate: $WORK/tls.crt, key: $WORK/tls.key}
auth:
  htpasswd: {realm: test, path: $WORK/htpasswd}
YAML
    if [ "$1" = token ]; then printf 'tokenservice: {service: test}\n' >>"$WORK/config.yml"; fi
}

# A user of the password file, or another password for one. Arguments: name, password.
set_password() {
    printf %s "$2" | "$BREAKWATER_BIN" user add "$WORK/htpasswd" "$1" --password-stdin >/dev/null
}

# Whether a registry answers at /v2/, with a challenge.
answers() {
    same "$("${INSIDE[@]}" curl -s -o /dev/null -w '%{http_code}' --cacert "$WORK/ca.crt" "https://$REGISTRY/v2/")" 401
}

start_registry() {
    start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    wait_for answers
}

restart_registry() {
    stop registry
    start_registry
}

# Runs a function against a new, empty registry: in Basic mode, then in token mode.
in_both_modes() {
    for MODE in basic token; do
        write_config "$MODE"
        start_registry
        "$@"
        stop registry
    done
    MODE=
}

# One line of an API answer, for what a client does not show. Arguments go to curl, the path last.
api() {
    "${INSIDE[@]}" curl -sS --fail-with-body --cacert "$WORK/ca.crt" -u "$NAME:$PASSWORD" "${@:1:$#-1}" "https://$REGISTRY${!#}"
}

# The digest that a tag is answered with.
digest_of() {
    "${INSIDE[@]}" curl -sSI --cacert "$WORK/ca.crt" -H "Authorization: $(authorization "repository:$1:pull")" \
        -H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json' \
        "https://$REGISTRY/v2/$1/manifests/$2" | tr -d '\r' | sed -n 's/^docker-content-digest: //Ip'
}

# The value of Authorization for a scope, in the mode of this registry.
authorization() {
    if [ "$MODE" = token ]; then
        echo "Bearer $(api "/auth/token?service=test&scope=$1" | jq -r .token)"
    else
        echo "Basic $(printf %s "$NAME:$PASSWORD" | base64 -w0)"
    fi
}

# A network namespace that the registry and dockerd run in; before make_certificate and start_dockerd.
#
# The Docker engine takes any certificate of a registry in 127.0.0.0/8. So the registry listens there on another address, which
# has a name in the hosts file while the test runs.
make_space() {
    HOST=registry-$$.breakwater.test
    LISTEN=10.77.0.1
    local space=breakwater-$$
    INSIDE=(nsenter "--net=/var/run/netns/$space")
    # The hosts file may be mounted into place: it is rewritten, not replaced.
    CLEANUPS+=("sed '/ $HOST\$/d' /etc/hosts >$WORK/hosts.new && cat $WORK/hosts.new >/etc/hosts")
    CLEANUPS+=("ip netns delete $space")
    echo "$LISTEN $HOST" >>/etc/hosts
    ip netns add "$space"
    ip -n "$space" link set lo up
    ip -n "$space" addr add "$LISTEN/32" dev lo
}

# A dockerd of the test's own, which believes no certificate but what trust_in_docker names.
start_dockerd() {
    unset SSL_CERT_FILE
    [ -e /etc/docker/key.json ] || CLEANUPS+=("rm -f /etc/docker/key.json")  # which dockerd makes
    export DOCKER_HOST=unix://$WORK/docker.sock
    start dockerd dockerd --host "$DOCKER_HOST" --data-root "$WORK/data" --exec-root "$WORK/exec" --pidfile "$WORK/dockerd.pid" \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --storage-driver vfs
    wait_for docker version
}

# Puts the authority of REGISTRY where dockerd looks for it.
trust_in_docker() {
    local certs=/etc/docker/certs.d/$REGISTRY
    CLEANUPS+=("rm -rf $certs && rmdir /etc/docker/certs.d 2>/dev/null")
    install -D -m 644 "$WORK/ca.crt" "$certs/ca.crt"
}

# An archive that `docker import` makes an image of, and no two are the same. Argument: its name, less the ending.
make_payload() {
    head -c 300000 /dev/urandom >"$WORK/$1"
    tar -C "$WORK" -cf "$WORK/$1.tar" "$1"
}

# A containerd of the test's own.
start_containerd() {
    cat >"$WORK/containerd.toml" <<TOML
version = 2
root = "$WORK/root"
state = "$WORK/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$WORK/containerd.sock"
[ttrpc]
address = "$WORK/containerd.ttrpc"
TOML
    start containerd containerd --config "$WORK/containerd.toml"
    wait_for ctr -a "$WORK/containerd.sock" version
}

# Says where the registry is, and by which authority its certificate is to be believed, if by any: for `--hosts-dir $WORK/hosts`.
hosts() {
    mkdir -p "$WORK/hosts/$REGISTRY"
    printf 'server = "https://%s"\n[host."https://%s"]\n%s' "$REGISTRY" "$REGISTRY" "${1:+ca = \"$1\"}" >"$WORK/hosts/$REGISTRY/hosts.toml"
}

# ctr's commands for images, as containerd of start_containerd has them.
images() {
    "${INSIDE[@]}" ctr -a "$WORK/containerd.sock" images "$@"
}

# podman with a store in the temporary directory, which needs no file system of a special kind and no lock of the machine's podman.
pod() {
    "${INSIDE[@]}" podman --root "$WORK/store" --runroot "$WORK/pod-state" --tmpdir "$WORK/podman" --storage-driver vfs \
        --events-backend file --cgroup-manager cgroupfs "$@"
}

# An OCI layout: `single` is an image, `multi` an index of two. The seed makes the content another.
make_layout() {
    python3 "$HERE/layout.py" "$@"
}
