#!/usr/bin/env bash
# containerd's own client, ctr, with a containerd of the test's own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs containerd ctr curl jq openssl python3
needs_root containerd

make_certificate
make_layout "$WORK/one" 1
tar -C "$WORK/one" -cf "$WORK/one.tar" .

start_containerd

forget() {
    local all
    mapfile -t all < <(images ls -q)
    [ ${#all[@]} -eq 0 ] || ok images rm --sync "${all[@]}"
}

all() {
    local image=$REGISTRY/team/app digest login=(--user "$NAME:$PASSWORD") pull=(pull --snapshotter native)
    ok images import --all-platforms --no-unpack --base-name "$image" "$WORK/one.tar"

    step "no CA: the certificate is not believed"
    local ca=(--hosts-dir "$WORK/hosts")
    hosts
    SSL_CERT_FILE=/dev/null refused 'x509' images push "${ca[@]}" "${login[@]}" "$image:multi"
    hosts "$WORK/ca.crt"
    step "no login, and a wrong password: denied"
    refused '401 Unauthorized|authorization failed|failed to authorize|access denied|insufficient_scope' images push "${ca[@]}" "$image:multi"
    refused '401 Unauthorized|authorization failed|failed to authorize' images push "${ca[@]}" --user "$NAME:wrong" "$image:multi"

    step "push every platform, then pull by tag and by digest"
    ok images push "${ca[@]}" "${login[@]}" "$image:multi"
    digest=$(digest_of team/app multi)
    same "$digest" "$(jq -r '.manifests[1].digest' "$WORK/one/index.json")"
    forget
    ok images "${pull[@]}" "${ca[@]}" "${login[@]}" --all-platforms "$image:multi"
    forget
    ok images "${pull[@]}" "${ca[@]}" "${login[@]}" "$image@$digest"

    step "push to another repository of the same registry: mount"
    forget
    ok images "${pull[@]}" "${ca[@]}" "${login[@]}" --all-platforms "$image:multi"
    ok images tag "$image:multi" "$REGISTRY/other/app:multi"
    ok images push "${ca[@]}" "${login[@]}" "$REGISTRY/other/app:multi"
    same "$(digest_of other/app multi)" "$digest"
    grep -q 'POST /v2/other/app/blobs/uploads/?[^ ]*from=team/app[^ ]* HTTP/1.1" 201' "$WORK/registry.log"

    step "restart, then the same content"
    forget
    restart_registry
    ok images "${pull[@]}" "${ca[@]}" "${login[@]}" --all-platforms "$image:multi"

    step "an image that is not there"
    refused 'not found' images "${pull[@]}" "${ca[@]}" "${login[@]}" "$image:absent"
    forget
}

in_both_modes all
