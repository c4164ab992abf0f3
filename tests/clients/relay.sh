#!/usr/bin/env bash
# One directory and one configuration file, served in turn by a stock registry and by us: 2.8.2, then 3.x.
#
# What was observed of the stock registries (2.8.2 and 3.1.2) with content that was pushed to us by sha512 names:
# - both serve it, manifest and layer, by the sha512 name as by the sha256 name, and by the tag;
# - a manifest with a sha512 name whose descriptors are sha256 names outlives `garbage-collect`, and `-m` where it has a tag: the
#   tag holds its sha256 name, and theirs is no other;
# - where a descriptor is a sha512 name, `garbage-collect` of both removes that layer, which is in use: they mark the name that
#   the manifest has and sweep by sha256 names. 3.1.2 fails over it in the first run (it removes the layer's link twice). Such
#   content must not be collected by them.
# Beside that, `garbage-collect -m` of 2.8.2 removes the children of every index that have no tag (distribution#3178).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs crane docker-registry registry curl jq openssl python3

make_certificate
make_layout "$WORK/one" 1
make_layout "$WORK/two" 2
head -c 3000000 /dev/urandom >"$WORK/large"
head -c 1000000 "$WORK/large" >"$WORK/first"
tail -c +1000001 "$WORK/large" >"$WORK/rest"
MANIFEST=application/vnd.oci.image.manifest.v1+json
LARGE=sha256:$(sha256sum <"$WORK/large" | cut -c1-64)

# Serves the directory with `breakwater`, or with a stock registry, which takes the same file in Basic mode.
serve() {
    stop registry
    if [ "$1" = breakwater ]; then
        MODE=token
        start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    else
        MODE=basic
        start registry env OTEL_TRACES_EXPORTER=none "$1" serve "$WORK/config.yml"
    fi
    wait_for answers
}

# curl with the right to do anything in a repository. Arguments: repository, then curl's.
call() {
    local repository=$1
    shift
    curl -sS --fail-with-body --cacert "$WORK/ca.crt" -H "Authorization: $(authorization "repository:$repository:pull,push,delete")" "$@"
}

# Begins an upload and sends its first piece; prints where it goes on.
begin_upload() {
    local location
    location=$(call "$1" -X POST -D - -o /dev/null "https://$REGISTRY/v2/$1/blobs/uploads/" | header location)
    call "$1" -X PATCH -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/first" -D - -o /dev/null "$location" | header location
}

# Sends the rest of an upload and reads the blob back.
finish_upload() {
    local location
    location=$(call "$1" -X PATCH -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/rest" -D - -o /dev/null "$2" | header location)
    call "$1" -X PUT -o /dev/null "$location&digest=$LARGE"
    call "$1" "https://$REGISTRY/v2/$1/blobs/$LARGE" | cmp - "$WORK/large"
}

header() {
    tr -d '\r' | sed -n "s/^$1: //Ip"
}

# Pushes a file as a blob under a digest.
push_blob() {
    local location
    location=$(call "$1" -X POST -D - -o /dev/null "https://$REGISTRY/v2/$1/blobs/uploads/" | header location)
    call "$1" -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$3" -o /dev/null "$location&digest=$2"
}

digest() {
    echo "$1:$("$1sum" <"$2" | cut -d ' ' -f 1)"
}

# The status of a GET. Arguments: repository, path below it.
status_of() {
    curl -s --cacert "$WORK/ca.crt" -H "Authorization: $(authorization "repository:$1:pull")" -H "Accept: $MANIFEST" \
        -o /dev/null -w '%{http_code}' "https://$REGISTRY/v2/$1/$2"
}

# Pushes an image whose manifest and layer have sha512 names, with a tag. The argument is the algorithm of its descriptors.
push_named() {
    local repository=sha512/of-$1 layer=$WORK/layer-$1 manifest=$WORK/manifest-$1
    head -c 5000 /dev/urandom >"$layer"
    echo '{}' >"$WORK/config"
    push_blob "$repository" "$(digest sha256 "$WORK/config")" "$WORK/config"
    push_blob "$repository" "$(digest "$1" "$layer")" "$layer"
    jq -cn --arg type "$MANIFEST" --arg config "$(digest sha256 "$WORK/config")" --arg layer "$(digest "$1" "$layer")" '{schemaVersion: 2,
        mediaType: $type, config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: 3},
        layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer, size: 5000}]}' >"$manifest"
    call "$repository" -X PUT -H "Content-Type: $MANIFEST" --data-binary "@$manifest" -o /dev/null \
        "https://$REGISTRY/v2/$repository/manifests/$(digest sha512 "$manifest")?tag=v1"
}

# What a registry answers to each name of what push_named pushed: manifest by tag, sha256, sha512; layer by sha256, sha512.
statuses() {
    local repository=sha512/of-$1 layer=$WORK/layer-$1 manifest=$WORK/manifest-$1 all=()
    all+=("$(status_of "$repository" manifests/v1)")
    for algorithm in sha256 sha512; do all+=("$(status_of "$repository" "manifests/$(digest $algorithm "$manifest")")"); done
    for algorithm in sha256 sha512; do all+=("$(status_of "$repository" "blobs/$(digest $algorithm "$layer")")"); done
    echo "${all[*]}"
}

relay() {
    local stock=$1 theirs ours
    export DOCKER_CONFIG=$WORK/docker-$stock
    write_config token
    rm -rf "$ROOT"
    ok crane auth login "$REGISTRY" -u "$NAME" -p "$PASSWORD"

    step "$stock serves: push, and begin an upload"
    serve "$stock"
    ok crane push --index "$WORK/one" "$REGISTRY/by/stock:multi"
    theirs=$(begin_upload by/stock)

    step "we serve its directory: pull, finish its upload"
    serve breakwater
    ok crane validate --remote "$REGISTRY/by/stock:multi"
    finish_upload by/stock "$theirs"
    step "push, mount its layers, move its tag, begin an upload"
    ok crane push --index "$WORK/two" "$REGISTRY/by/us:multi"
    ok crane copy "$REGISTRY/by/stock:multi" "$REGISTRY/by/us:copy"
    ok crane tag "$REGISTRY/by/stock:multi" moved
    push_named sha256
    same "$(statuses sha256)" "200 200 200 200 404"
    ours=$(begin_upload by/us)

    step "$stock serves our directory: pull, finish our upload"
    serve "$stock"
    for image in by/us:multi by/us:copy by/stock:multi by/stock:moved; do ok crane validate --remote "$REGISTRY/$image"; done
    same "$(crane catalog "$REGISTRY" | xargs)" "by/stock by/us sha512/of-sha256"
    finish_upload by/us "$ours"
    same "$(statuses sha256)" "200 200 200 200 404"

    step "$stock collects garbage; we serve what it left"
    stop registry
    ok "$stock" garbage-collect "$WORK/config.yml"
    serve breakwater
    for image in by/us:multi by/us:copy by/stock:multi by/stock:moved; do ok crane validate --remote "$REGISTRY/$image"; done
    same "$(statuses sha256)" "200 200 200 200 404"

    step "$stock and an image whose descriptors are sha512 names"
    push_named sha512
    same "$(statuses sha512)" "200 200 200 200 200"
    serve "$stock"
    echo "    served: $(statuses sha512)"
    collect_and_tell
    collect_and_tell -m
    stop registry
}

# Lets the stock registry collect, and says what is left of what has sha512 names, and of the others.
collect_and_tell() {
    local said=done
    stop registry
    "$stock" garbage-collect "$@" "$WORK/config.yml" >"$WORK/said" 2>&1 || said="fails: $(tail -n 1 "$WORK/said" | cut -c 1-100)"
    serve breakwater
    echo "    garbage-collect $*: $said"
    echo "    sha256 descriptors: $(statuses sha256); sha512 descriptors: $(statuses sha512)"
    if crane validate --remote "$REGISTRY/by/us:multi" >/dev/null 2>&1; then echo "    the index is whole"; else echo "    the index is broken"; fi
}

relay docker-registry
relay registry
