#!/usr/bin/env bash
# A CI job pushes with the token of its provider: oidc-provider as the issuer, curl and skopeo as the job.
#
# The registry knows the issuer's certificate by SSL_CERT_FILE. The issuer is an npm package, kept in a directory outside the tree
# that is named by its version.
#
# Before lib.sh gives clients another home: npm's settings and the directory are those of the user.
USERS_HOME=$HOME
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/breakwater-ci
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs node npm skopeo curl jq openssl python3

AUDIENCE=registry.test
ISSUER_PORT=$(free_port)
ISSUER=https://localhost:$ISSUER_PORT

install_issuer() {
    local version directory
    version=$(jq -r '.dependencies["oidc-provider"]' "$HERE/oidc/package.json")
    directory=$CACHE/oidc-provider-$version
    if ! cmp -s "$HERE/oidc/package-lock.json" "$directory/package-lock.json" || [ ! -d "$directory/node_modules" ]; then
        rm -rf "$directory" "$directory.new"
        mkdir -p "$directory.new"
        cp "$HERE/oidc/package.json" "$HERE/oidc/package-lock.json" "$directory.new"
        (cd "$directory.new" && HOME=$USERS_HOME ok npm ci --ignore-scripts --no-audit --no-fund)
        mv "$directory.new" "$directory"
    fi
    # Modules are looked for beside the file that imports them.
    mkdir "$WORK/issuer"
    cp "$HERE/oidc/provider.mjs" "$WORK/issuer"
    ln -s "$directory/node_modules" "$WORK/issuer/node_modules"
}

start_issuer() {
    start issuer node "$WORK/issuer/provider.mjs" "$ISSUER_PORT" "$WORK/tls.crt" "$WORK/tls.key"
    wait_for curl -sf --cacert "$WORK/ca.crt" "$ISSUER/.well-known/openid-configuration"
}

# The token that a job gets. Arguments: its client, the audience when it is another.
token_of() {
    curl -sS --fail-with-body --cacert "$WORK/ca.crt" "$ISSUER/token" \
        -d grant_type=client_credentials -d "resource=https://${2:-$AUDIENCE}" \
        --data-urlencode "client_id=$1" --data-urlencode 'client_secret=a secret of this test alone' | jq -er .access_token
}

# What write_config wrote for Basic mode, and whom we trust: that alone makes the registry its own token realm. Only a branch of
# acme/app may push, and only to acme/app.
write_oidc_config() {
    write_config basic
    cat >>"$WORK/config.yml" <<YAML
access:
  rules:
    - {who: "user:$NAME", repositories: "**", actions: ["*"]}
    - {who: "oidc:app", repositories: acme/app, actions: [pull, push]}
    - {who: "oidc:other", repositories: "{user}/**", actions: [pull, push]}
oidc:
  - name: app
    issuer: $ISSUER
    audience: $AUDIENCE
    match: {repository: acme/app, sub: "repo:acme/app:ref:refs/heads/*"}
    user: ci-{repository_owner}
  - name: other
    issuer: $ISSUER
    audience: $AUDIENCE
    match: {repository: acme/other}
    user: "{repository_owner}"
YAML
}

# Pushes with a token as the password of anybody. Arguments: token, repository.
push() {
    skopeo copy --dest-cert-dir "$WORK/certs" --dest-creds "anything:$1" "oci:$WORK/one:single" "docker://$REGISTRY/$2:v1"
}

log_in() {
    skopeo login --cert-dir "$WORK/certs" -u anything -p "$1" "$REGISTRY"
}

DENIED='requested access to the resource is denied|authentication required'
WRONG='invalid username/password'

run_jobs() {
    local token changed
    step "the job of a branch pushes to its repository and pulls"
    token=$(token_of acme-app)
    ok push "$token" acme/app
    ok skopeo copy --src-cert-dir "$WORK/certs" --src-creds "anything:$token" "docker://$REGISTRY/acme/app:v1" "dir:$WORK/back"
    ok log_in "$token"

    step "but to no other"
    for repository in acme/other acme/app/more ci-acme/app team/app; do refused "$DENIED" push "$token" "$repository"; done
    ok skopeo copy --dest-cert-dir "$WORK/certs" --dest-creds "$NAME:$PASSWORD" "oci:$WORK/one:single" "docker://$REGISTRY/team/app:v1"
    refused "$DENIED" skopeo inspect --cert-dir "$WORK/certs" --creds "anything:$token" "docker://$REGISTRY/team/app:v1"

    step "and is a password at the token realm only"
    same "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$WORK/ca.crt" -u "anything:$token" "https://$REGISTRY/v2/")" 401

    step "another job pushes below the name that its claims make"
    ok push "$(token_of acme-other)" acme/other
    refused "$DENIED" push "$(token_of acme-other)" ci-acme/other

    step "jobs that match nothing, and tokens for others, are nobody's password"
    for job in acme-app-pull-request evil-app; do
        refused "$WRONG" log_in "$(token_of "$job")"
        refused "$DENIED" push "$(token_of "$job")" acme/app
    done
    refused "$WRONG" log_in "$(token_of acme-app elsewhere.test)"

    step "a token that was changed, or lost its signature, is refused"
    changed=$(jq -Rrn --arg token "$token" '$token | split(".") | .[0] as $h | .[2] as $s
        | (.[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson | .repository_owner = "root" | tojson | @base64
            | gsub("="; "") | gsub("[+]"; "-") | gsub("/"; "_")) as $p | [$h, $p, $s] | join(".")')
    refused "$WRONG" log_in "$changed"
    refused "$WRONG" log_in "${token%.*}."

    step "users of the password file log in as before"
    ok skopeo login --cert-dir "$WORK/certs" -u "$NAME" -p "$PASSWORD" "$REGISTRY"
    refused "$WRONG" skopeo login --cert-dir "$WORK/certs" -u "$NAME" -p wrong "$REGISTRY"

    step "the issuer goes away: its keys are known"
    stop issuer
    ok log_in "$token"

    step "it comes back with another key: found when it is needed"
    start_issuer
    wait_for log_in "$(token_of acme-app)"
    refused "$WRONG" log_in "$token"

    step "no token is in the log"
    if grep -Fq -e "${token##*.}" -e "${changed##*.}" "$WORK/registry.log"; then echo "a token is in registry.log" >&2; return 1; fi
}

make_certificate
make_layout "$WORK/one" 1
install_issuer
start_issuer
write_oidc_config
start_registry
run_jobs
