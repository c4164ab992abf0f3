#!/bin/sh
# Makes a CA of your own and a certificate for the names and addresses given:
#   certs/make-ca.sh DIRECTORY NAME-OR-ADDRESS...
# The CA's key lies in DIRECTORY/ca.key: keep it away from the registry, or remove it when no more certificates are wanted.
set -eu

[ $# -ge 2 ] || { echo "usage: $0 DIRECTORY NAME-OR-ADDRESS..." >&2; exit 2; }
directory=$1
shift

names=
for name; do
    case $name in
        *:*) kind=IP ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    names=${names:+$names,}$kind:$name
done

umask 077
mkdir -p "$directory"
if [ ! -e "$directory/ca.key" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=registry CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$directory/ca.key" -out "$directory/ca.crt"
fi
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$directory/registry.key" -out "$directory/registry.csr"
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$names" |
    openssl x509 -req -in "$directory/registry.csr" -CA "$directory/ca.crt" -CAkey "$directory/ca.key" -CAcreateserial \
        -days 397 -extfile /dev/stdin -out "$directory/registry.crt"
rm "$directory/registry.csr"
chmod 644 "$directory/ca.crt" "$directory/registry.crt"
echo "http.tls.certificate: $directory/registry.crt"
echo "http.tls.key:         $directory/registry.key"
echo "for the clients:      $directory/ca.crt"
