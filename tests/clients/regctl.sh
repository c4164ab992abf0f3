#!/usr/bin/env bash
# regctl (regclient): uploads in ranged pieces, referrers, and every call of the API by name.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs regctl curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1
head -c 3000000 /dev/urandom >"$WORK/large"

all() {
    local image=$REGISTRY/team/app digest
    export REGCTL_CONFIG=$WORK/regctl-$MODE.json
    ok regctl registry set "$REGISTRY" --skip-check --cacert "$(cat "$WORK/ca.crt")" --blob-chunk 500000 --blob-max 1

    step "no login: denied"
    refused 'unauthorized' regctl image copy "ocidir://$WORK/one:single" "$image:single"
    step "wrong password: denied"
    refused 'unauthorized' regctl registry login "$REGISTRY" -u "$NAME" -p wrong
    ok regctl registry login "$REGISTRY" -u "$NAME" -p "$PASSWORD"

    step "a blob in pieces"
    digest=$(regctl blob put "$image" <"$WORK/large")
    same "$digest" "sha256:$(sha256sum <"$WORK/large" | cut -c1-64)"
    same "$(regctl blob get "$image" "$digest" | sha256sum | cut -c1-64)" "${digest#sha256:}"
    [ "$(grep -c "PATCH /v2/team/app/blobs/uploads/.* 202" "$WORK/registry.log")" -ge 6 ]

    step "copy an index, and by mount into another repository"
    ok regctl image copy "ocidir://$WORK/one:multi" "$image:multi"
    digest=$(regctl image digest "$image:multi")
    ok regctl image copy "$image:multi" "$REGISTRY/other/app:multi"
    same "$(regctl image digest "$REGISTRY/other/app:multi")" "$digest"
    ok regctl image copy "$image@$digest" "ocidir://$WORK/back-$MODE:multi"
    same "$(regctl image digest "ocidir://$WORK/back-$MODE:multi")" "$digest"

    step "referrers: put, list, filter, copy along"
    echo one | ok regctl artifact put --subject "$image:multi" --artifact-type application/vnd.test.one -m text/plain
    echo two | ok regctl artifact put --subject "$image:multi" --artifact-type application/vnd.test.two -m text/plain
    same "$(regctl artifact list "$image:multi" --format '{{len .Descriptors}}')" 2
    same "$(regctl artifact list "$image:multi" --filter-artifact-type application/vnd.test.two --format '{{len .Descriptors}}')" 1
    same "$(regctl artifact get --subject "$image:multi" --filter-artifact-type application/vnd.test.two)" two
    # The server keeps the list: the client needed no tag for it.
    refused 'not found' regctl manifest head "$image:${digest/:/-}"
    ok regctl image copy --referrers "$image:multi" "$REGISTRY/other/app:multi"
    same "$(regctl artifact list "$REGISTRY/other/app:multi" --format '{{len .Descriptors}}')" 2

    step "lists"
    same "$(regctl repo ls "$REGISTRY" | xargs)" "other/app team/app"
    same "$(regctl tag ls "$image" | xargs)" multi

    step "restart, then the same content"
    restart_registry
    same "$(regctl image digest "$image:multi")" "$digest"
    same "$(regctl artifact list "$image:multi" --format '{{len .Descriptors}}')" 2

    step "delete a tag, a manifest, a blob"
    ok regctl tag delete "$REGISTRY/other/app:multi"
    refused 'not found' regctl manifest head "$REGISTRY/other/app:multi"
    ok regctl manifest head "$REGISTRY/other/app@$digest"
    ok regctl manifest delete "$image@$digest"
    refused 'not found' regctl manifest head "$image:multi"
    ok regctl blob delete "$image" "sha256:$(sha256sum <"$WORK/large" | cut -c1-64)"
    refused 'not found' regctl blob head "$image" "sha256:$(sha256sum <"$WORK/large" | cut -c1-64)"
}

in_both_modes all
