#!/bin/sh
# install_debian.sh PACKAGE...: installs them where that is allowed, which takes root and
# apt-get. Anywhere else prints the one command to run, and fails.
#
# A daemon that comes with a package (Debian's prometheus starts one) is neither started
# nor enabled: tests and tools start their own, on ports of their own.
set -eu

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing here: $*. Install with:" >&2
    echo "    sudo apt-get install --no-install-recommends $*" >&2
    exit 1
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi

echo "Installing Debian packages: $*"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends "$@" >/dev/null
for daemon in prometheus dovecot postfix postgresql avahi-daemon lldpd; do
    case " $*" in
    *" $daemon"*) update-rc.d $daemon disable ;; # for systemd too
    esac
done
