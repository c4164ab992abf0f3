#!/usr/bin/env bash
# The official conformance program of the distribution specification, against the built program over TLS.
#
# It is no part of this tree and nothing here builds it: give its path in CONFORMANCE_BIN. Without that nothing runs, and the
# script says so. The program under test is what BREAKWATER_BIN names, else a release build of this tree.
#
# Every switch of the API and of the data is on, those of the development text too, sparse data excepted: a manifest that
# names absent blobs is refused.
set -euo pipefail
if [ -z "${CONFORMANCE_BIN:-}" ]; then
    echo "SKIPPED: the conformance program does NOT run: CONFORMANCE_BIN does not name it" >&2
    exit 77
fi
CONFORMANCE_BIN=$(realpath "$CONFORMANCE_BIN")
source "$(dirname "${BASH_SOURCE[0]}")/clients/lib.sh"
needs curl openssl python3

make_certificate
export OCI_TLS=enabled OCI_USERNAME=$NAME OCI_PASSWORD=$PASSWORD
for api in PING PULL PUSH REFERRER {TAGS,MANIFESTS,BLOBS}_{ATOMIC,DELETE} TAGS_LIST {MANIFESTS,BLOBS}_DIGEST_HEADER MANIFESTS_TAG_PARAM \
    BLOBS_MOUNT_ANONYMOUS BLOBS_UPLOAD_CANCEL; do
    export "OCI_API_$api=true"
done
for data in IMAGE INDEX INDEX_LIST ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST DATA_FIELD NONDISTRIBUTABLE CUSTOM_FIELDS \
    NO_LAYERS EMPTY_BLOB SHA512; do
    export "OCI_DATA_$data=true"
done
export OCI_DATA_SPARSE=false
# Where its layers that must not be handed on lie.
export REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW='["^https://store[.]example[.]com/"]'

# One run. Arguments: the version, and the name of the test that may be skipped, if any.
conforms() {
    local version=$1 may_skip=$2 log=$WORK/conformance.log
    step "version $version"
    OCI_REGISTRY=$REGISTRY OCI_VERSION=$version OCI_RESULTS_DIR=$WORK/results "$CONFORMANCE_BIN" >"$log" 2>&1 || true
    sed -n '/^OCI Conformance Result/,/^ *Total/s/^/    /p' "$log"
    grep -E '^ *OCI Conformance Test/.*/.*: (FAIL|Error|Skip|Disabled)$' "$log" | sed 's/^ */    /' || true
    grep -q '^OCI Conformance Result: Pass$' "$log"
    ! grep -E '^ *OCI Conformance Test/.*/[^/]*: (Skip|Disabled)$' "$log" | grep -vq "/${may_skip:-none}: "
}

both_versions() {
    # Authorization is not kept between requests, so that each is challenged for the scopes that it needs. A mount without a
    # source names no repository whose scope a token could carry, and becomes an upload: in token mode it is skipped.
    local skipped=
    [ "$MODE" = basic ] || skipped=blob-mount-anonymous
    export OCI_CACHE_AUTH=false
    conforms 1.1 "$skipped"
    conforms dev "$skipped"
}

in_both_modes both_versions
