# The commands and configurations of a page in deploy/, as a test runs them. For a script that has sourced lib.sh.
# shellcheck shell=bash

declare -A UNTRIED=()  # the sections of the page that have commands, until they are run, and the configurations, until they are used

# Reads the page: each section's blocks of commands become $WORK/page/SECTION.sh, those of YAML $WORK/page/SECTION.yml.
read_page() {
    rm -rf "$WORK/page"
    mkdir "$WORK/page"
    awk -v to="$WORK/page" '
        /^## / { section = substr($0, 4) }
        /^```/ { if (inside) { close(file); inside = 0 } else if ($0 ~ /^```(sh|yaml)$/) { file = to "/" section ($0 == "```sh" ? ".sh" : ".yml"); inside = 1 } ; next }
        inside { print >> file }
    ' "$TREE/deploy/$1"
    local file
    for file in "$WORK"/page/*; do
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

# The YAML of a section, likewise; it counts as used.
settings() {
    local file=$WORK/page/$1.yml
    [ -s "$file" ] || { echo "no YAML below: $1" >&2; return 1; }
    unset "UNTRIED[$1.yml]"
    sed -E "${2:-}" "$file"
}

# Says that a section's commands have been run.
tried() {
    unset "UNTRIED[$1]"
}

all_are_tried() {
    [ ${#UNTRIED[@]} -eq 0 ] || { echo "commands that no test has run, below: ${!UNTRIED[*]}" >&2; return 1; }
}
