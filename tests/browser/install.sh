#!/usr/bin/env bash
# Install Debian's chromium for tests/browser, or say in one line why that cannot be.
set -euo pipefail

refuse() { echo "Browser tests cannot run: $1" >&2; exit 1; }

! command -v chromium > /dev/null || exit 0
[ "$(id -u)" -eq 0 ] || refuse "no chromium, and not root"
command -v apt-get > /dev/null || refuse "no chromium and no apt-get (not Debian or Ubuntu)"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
apt-get update > "$log" 2>&1 && apt-get install -y --no-install-recommends chromium fonts-dejavu-core >> "$log" 2>&1 \
  || refuse "apt-get failed: $(grep -E '^E:' "$log" | tail -n 1 || tail -n 1 "$log") (all of it: $log)"
rm -f "$log"
