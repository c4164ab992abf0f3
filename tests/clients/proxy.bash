# A registry behind a proxy, both in a network namespace where port 443 is free. For a script that has sourced lib.sh and page.bash.
#
# Clients have the address LISTEN; the proxy comes to the registry from another one.
# shellcheck shell=bash disable=SC2034 # what lib.sh reads is set here

# The namespace, the certificate of HOST, and a password file. REGISTRY is HOST, on port 443.
proxy_space() {
    make_space
    REMOTE=10.77.0.2 REMOTE_HOST=internal-$$.breakwater.test    # of a registry on another machine
    in_space ip addr add "$REMOTE/32" dev lo
    CLEANUPS+=("sed '/ $REMOTE_HOST\$/d' /etc/hosts >$WORK/hosts.new && cat $WORK/hosts.new >/etc/hosts")
    echo "$REMOTE $REMOTE_HOST" >>/etc/hosts
    make_certificate
    REGISTRY=$HOST
    ROOT=$WORK/root
    MODE=token
    chmod 711 "$WORK"   # the proxy's user passes through
    mkdir "$WORK/ssl"
    cp "$WORK/tls.crt" "$WORK/tls.key" "$WORK/ssl"
    cat "$WORK/tls.crt" "$WORK/tls.key" >"$WORK/ssl/tls.pem"
    set_password "$NAME" "$PASSWORD"
    HERE_INSTEAD="s,/var/lib/registry,$ROOT,g; s,/etc/docker/registry/,$WORK/,g; s,/etc/ssl/registry/,$WORK/ssl/,g; s,registry\.example\.com,$HOST,g"
    HERE_INSTEAD+="; s,/run/breakwater/,$WORK/socket/,g; s, deploy/, $TREE/deploy/,g; s,registry\.internal,$REMOTE_HOST,g"
}

# Starts a new, empty registry with the YAML below a heading of the page, and waits until it is ready. Further sed scripts change it.
registry_behind() {
    stop registry
    rm -rf "$ROOT" "$WORK/registry.log"
    settings "$1" "$HERE_INSTEAD${2:+; $2}" >"$WORK/config.yml"
    # Where it will listen: the addresses are tried.
    ok "${INSIDE[@]}" "$BREAKWATER_BIN" check-config "$WORK/config.yml"
    # Owned and masked as systemd does it for the unit's user, who the registry becomes.
    install -d -m 750 -o 65532 -g 65532 "$ROOT"
    umask 027
    start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    umask 022
    wait_for "${INSIDE[@]}" "$BREAKWATER_BIN" health --config "$WORK/config.yml"
}

# A request to the proxy, as a client makes it; shows the answer's headers. Arguments go to curl, the path last.
headers_of() {
    "${INSIDE[@]}" curl -sS -o "$WORK/body" -D - --cacert "$WORK/ca.crt" "${@:1:$#-1}" "https://$HOST${!#}" | tr -d '\r'
}

# The value of a header among those on standard input.
header() {
    sed -n "s/^$1: //Ip"
}

# Locations and realm have https and the public host; in both logs of the registry stands the client's address, whatever the client says of itself.
right_names_and_addresses() {
    local forged=(-H 'X-Forwarded-For: 198.51.100.9' -H 'Forwarded: for=127.0.0.1;host=evil.example;proto=http' -H 'X-Real-IP: 198.51.100.9'
        -H 'X-Forwarded-Host: evil.example' -H 'X-Forwarded-Proto: http' -A forger)
    headers_of "${forged[@]}" /v2/ | header www-authenticate >"$WORK/challenge"
    grep -qF "Bearer realm=\"https://$HOST/auth/token\"" "$WORK/challenge" || { cat "$WORK/challenge" >&2; return 1; }
    local token begun
    token=$(authorization repository:team/app:pull,push)
    begun=$(headers_of "${forged[@]}" -X POST -H "Authorization: $token" /v2/team/app/blobs/uploads/ | header location)
    case $begun in
        "https://$HOST/v2/team/app/blobs/uploads/"*) ;;
        *) echo "Location: $begun" >&2; return 1 ;;
    esac
    headers_of "${forged[@]}" -u "$NAME:wrong" "/auth/token?service=test" >"$WORK/said"
    grep -E "\"(GET|POST) [^\"]*\" [0-9]+ [0-9]+ \"\" \"forger" "$WORK/registry.log" | cut -d' ' -f1 | sort -u >"$WORK/addresses"
    same "$(cat "$WORK/addresses")" "$LISTEN"
    grep -o '"address":"[^"]*"' "$WORK/registry.log" | sort -u >"$WORK/addresses"
    same "$(cat "$WORK/addresses")" "\"address\":\"$LISTEN\""
}

# Puts a file as a blob in one request, and says its digest. Arguments: repository, file.
push_file() {
    local digest token begun
    digest=sha256:$(sha256sum "$2" | cut -c1-64)
    token=$(authorization "repository:$1:pull,push")
    begun=$(headers_of -X POST -H "Authorization: $token" "/v2/$1/blobs/uploads/" | header location)
    "${INSIDE[@]}" curl -sS --fail-with-body --cacert "$WORK/ca.crt" -H "Authorization: $token" -H 'Expect:' -T "$2" "$begun&digest=$digest" >&2 || return 1
    echo "$digest"
}

# Puts a file as a blob in chunks of a size, one PATCH each, and the last without a length. Arguments: repository, file, size.
push_in_chunks() {
    local digest token location offset=0 size total
    digest=sha256:$(sha256sum "$2" | cut -c1-64)
    token=$(authorization "repository:$1:pull,push")
    total=$(stat -c %s "$2")
    location=$(headers_of -X POST -H "Authorization: $token" "/v2/$1/blobs/uploads/" | header location)
    while [ "$offset" -lt "$total" ]; do
        size=$((total - offset < $3 ? total - offset : $3))
        tail -c "+$((offset + 1))" "$2" | head -c "$size" >"$WORK/chunk" || true
        location=$("${INSIDE[@]}" curl -sS --fail-with-body -o /dev/null -D - --cacert "$WORK/ca.crt" -X PATCH -H "Authorization: $token" \
            -H 'Content-Type: application/octet-stream' -H "Content-Range: $offset-$((offset + size - 1))" --data-binary "@$WORK/chunk" "$location" |
            tr -d '\r' | header location)
        offset=$((offset + size))
    done
    # curl sends what it reads from a pipe in pieces (Transfer-Encoding: chunked).
    location=$("${INSIDE[@]}" curl -sS --fail-with-body -o /dev/null -D - --cacert "$WORK/ca.crt" -X PATCH -H "Authorization: $token" \
        -H 'Content-Type: application/octet-stream' -T - "$location" < <(cat "$2" "$2") | tr -d '\r' | header location)
    digest=sha256:$(cat "$2" "$2" "$2" | sha256sum | cut -c1-64)
    "${INSIDE[@]}" curl -sS --fail-with-body --cacert "$WORK/ca.crt" -X PUT -H "Authorization: $token" "$location&digest=$digest" >&2
    echo "$digest"
}

# The digest of the bytes that a blob is answered with.
pulled() {
    "${INSIDE[@]}" curl -sS --fail --cacert "$WORK/ca.crt" -H "Authorization: $(authorization "repository:$1:pull")" "https://$HOST/v2/$1/blobs/$2" |
        sha256sum | sed -E 's/^([0-9a-f]+) .*/sha256:\1/'
}

# Pushes and pulls with crane and skopeo; in chunks; and ten at a time.
work_through() {
    local image=$HOST/team/app digest number jobs=() job
    export DOCKER_CONFIG=$WORK/docker-config
    ok in_space crane auth login "$HOST" -u "$NAME" -p "$PASSWORD"
    head -c 40000000 /dev/urandom >"$WORK/some"
    tar -C "$WORK" -cf "$WORK/some.tar" some

    step "push and pull of 40 MB"
    # What crane and skopeo do again by themselves would hide an error of the proxy's: the log is looked at in the end.
    ok in_space crane append --oci-empty-base -f "$WORK/some.tar" -t "$image:some"
    digest=$(in_space crane digest "$image:some")
    ok in_space crane validate --remote "$image@$digest"
    ok in_space skopeo copy --preserve-digests --src-cert-dir "$WORK/certs" "docker://$image:some" "dir:$WORK/copied"
    same "sha256:$(sha256sum "$WORK/copied/manifest.json" | cut -c1-64)" "$digest"
    ok in_space skopeo copy --dest-cert-dir "$WORK/certs" "dir:$WORK/copied" "docker://$HOST/team/copy:some"

    step "push in chunks with ranges, and of a length that is not told; parts of a pull"
    digest=$(push_in_chunks team/app "$WORK/some" 15000000)
    same "$(pulled team/app "$digest")" "$digest"
    headers_of -H "Authorization: $(authorization repository:team/app:pull)" -r 1000-1999 "/v2/team/app/blobs/$digest" | header content-range >"$WORK/said"
    same "$(cat "$WORK/said")" 'bytes 1000-1999/120000000'
    cmp -n 1000 -i 1000:0 "$WORK/some" "$WORK/body"

    step "ten at a time"
    for number in 1 2 3 4 5 6 7 8 9 10; do
        mkdir "$WORK/part-$number"
        head -c 3000000 /dev/urandom >"$WORK/part-$number/file"
        tar -C "$WORK/part-$number" -cf "$WORK/part-$number.tar" file
        { in_space crane append --oci-empty-base -f "$WORK/part-$number.tar" -t "$HOST/team/part-$number:1" &&
            in_space crane validate --remote "$HOST/team/part-$number:1"; } >"$WORK/part-$number.log" 2>&1 &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
    if grep -E '" 5[0-9][0-9] ' "$WORK/registry.log"; then return 1; fi >&2
}

in_space() {
    "${INSIDE[@]}" "$@"
}

# The registry of a page's section for another machine, at REMOTE, with a certificate that the proxy is to verify: below $WORK/ssl.
registry_elsewhere() {
    certificate_for_proxy
    local file
    for file in crt key; do cp "$WORK/internal/tls.$file" "$WORK/ssl/internal.$file"; done
    cp "$WORK/internal/ca.crt" "$WORK/ssl/internal-ca.crt"
    registry_behind "$1" "s,addr: :5000,addr: $REMOTE:5000,; s,192\\.0\\.2\\.10,$REMOTE,"
}

# Of another authority than what the proxy shows clients.
certificate_for_proxy() {
    local WORK=$WORK/internal HOST=$REMOTE_HOST LISTEN=$REMOTE SSL_CERT_FILE
    mkdir "$WORK"
    make_certificate
}

asks_for_credentials() {
    headers_of /v2/ | grep -E '^HTTP/[0-9.]+ 401' >/dev/null
}
