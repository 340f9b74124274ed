#!/bin/sh
# Prints the Homebrew formula of a release: formula.sh OWNER/REPOSITORY VERSION SHA256SUMS
set -eu
repository=$1 version=$2 sums=$3

sum() {
    found=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]orion-server-$1\.tar\.gz\$/\1/p" "$sums")
    [ -n "$found" ] || { echo "$sums does not name orion-server-$1.tar.gz" >&2; exit 1; }
    printf '%s' "$found"
}
source_of() {
    checksum=$(sum "$1")
    cat <<FORMULA
      url "https://github.com/$repository/releases/download/v$version/orion-server-$1.tar.gz"
      sha256 "$checksum"
FORMULA
}

mac_arm=$(source_of aarch64-apple-darwin)
mac_intel=$(source_of x86_64-apple-darwin)
linux_arm=$(source_of aarch64-unknown-linux-musl)
linux_intel=$(source_of x86_64-unknown-linux-musl)
cat <<FORMULA
class OrionServer < Formula
  desc "Live prices and trading signals for dashboards, over Socket.IO and WebSocket"
  homepage "https://github.com/$repository"
  version "$version"
  license "MIT"

  on_macos do
    on_arm do
$mac_arm
    end
    on_intel do
$mac_intel
    end
  end

  on_linux do
    on_arm do
$linux_arm
    end
    on_intel do
$linux_intel
    end
  end

  def install
    bin.install "orion-server"
    doc.install "README.md", "CHANGELOG.md", ".env.example"
  end

  service do
    run opt_bin/"orion-server"
    environment_variables ORION_DATA_DIR: var/"orion-server"
    keep_alive true
    log_path var/"log/orion-server.log"
    error_log_path var/"log/orion-server.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/orion-server --version")
  end
end
FORMULA
