#!/usr/bin/env bash
# The Docker engine, with a dockerd of the test's own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs docker dockerd containerd ip nsenter curl jq openssl
needs_root "a network namespace and dockerd"

make_space
make_certificate
start_dockerd
make_payload payload
same "$(docker info --format '{{json .RegistryConfig.InsecureRegistryCIDRs}}')" '["127.0.0.0/8"]'

login() {
    docker login --username "$NAME" --password-stdin "$REGISTRY" <<<"$1"
}

all() {
    export DOCKER_CONFIG=$WORK/docker-$MODE
    local image=$REGISTRY/team/app digest id
    id=$(docker import "$WORK/payload.tar" "$image:v1")

    step "without the CA, login and pull fail"
    refused 'x509: certificate signed by unknown authority' login "$PASSWORD"
    refused 'x509: certificate signed by unknown authority' docker pull "$image:v1"

    step "with the CA in certs.d: a wrong password"
    trust_in_docker
    # In Basic mode this engine says no more than the status, to a stock registry as well.
    refused 'unauthorized: authentication required|incorrect username or password|401 Unauthorized' login wrong
    step "no login: push and pull are denied"
    refused 'no basic auth credentials|unauthorized: authentication required|denied: requested access' docker push "$image:v1"
    refused 'no basic auth credentials|unauthorized: authentication required|denied' docker pull "$image:v1"

    step "login, push, pull by tag and by digest"
    ok login "$PASSWORD"
    grep -q 'Login Succeeded' "$WORK/said"
    ok docker push "$image:v1"
    digest=$(sed -n 's/^v1: digest: \(sha256:[0-9a-f]*\) .*/\1/p' "$WORK/said")
    same "$(digest_of team/app v1)" "$digest"
    ok docker image rm "$image:v1"
    ok docker pull "$image:v1"
    same "$(docker image inspect --format '{{.Id}}' "$image:v1")" "$id"
    ok docker image rm "$image:v1"
    ok docker pull "$image@$digest"

    step "push to another repository: the layer is mounted"
    ok docker tag "$image@$digest" "$REGISTRY/other/app:v1"
    ok docker push "$REGISTRY/other/app:v1"
    grep -q 'Mounted from team/app' "$WORK/said"

    step "restart, then the same content"
    ok docker image rm --force "$id"
    restart_registry
    ok docker pull "$image:v1"
    same "$(docker image inspect --format '{{.Id}}' "$image:v1")" "$id"

    step "a tag that is not there"
    refused 'manifest unknown|not found' docker pull "$image:absent"

    step "logout: denied"
    ok docker logout "$REGISTRY"
    refused 'no basic auth credentials|unauthorized: authentication required|denied' docker push "$image:v1"
    ok docker image rm --force "$id"
    if [ "$MODE" = token ]; then identity_token "$image:v1"; fi
}

# What this machine keeps of a login, as `user:password identity-token`.
kept() {
    jq -r --arg registry "$REGISTRY" '.auths[$registry] // {} | [(.auth // "" | @base64d), .identitytoken // ""] | join(" ")' \
        "$DOCKER_CONFIG/config.json"
}

identity_token() {
    local image=$1 first refusal='unauthorized: |denied: '
    step "login keeps a token instead of the password"
    ok login "$PASSWORD"
    first=$(kept)
    same "${first%% *}" "$NAME:"
    [ -n "${first#* }" ]
    ok docker pull "$image"
    ok docker push "$image"

    step "which logout forgets"
    ok docker logout "$REGISTRY"
    same "$(kept)" ' '

    step "and which is nothing when the password is another"
    ok login "$PASSWORD"
    set_password "$NAME" "another $PASSWORD"
    wait_for refused "$refusal" docker pull "$image"
    refused "$refusal" docker push "$image"
    refused 'unauthorized: |incorrect username or password' login "$PASSWORD"
    ok login "another $PASSWORD"
    ok docker pull "$image"
    ok docker push "$image"
    ok docker image rm "$image"
}

in_both_modes all
