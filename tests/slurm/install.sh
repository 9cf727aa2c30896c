#!/usr/bin/env bash
# Install what tests/slurm starts, on Debian or Ubuntu, or say in one line why that cannot be.
set -euo pipefail

PROGRAMS=(munged mariadbd mariadb-install-db slurmdbd slurmctld slurmd sbatch sacct)
PACKAGES=(slurmctld slurmd slurm-client slurmdbd slurm-wlm-mysql-plugin munge mariadb-server)
export PATH=$PATH:/usr/sbin:/sbin

missing() { for program in "${PROGRAMS[@]}"; do command -v "$program" >/dev/null || echo "$program"; done; }
refuse() { echo "SLURM tests cannot run: $1" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || refuse "not root (slurmd starts jobs as their user); try a container"
[ -n "$(missing)" ] || exit 0
command -v apt-get >/dev/null || refuse "no $(missing | tr '\n' ' ')and no apt-get (not Debian or Ubuntu)"

# The tests start daemons of their own; those of the packages must not start on installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
apt-get update > "$log" 2>&1 && apt-get install -y --no-install-recommends "${PACKAGES[@]}" >> "$log" 2>&1 \
  || refuse "apt-get failed: $(grep -E '^E:' "$log" | tail -n 1 || tail -n 1 "$log") (all of it: $log)"
[ -z "$(missing)" ] || refuse "installed, but there is still no $(missing | tr '\n' ' ')"
rm -f "$log"
