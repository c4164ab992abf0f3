#!/usr/bin/env bash
# cosign: signatures with a key pair, stored beside the image as a tag and as a referrer. No public service is asked.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs cosign crane curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1
make_layout "$WORK/two" 2
export COSIGN_PASSWORD=
cd "$WORK"
ok cosign generate-key-pair

# Signs and verifies an image. Argument: whether the new bundle format is used, which is stored as a referrer.
sign_and_verify() {
    ok cosign sign --yes --key cosign.key --tlog-upload=false --use-signing-config=false "--new-bundle-format=$1" "$2"
    ok cosign verify --key cosign.pub --insecure-ignore-tlog=true "--new-bundle-format=$1" "$2"
}

all() {
    export DOCKER_CONFIG=$WORK/docker-$MODE
    local image=$REGISTRY/team/app one two
    step "no login: denied"
    refused 'UNAUTHORIZED|unauthorized' cosign verify --key cosign.pub --insecure-ignore-tlog=true "$image:one"
    ok cosign login "$REGISTRY" -u "$NAME" -p "$PASSWORD"
    ok crane push --index "$WORK/one" "$image:one"
    ok crane push --index "$WORK/two" "$image:two"
    one=$(crane digest "$image:one") two=$(crane digest "$image:two")

    step "an image without a signature"
    refused 'no signatures found' cosign verify --key cosign.pub --insecure-ignore-tlog=true "$image@$one"
    step "a signature as a tag"
    sign_and_verify false "$image@$one"
    crane ls "$image" | grep -qx "${one/:/-}.sig"
    step "a signature as a referrer"
    sign_and_verify true "$image@$two"
    same "$(referrers "$two")" 1
    if crane ls "$image" | grep -q "${two#sha256:}"; then return 1; fi

    step "restart, then both still verify; another key does not"
    restart_registry
    ok cosign verify --key cosign.pub --insecure-ignore-tlog=true --new-bundle-format=false "$image@$one"
    ok cosign verify --key cosign.pub --insecure-ignore-tlog=true "$image@$two"
    (mkdir -p other && cd other && { [ -e cosign.pub ] || ok cosign generate-key-pair; })
    refused 'invalid signature|no matching signatures|failed to verify' \
        cosign verify --key other/cosign.pub --insecure-ignore-tlog=true "$image@$two"
}

# How many referrers the registry lists for a digest.
referrers() {
    curl -sS --fail --cacert "$WORK/ca.crt" -H "Authorization: $(authorization repository:team/app:pull)" \
        "https://$REGISTRY/v2/team/app/referrers/$1" | jq '.manifests | length'
}

in_both_modes all
