#!/bin/sh
# Prints what CHANGELOG.md says of a version, with links to docs/ below an address: notes.sh VERSION [ADDRESS]
# Fails if it says nothing, or if Cargo.toml has another version.
set -eu
version=$1 address=${2:+$2/}
cd "$(dirname "$0")/../.."

crate=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$crate" = "$version" ] || { echo "Cargo.toml has version $crate, not $version" >&2; exit 1; }

notes=$(awk -v version="$version" '
    /^## / { inside = ($2 == version) ; next }
    inside { print }
' CHANGELOG.md)
[ -n "$(printf %s "$notes" | tr -d '[:space:]')" ] || { echo "CHANGELOG.md has no section '## $version' with content" >&2; exit 1; }
printf '%s\n' "$notes" | sed "s#](docs/#](${address}docs/#g"
