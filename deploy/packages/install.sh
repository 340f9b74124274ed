#!/bin/sh
# Installs the newest release of orion-server for this machine, or the one in ORION_VERSION (v1.2.3), without root:
#
#   curl -fsSL https://github.com/@REPOSITORY@/releases/latest/download/install.sh | sh
#
# ORION_BIN_DIR is where the program goes (default ~/.local/bin), ORION_DOWNLOAD another place to load from. The archive is
# checked against the release's SHA256SUMS before anything is written there; nothing else of the machine is changed.
set -eu

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

# Everything is in a function, so that a script that was cut off on its way does nothing.
main() {
    releases="https://github.com/@REPOSITORY@/releases"
    if [ -n "${ORION_DOWNLOAD:-}" ]; then from=$ORION_DOWNLOAD
    elif [ -n "${ORION_VERSION:-}" ]; then from=$releases/download/$ORION_VERSION
    else from=$releases/latest/download
    fi
    to=${ORION_BIN_DIR:-$HOME/.local/bin}

    case $(uname -m) in
        x86_64 | amd64) machine=x86_64 ;;
        aarch64 | arm64) machine=aarch64 ;;
        *) fail "there is no release for $(uname -m): build it with cargo build --profile dist" ;;
    esac
    case $(uname -s) in
        # Needs nothing of the system but its kernel.
        Linux) target=$machine-unknown-linux-musl ;;
        Darwin) target=$machine-apple-darwin ;;
        *) fail "there is no release for $(uname -s): build it with cargo build --profile dist" ;;
    esac
    archive=orion-server-$target.tar.gz

    if command -v curl >/dev/null; then load() { curl -fsSL --retry 3 -o "$2" "$1"; }
    elif command -v wget >/dev/null; then load() { wget -q -O "$2" "$1"; }
    else fail "curl or wget is needed"
    fi
    if command -v sha256sum >/dev/null; then check() { sha256sum -c "$1" >/dev/null 2>&1; }
    elif command -v shasum >/dev/null; then check() { shasum -a 256 -c "$1" >/dev/null 2>&1; }
    else fail "sha256sum or shasum is needed to check what was loaded"
    fi

    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    say "loading $from/$archive"
    load "$from/$archive" "$dir/$archive" || fail "cannot load $from/$archive"
    load "$from/SHA256SUMS" "$dir/SHA256SUMS" || fail "cannot load $from/SHA256SUMS"
    grep " [ *]\{0,1\}$archive\$" "$dir/SHA256SUMS" >"$dir/wanted" || fail "SHA256SUMS does not name $archive: nothing was installed"
    (cd "$dir" && check wanted) || fail "the checksum of $archive is wrong: nothing was installed"

    tar -xzf "$dir/$archive" -C "$dir"
    mkdir -p "$to"
    # In one step, also over a program that runs.
    cp "$dir/orion-server" "$to/.orion-server.new"
    chmod 755 "$to/.orion-server.new"
    mv -f "$to/.orion-server.new" "$to/orion-server"

    say "installed $("$to/orion-server" --version) as $to/orion-server (checksum verified)"
    case ":$PATH:" in
        *":$to:"*) run=orion-server ;;
        *) run=$to/orion-server
           say "$to is not in PATH; add it: export PATH=\"$to:\$PATH\"" ;;
    esac
    say "start it with $run, then open http://localhost:8080/; its data go into ./data"
}

main
