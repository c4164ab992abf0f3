#!/usr/bin/env bash
# The registry on port 443 with certificate files: every command and the configuration of deploy/direct.md, in a network namespace.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
source "$HERE/proxy.bash"
needs crane skopeo ip nsenter setcap setpriv curl jq openssl
needs_root "a network namespace"

read_page direct.md
proxy_space
cp "$WORK/ca.crt" "$WORK/ssl/ca.crt"
mkdir "$WORK/bin"
cp "$BREAKWATER_BIN" "$WORK/bin/breakwater"
PATH=$WORK/bin:$PATH
HERE_INSTEAD+="; s,/usr/local/bin/,$WORK/bin/,g"
settings Configuration "$HERE_INSTEAD" >"$WORK/config.yml"
install -d -m 750 -o 65532 -g 65532 "$ROOT"
rm "$WORK/htpasswd"

# A command of the page, in the namespace; the one that serves goes on.
page() {
    local line
    while read -r line; do
        case $line in
            'breakwater serve '*)
                # shellcheck disable=SC2086 # words of a command
                start registry ${1:-} $line
                wait_for asks_for_credentials ;;
            *) ok in_space bash -euc "$line" ;;
        esac
    done
}

step "root starts it, and it does not stay root"
page < <(commands Start "$HERE_INSTEAD")
tried Start
same "$(stat -c %u "/proc/${PIDS[registry]}")" 65532
page < <(commands Look "$HERE_INSTEAD")
tried Look
grep -q 'Verify return code: 0 (ok)' "$WORK/said"
step "Locations, the realm, and whose address is logged"
begun=$(headers_of -X POST -H "Authorization: $(authorization repository:team/app:pull,push)" /v2/team/app/blobs/uploads/ | header location)
[[ $begun == https://$HOST/v2/team/app/blobs/uploads/* ]]
headers_of /v2/ | grep -F "Bearer realm=\"https://$HOST/auth/token\"" >/dev/null
wait_for grep -q "^$LISTEN - alice .*\"POST /v2/team/app/blobs/uploads/" "$WORK/registry.log"
work_through

step "a new certificate is shown to those who connect next"
before=$(in_space openssl s_client -connect "$HOST:443" </dev/null 2>/dev/null | openssl x509 -noout -serial)
mv "$WORK/ca.crt" "$WORK/old-ca.crt"
make_certificate
cp "$WORK/tls.key" "$WORK/ssl/tls.key"
cp "$WORK/tls.crt" "$WORK/ssl/tls.crt"
kill -HUP "${PIDS[registry]}"
wait_for asks_for_credentials
[ "$(in_space openssl s_client -connect "$HOST:443" </dev/null 2>/dev/null | openssl x509 -noout -serial)" != "$before" ]

step "somebody else than root, by what the program may"
stop registry
chown 65532 "$WORK/htpasswd" "$WORK"/ssl/*
refused 'Permission denied' in_space setpriv --reuid 65532 --regid 65532 --clear-groups "$WORK/bin/breakwater" serve "$WORK/config.yml"
page < <(commands 'Port 443 without root' "$HERE_INSTEAD")
tried 'Port 443 without root'
page 'setpriv --reuid 65532 --regid 65532 --clear-groups' < <(commands Start "$HERE_INSTEAD" | sed "/user add/d")
page < <(commands Look "$HERE_INSTEAD; s,/ssl/ca.crt,/ca.crt,")
all_are_tried
