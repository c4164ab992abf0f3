#!/usr/bin/env bash
# Certificates from an ACME server: Debian's pebble, which looks at the hosts as Let's Encrypt does.
#
# The configurations are those of deploy/lets-encrypt.md, with hosts, ports and directories of this test. pebble issues certificates for
# a few seconds, so that their renewal can be waited for; a traffic of requests goes on beside everything that fails.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs pebble pebble-challtestsrv curl jq openssl python3

PAGE=$TREE/deploy/lets-encrypt.md
ONE=one.acme.test TWO=two.acme.test     # in no hosts file: pebble asks pebble-challtestsrv, and curl is told
LIFE=24                                 # seconds of a certificate's life
NOWHERE=127.0.0.9                       # where TWO leads at first: a port that takes connections and says nothing
PORT=$(free_port) HTTP_PORT=$(free_port) ACME_PORT=$(free_port) ROOTS_PORT=$(free_port) DNS_PORT=$(free_port) CONTROL_PORT=$(free_port)
DIRECTORY=https://localhost:$ACME_PORT/dir
STATE=$WORK/root/breakwater/acme/localhost-$ACME_PORT-dir
EAB_KEY=zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W

# The YAML below a heading of the page, or above the first one; as it is to be run here.
block() {
    awk -v heading="${1:+## $1}" '/^## /{at = $0} /^```$/{on = 0} on && at == heading {print} /^```yaml$/{on = 1}' "$PAGE" | sed \
        -e "s|/var/lib/registry|$WORK/root|; s|registry\.example\.com|${HOSTS:-$ONE}|; s|addr: :443|addr: 127.0.0.1:$PORT|" \
        -e "s|\":80\"|\"127.0.0.1:$HTTP_PORT\"|; s|https://acme.example.com/directory|$DIRECTORY|; s|your-key-id|kid-1|" \
        -e "s|/etc/registry/acme-ca.pem|$WORK/ca.crt|; s|/etc/letsencrypt/live/[^/]*|$WORK/live|"
}

write_page_config() {
    { block ''; block "$1"; } >"$WORK/config.yml"
    grep -q '^http:' "$WORK/config.yml" || { echo "the page has no block under: $1" >&2; return 1; }
}

# Later versions of pebble have the validity in profiles, and advise on renewal. Arguments: whether it wants external accounts.
start_pebble() {
    jq -n --arg acme "127.0.0.1:$ACME_PORT" --arg roots "127.0.0.1:$ROOTS_PORT" --argjson http "$HTTP_PORT" --argjson tls "$PORT" \
        --argjson life "$LIFE" --argjson eab "${1:-false}" --arg key "$EAB_KEY" --arg crt "$WORK/tls.crt" --arg secret "$WORK/tls.key" \
        '{pebble: {listenAddress: $acme, managementListenAddress: $roots, certificate: $crt, privateKey: $secret, httpPort: $http, tlsPort: $tls,
           certificateValidityPeriod: $life, profiles: {default: {description: "short", validityPeriod: $life}}, externalAccountBindingRequired: $eab, externalAccountMACKeys: {"kid-1": $key}}}' >"$WORK/pebble.json"
    PEBBLE_VA_NOSLEEP=1 PEBBLE_AUTHZREUSE=0 start pebble pebble -config "$WORK/pebble.json" -dnsserver "127.0.0.1:$DNS_PORT"
    # Each start makes another root.
    wait_for curl -sf --cacert "$WORK/ca.crt" -o "$WORK/root.pem" "https://localhost:$ROOTS_PORT/roots/0"
}

# Where a host leads, for pebble. Arguments: host, address.
lead() {
    jq -n --arg host "$1." '{host: $host}' | ok curl -sf -d @- "http://127.0.0.1:$CONTROL_PORT/clear-a"
    jq -n --arg host "$1." --arg address "$2" '{host: $host, addresses: [$address]}' | ok curl -sf -d @- "http://127.0.0.1:$CONTROL_PORT/add-a"
}

# Asks the registry as a host; further arguments go to curl.
ask() {
    curl -sS -o /dev/null -w '%{http_code}' --connect-to "$1:443:127.0.0.1:$PORT" "${@:2}" "https://$1/v2/"
}

is_believed() {
    same "$(ask "$1" --cacert "$WORK/root.pem" "${@:2}")" 200
}

serves() {
    same "$(ask "$ONE" -k)" 200
}

serial() {
    openssl s_client -connect "127.0.0.1:$PORT" -servername "$ONE" </dev/null 2>/dev/null | openssl x509 -noout -serial
}

# Whether another certificate is served than the one with this serial number.
is_another() {
    [ "$(serial)" != "$1" ] && is_believed "$ONE"
}

# Whether the log has a line since it was last marked.
says() {
    tail -n "+$((MARK + 1))" "$WORK/registry.log" | grep -Eq -- "$1"
}

mark() {
    MARK=$(wc -l <"$WORK/registry.log")
}

orders() {
    grep -c 'Added order' "$WORK/pebble.log" || true
}

hurry() {
    kill -HUP "${PIDS[registry]}"
}

start_here() {
    touch "$WORK/registry.log"
    mark
    start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    wait_for serves
}

# Requests without a pause; each that is not answered 200 is a line of traffic.log.
start_traffic() {
    : >"$WORK/traffic.log"
    # shellcheck disable=SC2016 # expanded by the shell that runs it
    start traffic bash -c 'while :; do code=$(curl -sk -o /dev/null -w "%{http_code}" --connect-to "$1:443:127.0.0.1:$2" "https://$1/v2/"); [ "$code" = 200 ] || echo "$code"; done' \
        traffic "$ONE" "$PORT"
}

stop_traffic() {
    stop traffic
    same "$(cat "$WORK/traffic.log")" ''
}

private() {
    same "$(stat -c %a "$STATE/account.json" "$STATE/certificate.pem" | sort -u)" 600
    same "$(stat -c %a "$STATE")" 700
}

# What a TLS-ALPN-01 handshake for TWO shows, and whether a request after it is answered.
look_at_challenge() {
    printf 'GET /v2/ HTTP/1.1\r\nHost: %s\r\n\r\n' "$TWO" | timeout 5 openssl s_client -connect "127.0.0.1:$PORT" -servername "$TWO" -alpn "$1" \
        -ign_eof >"$WORK/challenge" 2>&1 || true
    grep -q '^ALPN protocol: acme-tls/1' "$WORK/challenge"
}

# Whether the log has as many failures, and when it says that the next attempt is: in seconds from now. Arguments: failures, least, most.
tries_again_in() {
    local next
    next=$(tail -n "+$((MARK + 1))" "$WORK/registry.log" | sed -nE "s/.*acme\.failures=$1 acme\.next=([^ ]+).*/\1/p")
    [ -n "$next" ] || return 1
    next=$(($(date -d "$next" +%s) - $(date +%s)))
    [ "$next" -ge "$2" ] && [ "$next" -le "$3" ]
}

# Answers every request with a 503 that asks for an hour's patience, where pebble will be.
start_busy_server() {
    start busy python3 -c 'import http.server, ssl, sys
class Busy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.send_header("Retry-After", "3600")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Busy)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()' "$ACME_PORT" "$WORK/tls.crt" "$WORK/tls.key"
    wait_for curl -s --cacert "$WORK/ca.crt" -o /dev/null "$DIRECTORY"
}

first_certificate() {
    step "the CA is down at the start: connections are accepted, and the log says why nobody should believe them"
    write_page_config 'Directly on 443'
    export REGISTRY_HTTP_TLS_LETSENCRYPT_DIRECTORYURL=$DIRECTORY REGISTRY_HTTP_TLS_LETSENCRYPT_CACERT=$WORK/ca.crt
    ok "$BREAKWATER_BIN" check-config "$WORK/config.yml"
    grep -q "connects to port 443 of each host" "$WORK/said"
    start_here
    wait_for says 'ERROR no certificate can be had; .*the ACME server cannot be spoken to: .*acme.failures=1 acme.next='
    refused 'self.signed|unable to get local issuer' ask "$ONE"
    tries_again_in 1 30 60

    step "it asks for patience: it gets it, and SIGHUP tries at once all the same"
    start_busy_server
    hurry
    wait_for tries_again_in 2 3500 3600
    says 'it answers 503'
    stop busy

    step "it comes up: the first certificate, by TLS-ALPN-01"
    start_pebble
    hurry
    wait_for is_believed "$ONE"
    says 'INFO there is a new certificate, .*tls.expires=.* acme.next='
    private

    step "a restart orders nothing"
    local before
    before=$(serial)
    stop registry
    start_here
    wait_for says 'the certificate of the last time is served'
    same "$(serial)" "$before"
    same "$(orders)" 1

    step "the port speaks HTTP to everybody else, and no acme-tls/1"
    refused 'no application protocol' openssl s_client -connect "127.0.0.1:$PORT" -servername "$ONE" -alpn acme-tls/1 -brief
}

renewal() {
    local before
    start_traffic
    step "it is renewed before it runs out"
    before=$(serial)
    wait_for is_another "$before"

    step "the CA goes down: the old one goes on, and the log says why and until when"
    stop pebble
    mark
    before=$(serial)
    wait_for says 'WARN the certificate cannot be renewed; the old one is still good error=.*cannot be spoken to.* tls.expires='
    same "$(serial)" "$before"
    is_believed "$ONE"

    step "it comes back without its memory: a new account is made, and the certificate is renewed by itself"
    start_pebble
    wait_for is_another "$before"
    says 'WARN the ACME server does not take the account; a new one is made .*accountDoesNotExist'

    step "the account is deactivated: likewise"
    mark
    before=$(serial)
    ok python3 "$HERE/acme.py" "$STATE/account.json" "$DIRECTORY" "$WORK/ca.crt"
    wait_for is_another "$before"
    says 'WARN the ACME server does not take the account; a new one is made .*unauthorized'
    stop_traffic
    private
    stop registry
}

several_hosts() {
    local before
    step "a host that leads elsewhere: the log names it, and the others are served as before"
    start nowhere python3 -c 'import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
held = []
while True: held.append(listener.accept())' "$NOWHERE" "$PORT"
    lead "$TWO" "$NOWHERE"
    before=$(serial_kept)
    HOSTS="$ONE, $TWO" write_page_config 'Directly on 443'
    start_here
    start_traffic
    wait_for look_at_challenge acme-tls/1
    same "$(serial)" "$before"

    step "meanwhile its challenge is answered in the handshake, and no request after it"
    openssl x509 -in "$WORK/challenge" -noout -text | grep -A1 '1.3.6.1.5.5.7.1.31: critical' >/dev/null
    openssl x509 -in "$WORK/challenge" -noout -ext subjectAltName | grep -q "DNS:$TWO$"
    if grep -q 'HTTP/1.1' "$WORK/challenge"; then echo "a request was answered" >&2; return 1; fi
    if look_at_challenge acme-tls/1,http/1.1; then echo "a hello that offers more was answered" >&2; return 1; fi
    grep -q '^ALPN protocol: http/1.1' "$WORK/challenge"
    wait_for says "ERROR no certificate for all hosts can be had; .*could not validate $TWO by TLS-ALPN-01: .*urn:ietf:params:acme:error:"
    stop_traffic

    step "it leads here: one certificate for both"
    lead "$TWO" 127.0.0.1
    hurry
    wait_for is_believed "$TWO"
    is_believed "$ONE"
    stop nowhere
    stop registry
}

serial_kept() {
    openssl x509 -in "$STATE/certificate.pem" -noout -serial
}

over_http() {
    local before
    step "by HTTP-01 on its own port, where every client must show a certificate"
    ok openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$WORK/client.key" -out "$WORK/client.crt" \
        -subj /CN=client -CA "$WORK/ca.crt" -CAkey "$WORK/ca.key" -addext extendedKeyUsage=clientAuth -addext basicConstraints=critical,CA:false
    rm -r "$STATE"
    HOSTS="$ONE, $TWO" write_page_config 'Directly on 443'
    REGISTRY_HTTP_TLS_CLIENTCAS=$WORK/ca.crt refused 'no exception is made for it' "$BREAKWATER_BIN" check-config "$WORK/config.yml"
    HOSTS="$ONE, $TWO" write_page_config 'By port 80'
    before=$(orders)
    mark
    REGISTRY_HTTP_TLS_CLIENTCAS=$WORK/ca.crt start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    wait_for is_believed "$TWO" --cert "$WORK/client.crt" --key "$WORK/client.key"
    refused 'certificate required' ask "$ONE" -k
    same "$(orders)" "$((before + 1))"
    grep -q "Attempting to validate w/ HTTP: http://$TWO:$HTTP_PORT/.well-known/acme-challenge/" "$WORK/pebble.log"

    step "that port sends everybody else to https, and nobody elsewhere"
    answer() { curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' -H "Host: $1" "${@:3}" "http://127.0.0.1:$HTTP_PORT$2"; }
    same "$(answer "$ONE" '/v2/a/tags/list?n=1')" "308 https://$ONE:$PORT/v2/a/tags/list?n=1"
    same "$(answer "$ONE" /v2/a/blobs/uploads/ -X POST)" "308 https://$ONE:$PORT/v2/a/blobs/uploads/"
    same "$(answer evil.test /v2/)" '421 '
    same "$(answer "$ONE" /.well-known/acme-challenge/unknown)" '404 '
    stop registry
}

external_account() {
    step "a CA that wants to know its customers: refused without a key it knows, and the log does not hold the key"
    unset REGISTRY_HTTP_TLS_LETSENCRYPT_DIRECTORYURL REGISTRY_HTTP_TLS_LETSENCRYPT_CACERT
    stop pebble
    start_pebble true
    rm -r "$STATE"
    write_page_config 'Servers that want to know you'
    printf '%s\n' 'c29tZXRoaW5nIGVsc2U' >"$WORK/hmackey"
    export REGISTRY_HTTP_TLS_LETSENCRYPT_EAB_HMACKEY_FILE=$WORK/hmackey
    start_here
    wait_for says 'ERROR no certificate can be had; .*the ACME server refuses the account: '
    stop registry
    printf '%s\n' "$EAB_KEY" >"$WORK/hmackey"
    start_here
    wait_for is_believed "$ONE"
    if grep -qF -e "$EAB_KEY" -e c29tZXRoaW5nIGVsc2U "$WORK/registry.log"; then echo "a key is in registry.log" >&2; return 1; fi
    stop registry
    unset REGISTRY_HTTP_TLS_LETSENCRYPT_EAB_HMACKEY_FILE
}

# A pair in a directory of its own, as certbot's archive and cert-manager's mounts have it.
make_pair() {
    mkdir "$WORK/$1"
    ok openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$WORK/$1/privkey.pem" -out "$WORK/$1/fullchain.pem" \
        -subj "/CN=$ONE" -addext "subjectAltName=DNS:$ONE"
}

files() {
    step "files that somebody else renews are taken up without a restart, links too"
    make_pair first
    make_pair second
    ln -s first "$WORK/live"
    write_page_config 'With certbot or cert-manager'
    start_here
    cp "$WORK/first/fullchain.pem" "$WORK/root.pem"
    is_believed "$ONE"
    start_traffic
    ln -s second "$WORK/live.new"
    mv -T "$WORK/live.new" "$WORK/live"
    cp "$WORK/second/fullchain.pem" "$WORK/root.pem"
    wait_for is_believed "$ONE"
    stop_traffic
}

make_certificate
unset SSL_CERT_FILE                     # so that it is `cacert` by which pebble is believed
start challenges pebble-challtestsrv -http01 '' -https01 '' -tlsalpn01 '' -dns01 "127.0.0.1:$DNS_PORT" -management "127.0.0.1:$CONTROL_PORT" -defaultIPv6 ''
wait_for lead "$ONE" 127.0.0.1
first_certificate
renewal
several_hosts
over_http
external_account
files
