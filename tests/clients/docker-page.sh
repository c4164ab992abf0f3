#!/usr/bin/env bash
# Every command of deploy/docker.md, on a dockerd of the test's own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
needs docker dockerd containerd docker-compose curl openssl strip
needs_root "dockerd"

PORT=$(free_port)
REGISTRY=$LISTEN:$PORT
# The checkout, the data and the port are other ones here, and containers are on the network of the machine, where the engine has no bridge.
HERE_INSTEAD="s, deploy/image/build, $TREE/deploy/image/build,; s,^deploy/image/build,$TREE/deploy/image/build,; s,/srv/registry,$WORK/srv,g"
HERE_INSTEAD+="; s,-p 5000:5000,--network host -e REGISTRY_HTTP_ADDR=$REGISTRY,; s,localhost:5000,$REGISTRY,g"
HERE_INSTEAD+="; s,--file deploy/(compose[.a-z]*yml),--file $WORK/\\1,"
export CARGO_TARGET_DIR=$WORK/none  # what is built here is the program under test
CLEANUPS+=("umount $WORK/exec/netns/default")
cd "$WORK"

serves() {
    same "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$WORK/ca.crt" "$1://$REGISTRY/v2/")" "$2"
}

# The commands of a section that begin with one of these words; without words, all of them. Waits after each start for an answer.
page() {
    local section=$1 script
    script=$(commands "$section" "$HERE_INSTEAD" | sed -e ':a' -e '/\\$/N; s/\\\n *//; ta')
    while read -r line; do
        [ -n "$line" ] || continue
        ok bash -euc "$line"
        case $line in
            *'docker run -d'*) wait_for answers_now ;;
        esac
    done <<<"$script"
    tried "$section"
}
answers_now() {
    curl -s -o /dev/null "http://$REGISTRY/v2/"
}

read_page docker.md
make_certificate
start_dockerd

step "build and run"
page Build
page Run
grep -q 'the registry serves' "$WORK/said"
step "push and pull"
page 'Push and pull'
grep -q '"breakwater"' "$WORK/said"
same "$(stat -c %u "$WORK/srv")" 65532
step "commands beside it"
page 'Commands beside it'
step "passwords"
page Passwords
step "a configuration of your own"
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\n' >"$WORK/config.yml"
page 'A configuration of your own'
step "as whom it runs"
page 'As whom it runs'

step "compose"
mkdir -p certs
install -m 644 tls.crt certs/tls.crt
install -m 600 -o 65532 tls.key certs/tls.key
for file in compose.yml compose.tls.yml; do
    # As above: the network of the machine, and a port of the test's.
    sed -E -e "s/^    ports: .*/    network_mode: host/" -e "s/^    environment:/&\n      REGISTRY_HTTP_ADDR: \"$REGISTRY\"/" \
        -e '/REGISTRY_HTTP_ADDR: ":443"/d' "$TREE/deploy/$file" >"$WORK/$file"
    ok docker-compose --file "$TREE/deploy/$file" --project-directory "$WORK" config
done
script=$(commands Compose "$HERE_INSTEAD")
scheme=http
while read -r line; do
    ok bash -euc "$line"
    case $line in
        *up*) wait_for serves "$scheme" 401; same "$(curl -s -o /dev/null -w '%{http_code}' --cacert ca.crt -u 'alice:correct horse' "$scheme://$REGISTRY/v2/")" 200 ;;
        *down*) scheme=https ;;
    esac
done <<<"$script"
tried Compose
all_are_tried
