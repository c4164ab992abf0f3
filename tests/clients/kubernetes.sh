#!/usr/bin/env bash
# The manifests and the chart, against the schemas of Kubernetes; the configuration in them, in the registry. Every command of deploy/kubernetes.md.
#
# There is no cluster here: what the page hands to one is looked at instead.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
needs helm kubectl kubernetes-validate curl

export PATH=$WORK/bin:$PATH KUBECONFIG=$WORK/no-cluster
mkdir "$WORK/bin"
ln -s "$BREAKWATER_BIN" "$WORK/bin/breakwater"
cd "$WORK"
CHART=$TREE/deploy/helm/breakwater

# What the schemas say; those of other people's kinds are not among them.
valid() {
    awk -v RS='(^|\n)---\n' '!/kind: ServiceMonitor/ { print "---\n" $0 }' "$1" >"$1.known"
    ok kubernetes-validate --strict "$1.known"
    same "$(grep -c '^INFO .* passed ' "$WORK/said")" "$(grep -c '^kind: ' "$1.known")"
}

# The registry starts with the config.yml of a manifest, and answers the probe; the paths are those of this test. Argument: a file of manifests.
serves() {
    local port
    port=$(free_port)
    awk '/^  config.yml: \|/ { on = 1; next } on && !/^    / { exit } on { print substr($0, 5) }' "$1" |
        sed -E "s,/var/lib/registry,$WORK/root,; s,/auth/htpasswd,$WORK/htpasswd,; s,addr: \"?:5000\"?,addr: 127.0.0.1:$port," >"$WORK/config.yml"
    [ -s "$WORK/config.yml" ]
    ok "$BREAKWATER_BIN" check-config "$WORK/config.yml"
    start registry "$BREAKWATER_BIN" serve "$WORK/config.yml"
    for path in /healthz /readyz; do
        wait_for curl --fail -sS "http://127.0.0.1:$port$path"
        grep -q "httpGet: {path: $path, port: http" "$1"
    done
    same "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/v2/")" "$2"
    stop registry
    rm -rf "$WORK/root"
}

# As much as the `restricted` level of Pod Security wants, and no second server for one data root.
hardened() {
    local line
    for line in 'replicas: 1' 'type: Recreate' 'runAsNonRoot: true' 'runAsUser: 65532' 'fsGroup: 65532' 'type: RuntimeDefault' \
        'allowPrivilegeEscalation: false' 'readOnlyRootFilesystem: true' 'drop: \[ALL\]' 'automountServiceAccountToken: false'; do
        grep -Eq "^ +$line\$" "$1" || { echo "lacks: $line" >&2; return 1; }
    done
}

# The commands of a section, with `kubectl apply` and `helm upgrade` only looked at.
page() {
    local script line
    script=$(commands "$1" "s, deploy/, $TREE/deploy/,g")
    while read -r line; do
        case $line in
            *'| kubectl apply --filename -')
                bash -euc "${line%|*}" >secret.yaml
                valid secret.yaml ;;
            'kubectl create secret '*)
                bash -euc "$line --dry-run=client --output yaml" >secret.yaml
                valid secret.yaml ;;
            'kubectl apply --filename '*)
                cp "${line##* }" "$WORK/applied.yaml"
                valid applied.yaml ;;
            'helm upgrade --install '*) bash -euc "helm template ${line#helm upgrade --install }" >rendered.yaml ;;
            *) ok bash -euc "$line" ;;
        esac
    done <<<"$script"
    tried "$1"
}

read_page kubernetes.md
step "the manifests"
page Manifests
grep -q "htpasswd: $(base64 -w0 htpasswd)" secret.yaml
hardened "$TREE/deploy/kubernetes/breakwater.yaml"
serves "$TREE/deploy/kubernetes/breakwater.yaml" 401
step "what is wrong would have been found"
sed 's/replicas: 1/replicas: one/' "$TREE/deploy/kubernetes/breakwater.yaml" >wrong.yaml
refused "'one' is not of type" valid wrong.yaml
sed 's/runAsNonRoot/runAsNobody/' "$TREE/deploy/kubernetes/breakwater.yaml" >wrong.yaml
refused runAsNobody valid wrong.yaml
refused 'lacks: runAsNonRoot' hardened wrong.yaml

step "the chart, as it comes"
ok helm lint --strict "$CHART"
helm template registry "$CHART" >default.yaml
valid default.yaml
hardened default.yaml
serves default.yaml 200
step "the chart, with the values of the page"
settings Helm >values.yaml
page Helm
valid rendered.yaml
hardened rendered.yaml
serves rendered.yaml 401
same "$(grep '^kind: ' rendered.yaml | sort | xargs)" \
    'kind: Deployment kind: Ingress kind: PersistentVolumeClaim kind: Secret kind: Service kind: ServiceMonitor'
same "$(grep -c 'secretName: breakwater-auth' rendered.yaml)" 1

step "the chart, with each value another"
cat >other.yaml <<'YAML'
image: {repository: example.org/r, tag: "9", pullPolicy: Always}
imagePullSecrets: [{name: pull}]
config:
  http: {addr: ":8443", tls: {certificate: /tls/tls.crt, key: /tls/tls.key}}
auth: {htpasswd: "alice:$2y$10$x"}
env: [{name: REGISTRY_LOG_LEVEL, value: debug}]
persistence: {storageClassName: fast, size: 1Ti, keep: false}
service: {type: LoadBalancer, port: 443, annotations: {a/b: c}}
podAnnotations: {d: e}
nodeSelector: {disk: ssd}
tolerations: [{key: k, operator: Exists}]
affinity: {nodeAffinity: {}}
resources: {}
YAML
helm template registry "$CHART" --values other.yaml >rendered.yaml
valid rendered.yaml
for expected in 'image: "example.org/r:9"' 'containerPort: 8443' 'path: /readyz, port: http, scheme: HTTPS' 'storageClassName: fast' 'storage: 1Ti' \
    'type: LoadBalancer' 'secretName: registry-breakwater-auth' "htpasswd: \"alice:\$2y\$10\$x\"" 'disk: ssd'; do
    grep -qF "$expected" rendered.yaml || { echo "not rendered: $expected" >&2; exit 1; }
done
same "$(grep -c 'resource-policy' rendered.yaml || true)" 0
step "the chart refuses what it does not know"
refused 'additional properties .replicas. not allowed|Additional property replicas is not allowed' helm template registry "$CHART" --set replicas=2
refused 'persistence' helm template registry "$CHART" --set persistence.size=big
all_are_tried
