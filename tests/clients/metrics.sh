#!/usr/bin/env bash
# Metrics as dashboards and alerts read them: against both stock registries, promtool and a real Prometheus.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl jq openssl skopeo docker-registry registry prometheus promtool python3

DEPLOY=$TREE/deploy
# Pull-through is not there yet, and a file system is not asked for URLs; the rest of what a stock registry has must be.
NOT_YET='^registry_proxy_|action="(URLFor|RedirectURL)"'

# Nobody is there, which is counted too.
NOTIFICATIONS='notifications: {endpoints: [{name: one, url: "http://127.0.0.1:1/"}]}'

make_certificate
write_config basic
PORT=$(free_port)
DEBUG=127.0.0.1:$PORT
cat >>"$WORK/config.yml" <<YAML
metrics: {users: [$NAME]}
$NOTIFICATIONS
YAML
export REGISTRY_LOG_ACCESSLOG_FORMATTER=json
start_registry
unset REGISTRY_LOG_ACCESSLOG_FORMATTER
make_layout "$WORK/layout" one

# Starts a stock registry, open and plain, with its metrics on DEBUG. Arguments: its program.
start_stock() {
    STOCK=127.0.0.1:$(free_port)
    cat >"$WORK/stock.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/stock-$1}, cache: {blobdescriptor: inmemory}, delete: {enabled: true}}
http: {addr: $STOCK, debug: {addr: $DEBUG, prometheus: {enabled: true}}}
$NOTIFICATIONS
YAML
    OTEL_TRACES_EXPORTER=none start stock "$1" serve "$WORK/stock.yml"
    wait_for curl -sf "http://$STOCK/v2/"
}

# The same requests of every kind for each registry. Arguments: what goes before a path, and options of skopeo and of curl.
exercise() {
    local at=$1 scheme=$2
    shift 2
    ok skopeo copy "${SKOPEO[@]}" "oci:$WORK/layout:single" "docker://$at/a:1"
    ok skopeo copy "${SKOPEO[@]/dest/src}" "docker://$at/a:1" "dir:$WORK/pulled-$RANDOM"
    for path in /v2/ /v2/_catalog /v2/a/tags/list /v2/a/manifests/none; do
        curl -sS -o /dev/null "$@" "$scheme://$at$path"
    done
}

# The series of registry_… in a scrape: name and labels, without values and bounds.
series() {
    grep -E '^registry_' "$1" | sed -E 's/ [^ ]+$//; s/,?le="[^"]*"//' | sort -u
}

SKOPEO=(--dest-creds "$NAME:$PASSWORD" --dest-cert-dir "$WORK/certs")
exercise "$REGISTRY" https --cacert "$WORK/ca.crt" -u "$NAME:$PASSWORD"
api /metrics >"$WORK/ours"
series "$WORK/ours" >"$WORK/ours.series"

for stock in docker-registry registry; do
    step "every series of $stock"
    start_stock "$stock"
    SKOPEO=(--dest-tls-verify=false)
    exercise "$STOCK" http
    curl -sSf "http://$DEBUG/metrics" >"$WORK/theirs"
    stop stock
    series "$WORK/theirs" | grep -Ev "$NOT_YET" >"$WORK/theirs.series"
    [ "$(wc -l <"$WORK/theirs.series")" -gt 40 ]
    # How clients look before they push differs by what the server answers: so codes are compared by series, not one by one.
    without_codes() { sed -E 's/code="[0-9]+"/code=""/' "$1" | sort -u; }
    missing=$(comm -23 <(without_codes "$WORK/theirs.series") <(without_codes "$WORK/ours.series"))
    [ -z "$missing" ] || { echo "not served:" "$missing" >&2; exit 1; }
    # The same types too.
    types() { grep -E '^# TYPE (registry|process)_' "$1" | grep -Ev ' (registry_proxy|process_(network|virtual_memory_max))_' | sort; }
    differing=$(comm -23 <(types "$WORK/theirs") <(types "$WORK/ours"))
    [ -z "$differing" ] || { echo "of another type:" "$differing" >&2; exit 1; }
done

step "promtool reads the scrape and the rules"
# A gauge with the name of a counter, which is registry:2's.
grep -v registry_notifications_pending_total "$WORK/ours" >"$WORK/well-named"
ok promtool check metrics <"$WORK/well-named"
ok promtool check rules "$DEPLOY/prometheus/alerts.yml"
ok promtool test rules "$DEPLOY/prometheus/alerts.test.yml"

step "a Prometheus with the configuration and the rules of deploy/"
mkdir "$WORK/prometheus-etc"
cp "$DEPLOY/prometheus/alerts.yml" "$WORK/ca.crt" "$WORK/prometheus-etc/"
printf %s "$PASSWORD" >"$WORK/prometheus-etc/registry-password"
sed "s/registry.example.org/$REGISTRY/; s/username: prometheus/username: $NAME/; s/15s/1s/" \
    "$DEPLOY/prometheus/prometheus.yml" >"$WORK/prometheus-etc/prometheus.yml"
ok promtool check config "$WORK/prometheus-etc/prometheus.yml"
PROMETHEUS=127.0.0.1:$(free_port)
start prometheus prometheus --config.file="$WORK/prometheus-etc/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" \
    --web.listen-address="$PROMETHEUS" --log.level=error
query() { curl -sSf "http://$PROMETHEUS/api/v1/query" --data-urlencode "query=$1"; }
has_data() { [ "$(query "$1" | jq '.data.result | length')" -gt 0 ]; }
wait_for has_data 'count_over_time(breakwater_build_info[1m]) > 4'
same "$(query 'up{job="registry"}' | jq -r '.data.result[0].value[1]')" 1

step "every query of the dashboard finds something"
jq -r '.panels[].targets[].expr' "$DEPLOY/grafana/breakwater.json" >"$WORK/queries"
[ "$(wc -l <"$WORK/queries")" -gt 20 ]
SKOPEO=(--dest-creds "$NAME:$PASSWORD" --dest-cert-dir "$WORK/certs")
exercise "$REGISTRY" https --cacert "$WORK/ca.crt" -u "$NAME:$PASSWORD"
while read -r expression; do
    # What Grafana would put in.
    expression=${expression//\$__rate_interval/1m} expression=${expression//\$instance/.*}
    wait_for has_data "$expression"
done <"$WORK/queries"

step "no alert fires on a registry that is well, whatever the disk of this machine"
are_evaluated() { [ "$(curl -sSf "http://$PROMETHEUS/api/v1/rules" | jq '[.data.groups[].rules[] | select(.health != "ok")] | length')" = 0 ]; }
wait_for are_evaluated
same "$(curl -sSf "http://$PROMETHEUS/api/v1/alerts" | jq -c '.data.alerts | map(.labels.alertname) - ["RegistryDiskNearlyFull"]')" '[]'

step "the access log has a JSON object for each request"
stop registry
grep '^{' "$WORK/registry.log" | grep '"uri"' >"$WORK/access"
jq -es 'all(has("time") and has("client") and has("status") and has("bytes") and has("duration_ms") and has("request_id"))' <"$WORK/access" >/dev/null
LAYER=$(jq -s '[.[] | select(.method == "GET" and (.uri | contains("/blobs/sha256")) and .status == 200)] | max_by(.bytes) | .bytes' <"$WORK/access")
[ "$LAYER" -gt 1000 ] || { echo "no download in the access log says its length" >&2; exit 1; }
