#!/usr/bin/env bash
# Who may do what: docker, podman, skopeo and ctr as three users and as nobody, under rules.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs docker dockerd podman skopeo containerd ctr ip nsenter curl jq openssl python3
needs_root "a network namespace and dockerd"

MODE=token
CLIENTS=(docker podman skopeo ctr)
USERS=(alice bob admin)
NOBODY=nobody
SKOPEO_IMAGES=(oci:"$WORK/one:single" oci:"$WORK/two:single")
AUDIT=$WORK/audit.log

make_space
make_certificate
make_layout "$WORK/one" 1
make_layout "$WORK/two" 2
write_config token
rm "$WORK/htpasswd"
for user in "${USERS[@]}"; do set_password "$user" "password of $user"; done
cat >>"$WORK/config.yml" <<YAML
access:
  groups: {team: [alice, bob]}
  rules:
    - {who: anonymous, repositories: "public/**", actions: [pull]}
    - {who: authenticated, repositories: "{user}/**", actions: [pull, push, delete]}
    - {who: "group:team", repositories: "team/**", actions: [pull, push]}
    - {who: "user:bob", repositories: "release/**", actions: [pull, create]}
    - {who: "user:admin", repositories: "**", actions: ["*"], catalog: true}
YAML
export REGISTRY_LOG_AUDIT_OUTPUT=$AUDIT
start_registry
start_dockerd
trust_in_docker
start_containerd
hosts "$WORK/ca.crt"

# Every client has a way to log in, to pull and to push one of two images, as a user or as nobody:
# CLIENT_login USER, CLIENT_pull USER IMAGE, CLIENT_push USER IMAGE 0|1.
CERTS=(--cert-dir "$WORK/certs")
authfile() { echo "$WORK/login-$1.json"; }
for client in podman skopeo; do echo '{"auths": {}}' >"$(authfile "$client-$NOBODY")"; done

docker_login() { docker --config "$WORK/docker-$1" login --username "$1" --password "password of $1" "$REGISTRY"; }
docker_pull() { docker --config "$WORK/docker-$1" pull "$REGISTRY/$2"; }
docker_push() {
    docker tag "${DOCKER_IMAGES[$3]}" "$REGISTRY/$2"
    docker --config "$WORK/docker-$1" push "$REGISTRY/$2"
}

podman_login() { pod login "${CERTS[@]}" --authfile "$(authfile "podman-$1")" -u "$1" -p "password of $1" "$REGISTRY"; }
podman_pull() { pod pull "${CERTS[@]}" --authfile "$(authfile "podman-$1")" "$REGISTRY/$2"; }
podman_push() { pod push "${CERTS[@]}" --authfile "$(authfile "podman-$1")" "${PODMAN_IMAGES[$3]}" "docker://$REGISTRY/$2"; }

skope() { "${INSIDE[@]}" skopeo "$@"; }
skopeo_login() { skope login "${CERTS[@]}" --authfile "$(authfile "skopeo-$1")" -u "$1" -p "password of $1" "$REGISTRY"; }
skopeo_pull() { skope copy --src-cert-dir "$WORK/certs" --authfile "$(authfile "skopeo-$1")" "docker://$REGISTRY/$2" "dir:$WORK/pulled"; }
skopeo_push() { skope copy --dest-cert-dir "$WORK/certs" --authfile "$(authfile "skopeo-$1")" "${SKOPEO_IMAGES[$3]}" "docker://$REGISTRY/$2"; }

# ctr keeps no logins.
ctr_as() {
    local user=$1 verb=$2
    shift 2
    [ "$user" = "$NOBODY" ] || set -- --user "$user:password of $user" "$@"
    images "$verb" --hosts-dir "$WORK/hosts" "$@"
}
ctr_login() { :; }
ctr_pull() { ctr_as "$1" pull --snapshotter native "$REGISTRY/$2"; }
ctr_push() {
    ok images tag --force "${CTR_IMAGES[$3]}" "$REGISTRY/$2"
    ctr_as "$1" push --platform "linux/$(dpkg --print-architecture)" "$REGISTRY/$2"
}

# What they say when the token they got does not open the repository, and when it opens it, but not for this.
declare -A CLOSED=(
    [docker]='requested access to the resource is denied'
    [podman]='requested access to the resource is denied|authentication required'
    [skopeo]='requested access to the resource is denied|authentication required'
    # It pushes in parallel, and what fails first ends the others.
    [ctr]='insufficient_scope: authorization failed|failed to authorize'
)
declare -A DENIED=(
    [docker]='denied: the tag exists, and you may add tags here but not move them'
    [podman]='the tag exists, and you may add tags here but not move them'
    [skopeo]='the tag exists, and you may add tags here but not move them'
    [ctr]='403 Forbidden'
)

load_images() {
    make_payload payload-one
    make_payload payload-two
    local seed
    for seed in one two; do
        DOCKER_IMAGES+=("$(docker import "$WORK/payload-$seed.tar")")
        ok pod pull --quiet "oci:$WORK/$seed:single"
        PODMAN_IMAGES+=("$(tail -n 1 "$WORK/said")")
        tar -C "$WORK/$seed" -cf "$WORK/$seed.tar" .
        ok images import --all-platforms --no-unpack --base-name "example.test/$seed" "$WORK/$seed.tar"
        CTR_IMAGES+=("example.test/$seed:single")
    done
}

# One client's part. Each has its repositories, so that none finds what another has pushed.
rights_with() {
    local client=$1 pull=${1}_pull push=${1}_push closed=${CLOSED[$1]} denied=${DENIED[$1]} user before
    step "$client: the admin and the owners push"
    for user in "${USERS[@]}"; do ok "${client}_login" "$user"; done
    ok "$push" admin "public/$client:v1" 0
    ok "$push" alice "alice/$client:v1" 0
    ok "$push" bob "bob/$client:v1" 0

    step "$client: nobody pulls what is public, and no more; so does who has logged in"
    ok "$pull" "$NOBODY" "public/$client:v1"
    ok "$pull" alice "public/$client:v1"
    refused "$closed" "$push" alice "public/$client:v1" 1
    refused "$closed" "$push" "$NOBODY" "public/$client:v1" 1
    refused "$closed" "$pull" "$NOBODY" "bob/$client:v1"
    refused "$closed" "$push" "$NOBODY" "new/$client:v1" 0

    step "$client: what is bob's is not there for alice"
    refused "$closed" "$pull" alice "bob/$client:v1"
    refused "$closed" "$pull" alice "bob/absent:v1"
    refused "$closed" "$push" alice "bob/$client:v1" 1
    refused "$closed" "$push" alice "elsewhere/$client:v1" 0
    ok "$pull" bob "bob/$client:v1"
    ok "$pull" admin "bob/$client:v1"

    step "$client: the team pushes to what they share, and moves tags"
    ok "$push" alice "team/$client:v1" 0
    ok "$push" bob "team/$client:v1" 1
    ok "$pull" alice "team/$client:v1"

    step "$client: bob makes releases, and cannot replace one"
    ok "$push" bob "release/$client:v1" 0
    before=$(digest_as admin "release/$client" v1)
    refused "$denied" "$push" bob "release/$client:v1" 1
    same "$(digest_as admin "release/$client" v1)" "$before"
    ok "$push" bob "release/$client:v2" 1
    ok "$pull" bob "release/$client:v1"
    refused "$closed" "$push" alice "release/$client:v3" 0
}

# curl, with a user's password or as nobody. Arguments: user, what curl takes, path.
ask() {
    local user=$1 login=()
    [ "$user" = "$NOBODY" ] || login=(-u "$user:password of $user")
    "${INSIDE[@]}" curl -sS --cacert "$WORK/ca.crt" "${login[@]}" "${@:2:$#-2}" "https://$REGISTRY${!#}"
}

digest_as() {
    ask "$1" -I -H 'Accept: */*' "/v2/$2/manifests/$3" | tr -d '\r' | sed -n 's/^docker-content-digest: //Ip'
}

# The catalog that a user is shown, by a token.
catalog_of() {
    local token
    token=$(ask "$1" '/auth/token?service=test&scope=registry:catalog:*' | jq -r .token)
    "${INSIDE[@]}" curl -sS --cacert "$WORK/ca.crt" -H "Authorization: Bearer $token" "https://$REGISTRY/v2/_catalog" \
        | jq -r '.repositories | join(" ")'
}

# The names of what each client pushed, below these.
below() {
    local top client
    for top; do
        for client in "${CLIENTS[@]}"; do echo "$top/$client"; done
    done | sort | paste -sd ' '
}

lists() {
    step "the catalog shows what may be pulled, and to the admin everything"
    same "$(catalog_of "$NOBODY")" "$(below public)"
    same "$(catalog_of alice)" "$(below alice public team)"
    same "$(catalog_of bob)" "$(below bob public release team)"
    same "$(catalog_of admin)" "$(below alice bob public release team)"
    same "$(ask alice /v2/_catalog | jq -r '.repositories | join(" ")')" "$(below alice public team)"

    step "tags are listed to those who may pull"
    same "$(tags_for bob release/docker)" 'v1 v2'
    same "$(tags_for "$NOBODY" public/docker)" v1
    refused "${CLOSED[skopeo]}" tags_for alice release/docker
    refused "${CLOSED[skopeo]}" tags_for "$NOBODY" team/docker
}

tags_for() {
    skope list-tags "${CERTS[@]}" --authfile "$(authfile "skopeo-$1")" "docker://$REGISTRY/$2" | jq -r '.Tags | sort | join(" ")'
}

# An answer, but for the order of its headers, the time and the name of the request; a repository's name is `NAME`.
answer() {
    ask "$1" -i "/v2/$2/$3" | tr -d '\r' | sed -E "/^(date|x-request-id):/Id; s#$2#NAME#g" | sort
}

hides() {
    local digest path
    step "what may not be seen answers as what is not there"
    digest=$(digest_as bob bob/docker v1)
    for path in manifests/v1 "manifests/$digest" "blobs/$digest" tags/list "referrers/$digest"; do
        same "$(answer alice bob/docker "$path")" "$(answer alice bob/absent "$path")"
    done
    same "$(answer alice bob/docker tags/list)" "$(answer admin bob/absent tags/list)"
    grep -q '"code":"NAME_UNKNOWN"' <<<"$(answer alice bob/docker manifests/v1)"
}

# Whether a decision was written down. Arguments: event, user, decision, repository.
decided() {
    jq -es --arg event "$1" --arg user "$2" --arg decision "$3" --arg repository "$4" \
        'any(.event == $event and .user == $user and .decision == $decision and (.repository // "" | contains($repository)))' "$AUDIT"
}

is_written_down() {
    step "the audit log tells who was refused what, and no secret"
    wait_for decided login alice allowed ''
    wait_for decided token bob allowed release/docker
    wait_for decided access alice refused bob/docker
    wait_for decided access bob refused release/docker
    if grep -q 'password of' "$AUDIT" "$WORK/registry.log"; then echo "a password is in a log" >&2; return 1; fi
}

# The engine with a machine token in the place of a user and a password.
robot() {
    local robot='robot$ci' secret config=(--config "$WORK/docker-robot")
    step "docker: a machine token is a password, for what it was made for, until it is revoked"
    ok "$BREAKWATER_BIN" token create --name ci --repository 'team/**' --action push --expires 1h --config "$WORK/config.yml"
    secret=$(grep '^bwt_' "$WORK/said")
    # The rules speak of no robot yet; they are read again when their file changes.
    printf '    - {who: "robot:ci", repositories: "**", actions: [pull, push]}\n' >>"$WORK/config.yml"
    wait_for may_push "$robot:$secret"
    ok docker "${config[@]}" login --username "$robot" --password "$secret" "$REGISTRY"
    docker tag "${DOCKER_IMAGES[0]}" "$REGISTRY/team/docker:robot"
    ok docker "${config[@]}" push "$REGISTRY/team/docker:robot"
    docker tag "${DOCKER_IMAGES[0]}" "$REGISTRY/bob/docker:robot"
    refused "${CLOSED[docker]}" docker "${config[@]}" push "$REGISTRY/bob/docker:robot"
    "$BREAKWATER_BIN" token list --json --config "$WORK/config.yml" | jq -e '.[0].name == "ci" and .[0].last_used != null' >/dev/null
    ok "$BREAKWATER_BIN" token revoke ci --config "$WORK/config.yml"
    refused 'unauthorized|denied' docker "${config[@]}" push "$REGISTRY/team/docker:robot"
    if grep -q "$secret" "$AUDIT" "$WORK/registry.log"; then echo "a secret is in a log" >&2; return 1; fi
}

may_push() {
    local query='service=test&scope=repository:team/docker:push'
    "${INSIDE[@]}" curl -sS --cacert "$WORK/ca.crt" -u "$1" "https://$REGISTRY/auth/token?$query" | jq -e '.scope == "repository:team/docker:push"'
}

load_images
for client in "${CLIENTS[@]}"; do rights_with "$client"; done
lists
hides
is_written_down
robot
