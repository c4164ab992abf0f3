#!/usr/bin/env bash
# kill -9 in the middle of pushes, a hundred times; crash.py says what must hold afterwards.
# CRASH_SEED repeats a run's choices (not the scheduler's), CRASH_ROUNDS changes how many.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
needs curl openssl python3

make_certificate
MODE=basic
write_config basic
step "kill -9 in the middle of pushes"
python3 "$HERE/crash.py" "$BREAKWATER_BIN" "$WORK/config.yml" "$REGISTRY" "$WORK/ca.crt" "$NAME:$PASSWORD"
