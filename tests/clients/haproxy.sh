#!/usr/bin/env bash
# HAProxy in front of the registry: every command and configuration of deploy/haproxy.md.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
source "$HERE/proxy.bash"
needs haproxy crane skopeo ip nsenter curl jq openssl
needs_root "a network namespace"

CONF=$WORK/haproxy/haproxy.cfg
# The commands of the page, where HAProxy is ours to start instead of systemd's.
page() {
    local script line
    mkdir -p "$WORK/haproxy"
    script=$(commands "$1" "$HERE_INSTEAD; s,/etc/haproxy/,$WORK/haproxy/,g")
    while read -r line; do
        case $line in
            'systemctl reload haproxy') start_haproxy ;;
            install*)
                ok bash -euc "$line"
                # Checked more often, so that the test need not wait.
                sed -i -E "$HERE_INSTEAD; s,inter 5s,inter 200ms," "$CONF" ;;
            *) ok in_space bash -euc "$line" ;;
        esac
    done <<<"$script"
    tried "$1"
}

start_haproxy() {
    stop haproxy
    start haproxy haproxy -W -f "$CONF"
    wait_for asks_for_credentials
}
is_answered_by_haproxy() {
    headers_of /v2/ | grep '^HTTP/1.1 503 ' >/dev/null && grep -q 'No server is available' "$WORK/body"
}

read_page haproxy.md
proxy_space
rm "$WORK/ssl/tls.pem"
step "Locations, the realm, and whose address is logged"
registry_behind 'On the same machine'
page 'On the same machine'
same "$(stat -c %a "$WORK/ssl/tls.pem")" 600
right_names_and_addresses
work_through

step "a registry that is not ready gets no requests"
stop registry
registry_behind 'On the same machine' "\$a health: {file: [{file: $WORK/down, interval: 100ms, threshold: 1}]}"
wait_for asks_for_credentials
touch "$WORK/down"
wait_for is_answered_by_haproxy
rm "$WORK/down"
wait_for asks_for_credentials

step "TLS that is verified to another machine"
# shellcheck disable=SC2016 # the marks of code, not of a command
line=$(tr '\n' ' ' <"$TREE/deploy/haproxy.md" | sed -nE 's/.*`(server one registry.internal[^`]*)`.*/\1/p')
[ -n "$line" ]
registry_elsewhere 'On another machine'
sed -i -E "s,^( *)server one .*,\1$line,; $HERE_INSTEAD; s,inter 5s,inter 200ms," "$CONF"
start_haproxy
right_names_and_addresses
step "TLS to another machine: a certificate of somebody else is not believed"
cp "$WORK/ca.crt" "$WORK/ssl/internal-ca.crt"
stop haproxy
start haproxy haproxy -W -f "$CONF"
wait_for is_answered_by_haproxy
all_are_tried
