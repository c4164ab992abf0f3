#!/usr/bin/env bash
# nginx in front of the registry: the recipes and every command of deploy/nginx.md, with a layer of 1 GiB from a dockerd of the test's own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
source "$HERE/proxy.bash"
needs nginx docker dockerd containerd ip nsenter unshare usermod curl jq openssl
needs_root "a network namespace, dockerd and nginx"

SIZE=$((1024 * 1024 * 1024))
CONF=$WORK/nginx
RECIPE=$CONF/conf.d/registry.conf
ACCOUNTS=$WORK/accounts  # a copy of this machine's, with the user of the unit

# nginx as Debian starts it, with the users of ACCOUNTS.
# shellcheck disable=SC2016 # expanded by the shell that runs it
NGINX=(unshare --mount bash -euc 'for file in passwd group; do mount --bind "$0/etc/$file" "/etc/$file"; done; exec nginx -c "$@"' "$ACCOUNTS" "$CONF/nginx.conf")

start_nginx() {
    stop nginx
    start nginx "${NGINX[@]}" -g 'daemon off;'
    wait_for asks_for_credentials
}
is_a_bad_gateway() {
    headers_of /v2/ | grep '^HTTP/1.1 502 ' >/dev/null
}

# A copy of what Debian has, with its logs and its pid file here, and no place for temporary files: whatever is buffered to disk fails.
set_nginx_up() {
    cp -r /etc/nginx "$CONF"
    rm -f "$CONF"/sites-enabled/* "$CONF"/conf.d/*
    sed -i "s,/etc/nginx/,$CONF/,g; s,/var/log/nginx/,$WORK/nginx-,g; s,/run/nginx.pid,$WORK/nginx.pid,; s,^error_log .*,error_log $WORK/nginx-error.log warn;," "$CONF/nginx.conf"
    local place
    for place in client_body proxy fastcgi uwsgi scgi; do
        mkdir "$WORK/temp-$place"
        mount -t tmpfs -o nr_inodes=1 tmpfs "$WORK/temp-$place"
        CLEANUPS+=("umount $WORK/temp-$place")
        echo "${place}_temp_path $WORK/temp-$place;" >>"$CONF/conf.d/temporary.conf"
    done
    mkdir -p "$ACCOUNTS/etc"
    cp /etc/passwd /etc/group /etc/shadow /etc/gshadow "$ACCOUNTS/etc"
    sed -i '/^registry:/d' "$ACCOUNTS"/etc/*
    ok groupadd --prefix "$ACCOUNTS" --gid 65532 registry
    ok useradd --prefix "$ACCOUNTS" --uid 65532 --gid 65532 --no-create-home registry
}

# The commands of a section of the page; nginx runs afterwards with the recipe.
page() {
    local script line
    script=$(commands "$1" "$HERE_INSTEAD; s,/etc/nginx/,$CONF/,g; s,usermod ,usermod --prefix $ACCOUNTS ,")
    while read -r line; do
        case $line in
            'nginx -t') ok in_space "${NGINX[@]}" -t ;;
            'systemctl reload nginx')
                # The recipe before this one leads to a registry that is gone.
                if [ -n "${PIDS[nginx]:-}" ]; then ok in_space "${NGINX[@]}" -s reload; else start_nginx; fi
                wait_for asks_for_credentials ;;
            'systemctl restart nginx') start_nginx ;;
            install*)
                ok bash -euc "$line"
                sed -i -E "$HERE_INSTEAD" "$RECIPE" ;;
            *) ok bash -euc "$line" ;;
        esac
    done <<<"$script"
    tried "$1"
}

# The 1 GiB goes to a repository by docker and comes back the same, by docker (`pull`) or by curl, and nginx has put nothing of it on its disk.
docker_there_and_back() {
    local image=$HOST/team/app id digest
    id=$(docker image inspect --format '{{.Id}}' "$image")
    ok docker login --username "$NAME" --password-stdin "$HOST" <<<"$PASSWORD"
    ok docker push "$image"
    digest=$(sed -n 's/^latest: digest: \(sha256:[0-9a-f]*\) .*/\1/p' "$WORK/said")
    same "$(digest_of team/app latest)" "$digest"
    LAYER=$("${INSIDE[@]}" curl -sS --cacert "$WORK/ca.crt" -H "Authorization: $(authorization repository:team/app:pull)" \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "https://$HOST/v2/team/app/manifests/latest" |
        jq -r --argjson least "$SIZE" '.layers[] | select(.size >= $least) | .digest')
    if [ "$1" = pull ]; then
        ok docker image rm "$image"
        ok docker pull "$image@$digest"
        same "$(docker image inspect --format '{{.Id}}' "$image@$digest")" "$id"
    else
        same "$(pulled team/app "$LAYER")" "$LAYER"
    fi
    nothing_is_buffered
}
nothing_is_buffered() {
    if grep -E 'buffered|No space|\[(error|crit|alert|emerg)\]' "$WORK/nginx-error.log"; then return 1; fi >&2
}

read_page nginx.md
proxy_space
set_nginx_up
start_dockerd
trust_in_docker
export DOCKER_CONFIG=$WORK/docker-config
head -c "$SIZE" /dev/urandom >"$WORK/payload"
tar -C "$WORK" -c payload | docker import - "$HOST/team/app" >/dev/null
rm "$WORK/payload"
step "plain to the same machine: docker login, push and pull of 1 GiB"
registry_behind 'On the same machine'
page 'On the same machine'
docker_there_and_back curl
step "plain to the same machine: Locations, the realm, and whose address is logged"
right_names_and_addresses


step "a socket in the file system does as well"
install -d -o 65532 "$WORK/socket"
registry_behind 'On the same machine' "s,^  addr: .*,  net: unix\n  addr: $WORK/socket/http.sock,"
chmod 666 "$WORK/socket/http.sock"
sed -i -E 's/^ *server 127.*//; s/#(server unix:)/\1/' "$RECIPE"
start_nginx
right_names_and_addresses
head -c 50000000 /dev/urandom >"$WORK/some"
same "$(pulled team/app "$(push_file team/app "$WORK/some")")" "sha256:$(sha256sum "$WORK/some" | cut -c1-64)"
nothing_is_buffered

step "what is buffered would have failed"
sed -i 's/proxy_request_buffering off/proxy_request_buffering on/' "$RECIPE"
start_nginx
refused '500 Internal Server Error' push_file team/app "$WORK/some"
refused 'No space left' nothing_is_buffered
: >"$WORK/nginx-error.log"

step "TLS that is verified to another machine: docker login and push of 1 GiB"
registry_elsewhere 'On another machine'
page 'On another machine'
: >"$WORK/nginx-error.log"
docker_there_and_back curl
right_names_and_addresses
step "TLS to another machine: a certificate of somebody else, or for another name, is not believed"
cp "$RECIPE" "$WORK/recipe"
for wrong in "s,internal-ca.crt,tls.crt," "s,proxy_ssl_name .*,proxy_ssl_name other.internal;,"; do
    sed "$wrong" "$WORK/recipe" >"$RECIPE"
    ok in_space "${NGINX[@]}" -s reload
    wait_for is_a_bad_gateway
    cp "$WORK/recipe" "$RECIPE"
    ok in_space "${NGINX[@]}" -s reload
    wait_for asks_for_credentials
done
: >"$WORK/nginx-error.log"

step "nginx sends the bytes: docker login, push and pull of 1 GiB"
registry_behind 'nginx sends the bytes'
page 'nginx sends the bytes'
: >"$WORK/nginx-error.log"
docker_there_and_back pull
right_names_and_addresses
step "nginx sends the bytes: the registry has sent none of them"
grep -q "GET /v2/team/app/blobs/$LAYER HTTP/1.1\" 200 0 " "$WORK/registry.log"
if grep -E "GET /v2/team/app/blobs/sha256:[0-9a-f]+ HTTP/1.1\" 200 [1-9]" "$WORK/registry.log"; then exit 1; fi >&2
[ "$(sed -nE "s,.*GET /v2/team/app/blobs/$LAYER HTTP/1.1\" 200 ([0-9]+) .*,\1,p" "$WORK/nginx-access.log" | tail -n 1)" -ge "$SIZE" ]

step "nginx sends the bytes: the registry's headers, each once"
DIGEST=$(push_file team/app "$WORK/some")
BLOB=/v2/team/app/blobs/$DIGEST
bearer=(-H "Authorization: $(authorization repository:team/app:pull)")
headers_of "${bearer[@]}" "$BLOB" >"$WORK/headers"
cmp "$WORK/body" "$WORK/some"
for expected in "etag: \"$DIGEST\"" "docker-content-digest: $DIGEST" 'content-type: application/octet-stream' 'content-length: 50000000' \
    'accept-ranges: bytes' 'cache-control: max-age=31536000, immutable' 'docker-distribution-api-version: registry/2.0' \
    'x-content-type-options: nosniff'; do
    same "$(grep -i "^${expected%%:*}:" "$WORK/headers" | sed -E 's/^[^:]+/\L&/')" "$expected"
done
same "$(grep -ci '^x-request-id: .' "$WORK/headers")" 1
same "$(grep -ci '^x-accel' "$WORK/headers")" 0

step "nginx sends the bytes: parts, and what the client has"
headers_of "${bearer[@]}" -r 1000-1999 "$BLOB" >"$WORK/headers"
grep -q '^HTTP/1.1 206 ' "$WORK/headers"
same "$(header content-range <"$WORK/headers")" 'bytes 1000-1999/50000000'
cmp -n 1000 -i 1000:0 "$WORK/some" "$WORK/body"
status_of() {
    headers_of "${bearer[@]}" "$@" "$BLOB" | sed -n '1s,^HTTP/1.1 \([0-9]*\) .*,\1,p'
}
same "$(status_of -r 5-6 -H "If-Range: \"$DIGEST\"")" 206
same "$(status_of -r 5-6 -H 'If-Range: "another"')" 200
same "$(status_of -H "If-None-Match: \"$DIGEST\"")" 304
same "$(status_of -H 'If-None-Match: "another"')" 200
same "$(status_of -H "If-Match: \"$DIGEST\"")" 200
same "$(status_of -H 'If-Match: "another"')" 412
same "$(status_of -r 50000000-)" 416
same "$(status_of -r 0-0,5-6)" 206
headers_of "${bearer[@]}" -I "$BLOB" >"$WORK/headers"
same "$(header content-length <"$WORK/headers") $(header etag <"$WORK/headers")" "50000000 \"$DIGEST\""

step "nginx sends the bytes: to nobody who may not have them"
headers_of "$BLOB" >"$WORK/headers"
grep -q '^HTTP/1.1 401 ' "$WORK/headers"
same "$(grep -c docker-content-digest "$WORK/headers")" 0
FILE=docker/registry/v2/blobs/sha256/${DIGEST:7:2}/${DIGEST#*:}/data
[ -s "$ROOT/$FILE" ]
for path in "/breakwater-data/$FILE" "/v2/../breakwater-data/$FILE" "/breakwater-data/breakwater/token.pem" "/breakwater-data%2F$FILE"; do
    headers_of "${bearer[@]}" --path-as-is "$path" | grep '^HTTP/1.1 404 ' >/dev/null
    same "$(grep -c 'PRIVATE KEY' "$WORK/body")" 0
done
nothing_is_buffered
all_are_tried
