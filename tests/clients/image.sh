#!/usr/bin/env bash
# The container image, built and run by a dockerd of the test's own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs docker dockerd containerd curl jq openssl python3 strip
needs_root "dockerd"

IMAGE=breakwater-test
PORT=$(free_port)
REGISTRY=$LISTEN:$PORT
# Without a bridge a container has the machine's network or none.
RUN=(docker run --network host --env "REGISTRY_HTTP_ADDR=$REGISTRY" --env REGISTRY_HTTP_DRAINTIMEOUT=20s)
CLEANUPS+=("umount $WORK/exec/netns/default")  # of the containers on the network of the machine
make_payload payload
start_dockerd

# Runs a container named `box` in the background; the arguments are those of `docker run`. Waits until it answers.
serve() {
    docker rm --force --volumes box >/dev/null 2>&1 || true
    ok "${RUN[@]}" --detach --name box "$@"
    wait_for answers_or_ended
    same "$(docker inspect --format '{{.State.Running}}' box)" true || { docker logs box >&2; return 1; }
}

answers_or_ended() {
    curl -sf -o /dev/null "http://$REGISTRY/v2/" || [ "$(docker inspect --format '{{.State.Running}}' box)" = false ]
}

# The container must end by itself, with a failure, and say something that the pattern matches.
refuses() {
    local pattern=$1
    shift
    docker rm --force --volumes box >/dev/null 2>&1 || true
    refused "$pattern" timeout 30 "${RUN[@]}" --name box "$@"
}

# Pushes and pulls an image through the registry.
round_trip() {
    local name=$REGISTRY/team/app:v1 id
    id=$(docker import "$WORK/payload.tar" "$name")
    ok docker push "$name"
    ok docker image rm "$name"
    ok docker pull "$name"
    same "$(docker image inspect --format '{{.Id}}' "$name")" "$id"
    ok docker image rm "$name"
}

# The owner of the process, as the machine sees it, with the capabilities that it could use.
runs_as() {
    local pid
    pid=$(docker inspect --format '{{.State.Pid}}' box)
    awk '/^Uid:|^Gid:/ { printf "%s ", $2 } /^CapPrm:/ { print $2 }' "/proc/$pid/status"
}

# All owners below a directory.
owners() {
    find "$1" -printf '%U:%G\n' | sort -u | tr '\n' ' '
}

CAN_BIND=0000000000000400           # CAP_NET_BIND_SERVICE
CAN_BIND_AND_READ=0000000000000402  # and CAP_DAC_OVERRIDE

step "it is built of a tree, and has at most 40 MiB"
ok bash "$TREE/deploy/image/build" "$WORK/image"
ok docker build --tag "$IMAGE" "$WORK/image"
size=$(docker image inspect --format '{{.Size}}' "$IMAGE")
echo "    $size bytes"
[ "$size" -le $((40 * 1024 * 1024)) ]
same "$(docker image inspect --format '{{json .Config.Volumes}} {{json .Config.ExposedPorts}}' "$IMAGE")" \
    '{"/var/lib/registry":{}} {"5000/tcp":{}}'

step "it takes the arguments of registry:2"
once() {
    docker run --rm --network none "$@"
}
[[ $(once "$IMAGE" --version) == "registry breakwater v"* ]]
ok once "$IMAGE" help
grep -q garbage-collect "$WORK/said"
refused 'no registry has written to /var/lib/registry yet' once "$IMAGE" garbage-collect /etc/docker/registry/config.yml
refused 'cannot read the configuration file /absent.yml' once "$IMAGE" /absent.yml
refused 'cannot read the configuration file /absent.yml' once "$IMAGE" serve /absent.yml
refused 'cannot read the configuration file /absent.yml' once "$IMAGE" registry serve /absent.yml
refused 'cannot read the configuration file /absent.yml' once --entrypoint /bin/registry "$IMAGE" serve /absent.yml
for file in /etc/docker/registry/config.yml /etc/distribution/config.yml; do
    ok once "$IMAGE" check-config "$file"
done
once --entrypoint htpasswd "$IMAGE" -Bbn "$NAME" "$PASSWORD" >"$WORK/htpasswd"
htpasswd -vb "$WORK/htpasswd" "$NAME" "$PASSWORD" 2>/dev/null
ok once --interactive --volume "$WORK:/auth" "$IMAGE" user verify /auth/htpasswd "$NAME" --password-stdin <<<"$PASSWORD"

step "a directory that is not there yet goes to uid 65532"
data=$WORK/new
serve --volume "$data:/var/lib/registry" "$IMAGE"
same "$(runs_as)" "65532 65532 $CAN_BIND"
round_trip
same "$(owners "$data")" '65532:65532 '

same "$(stat -c %a "$data/breakwater")" 700

step "commands beside it"
[[ $(docker exec box registry --version) == "registry breakwater v"* ]]
[[ $(docker exec box bin/registry -v) == "registry breakwater v"* ]]
[[ $(docker exec box /bin/registry -v) == "registry breakwater v"* ]]
ok docker exec box bin/registry garbage-collect -m /etc/docker/registry/config.yml
grep -q 'blobs marked, 0 blobs and 0 manifests eligible for deletion' "$WORK/said"
grep -q 'takes pushes and deletes again' "$WORK/said"
ok docker exec box breakwater health
docker logs box >"$WORK/box.access" 2>/dev/null
grep -q '"PUT /v2/team/app/manifests/v1 HTTP/1.1" 201' "$WORK/box.access"

step "a second start on the same directory"
serve --volume "$data:/var/lib/registry" "$IMAGE"
same "$(runs_as)" "65532 65532 $CAN_BIND"
ok docker pull "$REGISTRY/team/app:v1"
ok docker image rm "$REGISTRY/team/app:v1"

step "an empty directory of root's goes to uid 65532, one of somebody's stays theirs"
mkdir "$WORK/empty" "$WORK/theirs"
serve --volume "$WORK/empty:/var/lib/registry" "$IMAGE"
round_trip
same "$(owners "$WORK/empty")" '65532:65532 '
chown 1000:1001 "$WORK/theirs"
serve --volume "$WORK/theirs:/var/lib/registry" "$IMAGE"
same "$(runs_as)" "1000 1001 $CAN_BIND"
round_trip
same "$(owners "$WORK/theirs")" '1000:1001 '
serve --volume "$WORK/theirs:/var/lib/registry" "$IMAGE"
same "$(runs_as)" "1000 1001 $CAN_BIND"

step "what root has filled stays root's, with a warning and the line that changes it"
stock=$WORK/stock
mkdir "$stock"
cp -r "$TREE/tests/compat/fixture/docker" "$stock/docker"
chown -R 0:0 "$stock"
serve --volume "$stock:/var/lib/registry" "$IMAGE"
same "$(runs_as | cut -d ' ' -f 1,2)" '0 0'
round_trip
same "$(owners "$stock")" '0:0 '
line=$(docker logs box 2>&1 | grep -o 'chown -R [0-9:]* /var/lib/registry')
same "$line" 'chown -R 65532:65532 /var/lib/registry'
chown 1000:1000 "$stock"  # as of a directory that somebody made for the stock registry
serve --volume "$stock:/var/lib/registry" "$IMAGE"
same "$(runs_as | cut -d ' ' -f 1,2)" '0 0'
ok docker stop box
eval "${line/\/var\/lib\/registry/$stock}"
serve --volume "$stock:/var/lib/registry" "$IMAGE"
same "$(runs_as)" "65532 65532 $CAN_BIND"
round_trip
same "$(owners "$stock")" '65532:65532 '

step "a named volume, with root and with --user"
serve --volume data:/var/lib/registry "$IMAGE"
same "$(runs_as)" "65532 65532 $CAN_BIND"
round_trip
serve --volume other:/var/lib/registry --user 65532 --cap-drop ALL "$IMAGE"
same "$(runs_as)" '65532 65532 0000000000000000'
round_trip

step "--user: no change of owner, and a clear refusal where it cannot write"
mkdir "$WORK/given"
refuses '1234:1234 cannot write to /var/lib/registry, which belongs to 0:0; give all of it away: chown -R 1234:1234 /var/lib/registry' \
    --user 1234:1234 --volume "$WORK/given:/var/lib/registry" "$IMAGE"
chown 1234:1234 "$WORK/given"
serve --user 1234:1234 --cap-drop ALL --volume "$WORK/given:/var/lib/registry" "$IMAGE"
same "$(runs_as)" '1234 1234 0000000000000000'
round_trip
same "$(owners "$WORK/given")" '1234:1234 '

step "root without its capabilities, and root that is to stay root"
mkdir "$WORK/bare"
refuses 'cannot be given to 65532:65532|root cannot become' --cap-drop ALL --volume "$WORK/bare:/var/lib/registry" "$IMAGE"
serve --volume "$WORK/bare:/var/lib/registry" "$IMAGE" serve --as-root
same "$(runs_as | cut -d ' ' -f 1,2)" '0 0'
round_trip
same "$(owners "$WORK/bare")" '0:0 '

step "read-only, with the volume only"
serve --read-only --security-opt no-new-privileges --volume "$data:/var/lib/registry" "$IMAGE"
round_trip

step "files that only root may read are read, and said"
mkdir "$WORK/private"
HOST=localhost make_certificate
install -m 600 "$WORK/tls.key" "$WORK/tls.crt" "$WORK/htpasswd" "$WORK/private"
chmod 700 "$WORK/private"
ok docker rm --force box
ok "${RUN[@]}" --detach --name box --volume "$data:/var/lib/registry" --volume "$WORK/private:/private" \
    --env REGISTRY_HTTP_TLS_CERTIFICATE=/private/tls.crt --env REGISTRY_HTTP_TLS_KEY=/private/tls.key --env REGISTRY_AUTH=htpasswd \
    --env REGISTRY_AUTH_HTPASSWD_REALM=test --env REGISTRY_AUTH_HTPASSWD_PATH=/private/htpasswd "$IMAGE"
wait_for answers
same "$(runs_as)" "65532 65532 $CAN_BIND_AND_READ"
docker logs box >"$WORK/box.said" 2>&1
grep -q 'may not read /private/htpasswd /private/tls.crt /private/tls.key: the registry keeps CAP_DAC_OVERRIDE' "$WORK/box.said"
ok docker login --username "$NAME" --password-stdin "$REGISTRY" <<<"$PASSWORD"
ok docker exec box breakwater health

step "its own configuration, by every way to give one"
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {prefix: /own/}\n' >"$WORK/own.yml"
mkdir "$WORK/etc"
cp "$WORK/own.yml" "$WORK/etc/config.yml"
own() {
    ok docker rm --force box
    ok "${RUN[@]}" --detach --name box "$@"
    wait_for curl -sf "http://$REGISTRY/own/v2/"
    ok docker exec box breakwater health
}
own --volume "$WORK/own.yml:/etc/docker/registry/config.yml" "$IMAGE"
own --volume "$WORK/own.yml:/etc/distribution/config.yml" "$IMAGE"
own --volume "$WORK/etc:/etc/docker/registry" "$IMAGE"
own --volume "$WORK/etc:/etc/distribution" "$IMAGE"
own --volume "$WORK/own.yml:/path/own.yml" "$IMAGE" /path/own.yml
own --volume "$WORK/own.yml:/path/own.yml" --env REGISTRY_CONFIGURATION_PATH=/path/own.yml "$IMAGE"
own --volume "$WORK/own.yml:/path/own.yml" --entrypoint /bin/registry "$IMAGE" serve /path/own.yml

step "the health check, with a configuration that only the command names"
sed "s/prefix: .*/addr: '$REGISTRY'}/" "$WORK/own.yml" >"$WORK/addressed.yml"
healthy() {
    same "$(docker inspect --format '{{.State.Health.Status}}' box)" "$1"
}
ok docker rm --force box
ok docker run --network host --detach --init --name box --health-interval 1s --volume "$WORK/addressed.yml:/path/x.yml" "$IMAGE" /path/x.yml
wait_for healthy healthy
ok docker pause box
ok docker unpause box
same "$(docker image inspect --format '{{json .Config.Healthcheck.Test}}' "$IMAGE")" '["CMD","/bin/breakwater","health"]'

step "names are looked up, in the hosts file and by DNS"
ok docker rm --force box
ok docker run --detach --network host --name box --add-host "in-hosts.test:$LISTEN" --env "REGISTRY_HTTP_ADDR=in-hosts.test:$PORT" "$IMAGE"
wait_for curl -sf "http://$REGISTRY/v2/"
ok docker exec box breakwater health
start dns python3 "$HERE/names.py" 127.0.0.53 in-dns.test "$LISTEN"
wait_for grep -q ready "$WORK/dns.log"
echo 'nameserver 127.0.0.53' >"$WORK/resolv.conf"
ok docker rm --force box
ok docker run --detach --network host --name box --volume "$WORK/resolv.conf:/etc/resolv.conf:ro" --env "REGISTRY_HTTP_ADDR=in-dns.test:$PORT" "$IMAGE"
wait_for curl -sf "http://$REGISTRY/v2/"
ok docker exec box breakwater health
grep -q in-dns.test "$WORK/dns.log"
stop dns

step "SIGTERM: what is in flight is finished, and it ends"
serve --volume "$data:/var/lib/registry" "$IMAGE"
location=$(curl -sS -X POST -o /dev/null -D - "http://$REGISTRY/v2/team/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^location: //Ip')
mkfifo "$WORK/body"
# shellcheck disable=SC2016  # the inner shell's
start upload bash -c 'exec curl -sS -v -o /dev/null -H "Expect: 100-continue" -X PATCH -T - "$1" <"$2"' upload "$location" "$WORK/body"
exec 9>"$WORK/body"
printf 'one' >&9
wait_for grep -q '100 Continue' "$WORK/upload.log"
began=$SECONDS
docker stop --time 25 box >"$WORK/stopped" 9>&- &
stopping=$!
wait_for refused . curl -sS "http://$REGISTRY/v2/"
printf 'two' >&9
exec 9>&-
wait "${PIDS[upload]}"
wait "$stopping"
grep -q "HTTP/1.1 202" "$WORK/upload.log"
[ $((SECONDS - began)) -lt 20 ]
same "$(docker inspect --format '{{.State.ExitCode}}' box)" 0
ok docker rm --force --volumes box
