#!/usr/bin/env bash
# The Debian package: built, looked at by lintian, installed and removed on a copy of this machine. Every command of deploy/debian.md.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$HERE/page.bash"
needs dpkg-deb dpkg-shlibdeps lintian apt-get unshare mandoc col bash zsh fish curl strip
needs_root "dpkg on a copy of this machine"

# A layer over this machine's files, so that what is installed is not installed here. No systemd runs there.
COPY=$WORK/copy
make_copy() {
    mkdir "$WORK/layer" "$COPY"
    mount -t tmpfs tmpfs "$WORK/layer"
    CLEANUPS+=("umount $WORK/layer")
    mkdir "$WORK/layer/upper" "$WORK/layer/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/layer/upper,workdir=$WORK/layer/work" "$COPY"
    CLEANUPS=("umount $COPY" "${CLEANUPS[@]}")
    # What this machine has of the names that the package takes.
    ok inside 'dpkg --purge docker-registry'
    rm -rf "$COPY"/etc/docker "$COPY"/var/lib/registry "$COPY"/lib/systemd/system/breakwater* "$COPY"/etc/systemd/system/breakwater*
    sed -i '/^registry:/d' "$COPY"/etc/{passwd,group,shadow,gshadow}
}
# A command there, with processes and mounts of its own.
inside() {
    # shellcheck disable=SC2016 # expanded by the shell that runs it
    unshare --mount --pid --fork bash -euc 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; exec chroot "$@"' \
        "$COPY" "$COPY" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive \
        bash -euc "mkdir -p /checkout; cd /checkout; $1"
}
page() {
    local line
    while read -r line; do
        ok inside "$line"
        cp "$WORK/said" "$WORK/said-${line%% *}"
    done < <(commands "$1")
    tried "$1"
}
# What of the package is there, and of what it makes.
traces() {
    local place
    for place in etc usr/bin usr/share lib/systemd var/lib/systemd var/lib/registry; do
        [ ! -d "$COPY/$place" ] || find "$COPY/$place" \( -iname '*breakwater*' -o -path '*/etc/docker*' -o -path '*/var/lib/registry*' \) -printf '%p\n'
    done | sed "s,^$COPY/,," | sort
    grep -h '^registry:' "$COPY/etc/passwd" || true
}

read_page debian.md
cd "$WORK"
step "the package is built, twice the same"
export BREAKWATER_BIN
ok bash -euc "$(commands Build "s, *deploy/,$TREE/deploy/,; s, var\$, $WORK/var,")"
tried Build
PACKAGE=$(echo "$WORK"/var/breakwater_*_"$(dpkg --print-architecture)".deb)
[ -s "$PACKAGE" ]
ok "$TREE/deploy/debian/build" "$WORK/again"
cmp "$PACKAGE" "$WORK/again/${PACKAGE##*/}"

step "lintian finds no error"
ok lintian --allow-root --fail-on error "$PACKAGE"

step "manual page and completions"
dpkg-deb --extract "$PACKAGE" "$WORK/files"
mandoc -T lint -W warning "$WORK"/files/usr/share/man/man1/breakwater.1.gz >"$WORK/said" || { cat "$WORK/said" >&2; exit 1; }
mandoc -T ascii "$WORK/files/usr/share/man/man1/breakwater.1.gz" | col -b >"$WORK/page.txt"
grep -q '^SYNOPSIS' "$WORK/page.txt"
# shellcheck disable=SC2016 # expanded by the shells that run it
ok bash -euc 'source "$0"; complete -p breakwater' "$WORK/files/usr/share/bash-completion/completions/breakwater"
grep -q 'complete .*_breakwater' "$WORK/said"
# shellcheck disable=SC2016
ok zsh -fec 'autoload -U compinit; fpath=($0 $fpath); compinit -D -u; (( $+functions[_breakwater] )); autoload +X _breakwater; [[ $_comps[breakwater] == _breakwater ]]' \
    "$WORK/files/usr/share/zsh/vendor-completions"
ok fish --no-config -c "source $WORK/files/usr/share/fish/vendor_completions.d/breakwater.fish; complete --do-complete 'breakwater check-'"
grep -q '^check-config' "$WORK/said"

step "installed where systemd does not run"
make_copy
mkdir -p "$COPY/checkout/var"
cp "$PACKAGE" "$COPY/checkout/var/"
traces >"$WORK/before"
page Install
same "$(cat "$WORK/said-breakwater")" "breakwater $(dpkg-deb --field "$PACKAGE" Version)"
same "$(inside 'stat -c %U:%G:%a /var/lib/registry')" registry:registry:750
[ -L "$COPY/etc/systemd/system/multi-user.target.wants/breakwater.service" ]
ok systemd-analyze verify --root "$COPY" --recursive-errors=no breakwater.service breakwater.socket
if grep breakwater "$WORK/said"; then exit 1; fi >&2

step "what it installs serves, on this machine only"
same "$(sed -nE 's/^ *addr: ([^ ]*).*/\1/p' "$COPY/etc/docker/registry/config.yml")" 127.0.0.1:5000
port=$(free_port)
ok inside "setpriv --reuid registry --regid registry --clear-groups env REGISTRY_HTTP_ADDR=127.0.0.1:$port bash -c '
    breakwater serve & until curl -sS --fail -o /dev/null http://127.0.0.1:$port/readyz 2>/dev/null; do kill -0 \$!; sleep 0.1; done
    curl -sS --fail -o /dev/null -X POST http://127.0.0.1:$port/v2/a/blobs/uploads/; kill \$!; wait'"

step "an upgrade keeps the configuration"
echo '# mine' >>"$COPY/etc/docker/registry/config.yml"
ok inside 'dpkg --force-confdef --force-confold --install var/breakwater_*.deb'
grep -q '^# mine' "$COPY/etc/docker/registry/config.yml"

step "removed: configuration and images stay; purged: images stay"
script=$(commands Remove)
ok inside "$(head -n 1 <<<"$script")"
[ -e "$COPY/etc/docker/registry/config.yml" ]
[ ! -e "$COPY/usr/bin/breakwater" ]
ok inside "$(tail -n +2 <<<"$script")"
tried Remove
traces >"$WORK/after"
[ -d "$COPY/var/lib/registry/docker/registry/v2" ]
same "$(grep -v '^var/lib/registry\|^registry:' "$WORK/after")" "$(cat "$WORK/before")"
grep -q '^registry:' "$WORK/after"

step "purged without images: nothing stays"
rm -rf "$COPY/var/lib/registry"
ok inside 'dpkg --install var/breakwater_*.deb && dpkg --purge breakwater'
same "$(traces)" "$(cat "$WORK/before")"
all_are_tried
