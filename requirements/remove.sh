# Removes from a folder what a list of patterns names: sh remove.sh LIST FOLDER
# A pattern that matches nothing is an error: a new version of a package may have moved what it named.
# `x86_64:PATTERN` is for that machine alone.
set -eu
list=$(realpath "$1")
cd "$2"
sed 's/ *#.*//' "$list" | while read -r line; do
    machine=${line%%:*}
    pattern=${line#*:}
    [ -n "$line" ] || continue
    [ "$machine" = "$line" ] || [ "$machine" = "$(uname -m)" ] || continue
    # Not quoted: the shell expands the pattern.
    set -- $pattern
    [ -e "$1" ] || { echo "$list: nothing matches $pattern" >&2; exit 1; }
    rm -r "$@"
done
