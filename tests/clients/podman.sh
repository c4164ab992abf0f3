#!/usr/bin/env bash
# podman: the containers/image client with a store of its own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs podman curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1

all() {
    local image=$REGISTRY/team/app certs=(--cert-dir "$WORK/certs") digest
    ok pod pull "oci:$WORK/one:single"
    local id
    id=$(pod images --quiet --no-trunc | head -n 1)

    step "no CA: the certificate is not believed"
    SSL_CERT_FILE=/dev/null refused 'x509' pod login -u "$NAME" -p "$PASSWORD" "$REGISTRY"
    step "login: wrong password, then the right one"
    refused 'invalid username/password' pod login "${certs[@]}" -u "$NAME" -p wrong "$REGISTRY"
    step "no login: denied"
    refused 'unauthorized|authentication required|access to the resource is denied' pod push "${certs[@]}" "$id" "docker://$image:v1"
    ok pod login "${certs[@]}" -u "$NAME" -p "$PASSWORD" "$REGISTRY"

    step "push, then pull by tag and by digest"
    ok pod push "${certs[@]}" "$id" "docker://$image:v1"
    digest=$(digest_of team/app v1)
    ok pod rmi --all --force
    ok pod pull "${certs[@]}" "$image:v1"
    same "$(pod images --quiet --no-trunc)" "$id"
    ok pod rmi --all --force
    ok pod pull "${certs[@]}" "$image@$digest"

    step "push as Docker schema 2, and into another repository"
    ok pod push "${certs[@]}" --format v2s2 "$id" "docker://$image:docker"
    ok pod push "${certs[@]}" "$id" "docker://$REGISTRY/other/app:v1"

    step "an index: manifest push --all"
    ok pod manifest create list
    ok pod manifest add "${certs[@]}" list "docker://$image:v1"
    ok pod manifest push "${certs[@]}" --all list "docker://$image:list"
    ok pod manifest rm list

    step "restart, then the same content"
    ok pod rmi --all --force
    restart_registry
    for tag in v1 docker list; do ok pod pull "${certs[@]}" "$image:$tag"; done
    same "$(digest_of team/app v1)" "$digest"

    step "logout: denied"
    ok pod rmi --all --force
    ok pod logout "$REGISTRY"
    refused 'unauthorized|authentication required|access to the resource is denied' pod pull "${certs[@]}" "$image:v1"
}

in_both_modes all
