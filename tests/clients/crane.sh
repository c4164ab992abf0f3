#!/usr/bin/env bash
# crane (go-containerregistry): the library of kaniko, ko and much else.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs crane curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1
make_layout "$WORK/two" 2

all() {
    export DOCKER_CONFIG=$WORK/docker-$MODE
    local image=$REGISTRY/team/app

    step "no login: denied"
    refused 'UNAUTHORIZED|unauthorized|authentication required' crane push --index "$WORK/one" "$image:multi"
    step "wrong password: denied"
    ok crane auth login "$REGISTRY" -u "$NAME" -p wrong
    refused 'UNAUTHORIZED|unauthorized' crane ls "$image"
    ok crane auth login "$REGISTRY" -u "$NAME" -p "$PASSWORD"

    step "push, pull by tag and by digest, multi-arch"
    ok crane push --index "$WORK/one" "$image:multi"
    local digest
    digest=$(crane digest "$image:multi")
    ok crane validate --remote "$image:multi"
    ok crane validate --remote "$image@$digest"
    ok crane pull --format oci "$image@$digest" "$WORK/pulled-$MODE"
    same "$(crane digest "$image@$digest")" "$digest"

    step "copy by mount into another repository"
    ok crane copy "$image:multi" "$REGISTRY/other/app:multi"
    ok crane validate --remote "$REGISTRY/other/app@$digest"
    # Blobs of the copy are mounted: no upload of theirs was begun.
    grep -q 'POST /v2/other/app/blobs/uploads/?from=team%2Fapp&mount=[^ ]* HTTP/1.1" 201' "$WORK/registry.log"

    step "lists"
    ok crane push --index "$WORK/two" "$image:two"
    ok crane tag "$image:multi" latest
    same "$(crane ls "$image" | sort | xargs)" "latest multi two"
    same "$(crane catalog "$REGISTRY" | xargs)" "other/app team/app"

    step "restart, then the same content"
    restart_registry
    ok crane validate --remote "$image:multi"
    same "$(crane digest "$image:latest")" "$digest"

    step "delete"
    ok crane delete "$image@$(crane digest "$image:two")"
    refused 'MANIFEST_UNKNOWN' crane manifest "$image:two"
    ok crane validate --remote "$image:multi"
}

in_both_modes all
