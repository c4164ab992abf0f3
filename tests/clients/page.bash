# The commands of a page in deploy/, as a test runs them. For a script that has sourced lib.sh.
# shellcheck shell=bash

declare -A UNTRIED=()  # the sections of the page that have commands, until they are run

# Reads the page: each section's block of commands becomes $WORK/page/SECTION.sh.
read_page() {
    mkdir -p "$WORK/page"
    awk -v to="$WORK/page" '
        /^## / { section = substr($0, 4) }
        /^```/ { if (inside) { close(file); inside = 0 } else if ($0 == "```sh") { file = to "/" section ".sh"; inside = 1 } ; next }
        inside { print > file }
    ' "$TREE/deploy/$1"
    local file
    for file in "$WORK"/page/*.sh; do
        file=${file##*/}
        UNTRIED[${file%.sh}]=1
    done
}

# The commands of a section, with what differs here put in by a sed script.
commands() {
    local file=$WORK/page/$1.sh
    [ -s "$file" ] || { echo "no commands below: $1" >&2; return 1; }
    sed -E "${2:-}" "$file"
}

# Says that a section's commands have been run.
tried() {
    unset "UNTRIED[$1]"
}

all_are_tried() {
    [ ${#UNTRIED[@]} -eq 0 ] || { echo "commands that no test has run, below: ${!UNTRIED[*]}" >&2; return 1; }
}
