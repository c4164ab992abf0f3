#!/usr/bin/env bash
# Caddy in front of the registry: every command and configuration of deploy/caddy.md.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
source "$HERE/proxy.bash"
needs caddy crane skopeo ip nsenter curl jq openssl
needs_root "a network namespace"

# The commands of the page, where Caddy is ours to start instead of systemd's.
page() {
    local script line
    mkdir -p "$WORK/caddy"
    script=$(commands "$1" "$HERE_INSTEAD; s,/etc/caddy/,$WORK/caddy/,g")
    while read -r line; do
        case $line in
            'systemctl reload caddy') start_caddy ;;
            install*)
                ok bash -euc "$line"
                sed -i -E "$HERE_INSTEAD" "$WORK/caddy/Caddyfile" ;;
            *) ok in_space bash -euc "$line" ;;
        esac
    done <<<"$script"
    tried "$1"
}

start_caddy() {
    stop caddy
    start caddy caddy run --config "$WORK/caddy/Caddyfile"
    wait_for asks_for_credentials
}

read_page caddy.md
proxy_space
step "Locations, the realm, and whose address is logged"
registry_behind 'On the same machine'
page 'On the same machine'
right_names_and_addresses
work_through

step "TLS that is verified to another machine"
registry_elsewhere 'On another machine'
sed -i -E "s,127\.0\.0\.1:5000,https://$REMOTE_HOST:5000,; s,^([[:space:]]*)transport http \{,&\n\1\ttls_trusted_ca_certs $WORK/ssl/internal-ca.crt," "$WORK/caddy/Caddyfile"
grep -qF 'https://registry.internal:5000' "$TREE/deploy/caddy.md"
grep -qF 'tls_trusted_ca_certs /etc/ssl/registry/internal-ca.crt' "$TREE/deploy/caddy.md"
start_caddy
right_names_and_addresses
step "TLS to another machine: a certificate of somebody else is not believed"
cp "$WORK/ca.crt" "$WORK/ssl/internal-ca.crt"
stop caddy
start caddy caddy run --config "$WORK/caddy/Caddyfile"
is_a_bad_gateway() {
    headers_of /v2/ | grep -E '^HTTP/[0-9.]+ 502' >/dev/null
}
wait_for is_a_bad_gateway
all_are_tried
