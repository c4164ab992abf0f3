#!/usr/bin/env bash
# skopeo: the containers/image client without an engine.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs skopeo curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1

all() {
    local image=docker://$REGISTRY/team/app certs=$WORK/certs digest

    step "login: wrong password, then the right one"
    refused 'invalid username/password' skopeo login --cert-dir "$certs" -u "$NAME" -p wrong "$REGISTRY"
    step "no login: denied"
    refused 'unauthorized|authentication required|access to the resource is denied' skopeo copy --dest-cert-dir "$certs" "oci:$WORK/one:single" "$image:single"
    ok skopeo login --cert-dir "$certs" -u "$NAME" -p "$PASSWORD" "$REGISTRY"

    step "push and pull an image"
    ok skopeo copy --dest-cert-dir "$certs" "oci:$WORK/one:single" "$image:single"
    ok skopeo copy --src-cert-dir "$certs" "$image:single" "dir:$WORK/single-$MODE"

    step "copy --all: every platform, by tag and by digest"
    ok skopeo copy --all --dest-cert-dir "$certs" "oci:$WORK/one:multi" "$image:multi"
    digest=$(jq -r '.manifests[1].digest' "$WORK/one/index.json")
    ok skopeo copy --all --src-cert-dir "$certs" "$image@$digest" "oci:$WORK/back-$MODE:multi"
    same "$(jq -r '.manifests[0].digest' "$WORK/back-$MODE/index.json")" "$digest"
    same "$(skopeo inspect --raw --cert-dir "$certs" "$image:multi" | sha256sum | cut -c1-64)" "${digest#sha256:}"

    step "copy into another repository by mount"
    ok skopeo copy --all --src-cert-dir "$certs" --dest-cert-dir "$certs" "$image:multi" "docker://$REGISTRY/other/app:multi"
    same "$(digest_of other/app multi)" "$digest"

    step "inspect and list"
    same "$(skopeo inspect --cert-dir "$certs" "$image:single" | jq -r '.RepoTags | sort | join(" ")')" "multi single"
    same "$(skopeo list-tags --cert-dir "$certs" "$image" | jq -r '.Tags | sort | join(" ")')" "multi single"

    step "restart, then the same content"
    restart_registry
    ok skopeo copy --all --src-cert-dir "$certs" "$image:multi" "oci:$WORK/again-$MODE:multi"

    step "delete"
    ok skopeo delete --tls-verify --cert-dir "$certs" "$image:multi"
    refused 'manifest unknown' skopeo inspect --raw --cert-dir "$certs" "$image:multi"
    ok skopeo logout "$REGISTRY"
    refused 'unauthorized|authentication required|access to the resource is denied' skopeo inspect --cert-dir "$certs" "$image:single"
}

in_both_modes all
