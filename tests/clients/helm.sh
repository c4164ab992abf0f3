#!/usr/bin/env bash
# helm 3: charts as artifacts.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs helm curl jq openssl python3

make_certificate
cd "$WORK"
ok helm create chart
ok helm package chart --version 1.2.3

all() {
    local ca=(--ca-file "$WORK/ca.crt") charts=oci://$REGISTRY/charts digest
    export HELM_REGISTRY_CONFIG=$WORK/helm-$MODE.json
    mkdir {pulled,by-digest,newer,again}-"$MODE"

    step "no CA: the certificate is not believed"
    SSL_CERT_FILE=/dev/null refused 'x509' helm registry login "$REGISTRY" -u "$NAME" -p "$PASSWORD"
    step "login: wrong password, then the right one"
    refused '401|unauthorized' helm registry login "$REGISTRY" "${ca[@]}" -u "$NAME" -p wrong
    step "no login: denied"
    refused '401|unauthorized|credential' helm push chart-1.2.3.tgz "$charts" "${ca[@]}"
    ok helm registry login "$REGISTRY" "${ca[@]}" -u "$NAME" -p "$PASSWORD"

    step "push, pull by version and by digest"
    ok helm push chart-1.2.3.tgz "$charts" "${ca[@]}"
    digest=$(sed -n 's/^Digest: //p' "$WORK/said")
    ok helm pull "$charts/chart" --version 1.2.3 "${ca[@]}" -d "$WORK/pulled-$MODE"
    cmp chart-1.2.3.tgz "pulled-$MODE/chart-1.2.3.tgz"
    ok helm pull "$charts/chart@$digest" "${ca[@]}" -d "$WORK/by-digest-$MODE"
    ok helm show chart "$charts/chart" --version 1.2.3 "${ca[@]}"

    step "the newest version of a range"
    ok helm package chart --version 1.10.0 -d "newer-$MODE"
    ok helm push "newer-$MODE/chart-1.10.0.tgz" "$charts" "${ca[@]}"
    ok helm show chart "$charts/chart" --version '^1.0' "${ca[@]}"
    grep -q '^version: 1.10.0' "$WORK/said"

    step "restart, then the same content"
    restart_registry
    ok helm pull "$charts/chart" --version 1.2.3 "${ca[@]}" -d "$WORK/again-$MODE"
    cmp chart-1.2.3.tgz "again-$MODE/chart-1.2.3.tgz"

    step "logout: denied"
    ok helm registry logout "$REGISTRY"
    refused '401|unauthorized|credential' helm pull "$charts/chart" --version 1.2.3 "${ca[@]}"
}

in_both_modes all
