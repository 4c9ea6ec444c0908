#!/usr/bin/env python3
"""Make the captures in pcaps/ in which devices say who they are: discovery-*.pcap.

    make_discovery_pcaps.py [--out pcaps]

A printer is plugged into a port of a switch and a server into another, each a network
namespace of its own. The printer gets its addresses from dnsmasq by ISC's dhclient, tells its
name by Avahi, Samba's nmbd and lldpd, and asks dnsmasq, by dig, for the address of a mail
server. tcpdump listens at the printer's port of the switch: all that is in the files comes
from the programs and the kernel. Names and addresses belong to nobody.

Takes root, for the namespaces, and Debian's packages in ``NEEDS``.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from make_program_pcaps import missing, running  # noqa: E402 - lies beside this file
from namespaces import Namespace, namespace  # noqa: E402 - lies in tests/

NEEDS = {
    "avahi-daemon": "avahi-daemon",
    "dhclient": "isc-dhcp-client",
    "dig": "bind9-dnsutils",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "lldpd": "lldpd",
    "nmblookup": "samba-common-bin",
    "nmbd": "samba",
    "tcpdump": "tcpdump",
}
"""Program, and the Debian package that brings it."""

MAC = "3c:2a:f4:00:00:50"
SERVER, SERVER_6 = "10.40.0.1", "2001:db8:40::1"
DHCLIENT = """
send host-name "HP3C2AF4";
send vendor-class-identifier "Hewlett-Packard JetDirect";
send fqdn.fqdn "HP3C2AF4.office.example";
request subnet-mask, routers;
"""

SET_ADDRESS = """#!/bin/sh
case "$reason" in
BOUND) ip address add "$new_ip_address/24" dev eth0 ;;
BOUND6) ip address add "$new_ip6_address/64" dev eth0 nodad ;;
esac
"""

AVAHI = """[server]
host-name=hp-3c2af4
allow-interfaces=eth0
enable-dbus=no
[publish]
publish-hinfo=no
publish-workstation=no
"""

PRINTER = """<?xml version="1.0"?><!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>Printer in the hall</name><service><type>_ipp._tcp</type><port>631</port>
<txt-record>txtvers=1</txt-record><txt-record>rp=ipp/print</txt-record>
<txt-record>ty=HP Color LaserJet MFP M477fdw</txt-record>
<txt-record>note=Hall, first floor</txt-record></service></service-group>
"""

SAMBA = """[global]
netbios name = COPIER-HALL
workgroup = OFFICE
interfaces = eth0
bind interfaces only = yes
disable netbios = no
"""

DNSMASQ = """
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --no-ping --local-ttl=300
--interface=eth0 --bind-interfaces --user=root --pid-file
--dhcp-range=10.40.0.100,10.40.0.150,1h --dhcp-range=2001:db8:40::100,2001:db8:40::1ff,1h
--cname=outlook.office365.com,ooc-g2.tm-4.office.com
--cname=ooc-g2.tm-4.office.com,outlook.ms-acdc.office.com
--host-record=outlook.ms-acdc.office.com,203.0.113.7,2001:db8:113::7
--host-record=www.example.org,203.0.113.8
"""


def main() -> int:
    """Make the captures."""
    parser = argparse.ArgumentParser(description="Make the captures of devices' names")
    parser.add_argument("--out", type=Path, default=ROOT / "pcaps", help="folder to write into")
    asked = parser.parse_args()
    if os.geteuid():
        print("Network namespaces take root.", file=sys.stderr)
        return 1
    if packages := missing(NEEDS):
        subprocess.run([ROOT / "tools" / "install_debian.sh", *packages], check=True)  # noqa: S603 - ours
    with tempfile.TemporaryDirectory() as made, network() as (switch, printer, server):
        folder = Path(made)
        for name, text in (
            ("dhclient.conf", DHCLIENT),
            ("avahi.conf", AVAHI),
            ("smb.conf", SAMBA),
            ("set-address", SET_ADDRESS),
            ("hall.service", PRINTER),
        ):
            (folder / name).write_text(text)
        (folder / "set-address").chmod(0o755)
        lease = f"--dhcp-leasefile={folder / 'leases'}"
        with running(server, *DNSMASQ.split(), lease):
            for name, play in PLAYS.items():
                path = asked.out / f"discovery-{name}.pcap"
                with recorded(switch, path, FILTERS[name]):
                    play(printer, server, folder)
                print(f"{path.name}: {path.stat().st_size} octets", file=sys.stderr)
    return 0


@contextlib.contextmanager
def network() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """Make the switch, and what is plugged into it."""
    with namespace() as switch, namespace() as printer, namespace() as server:
        switch.ip("link add br0 type bridge forward_delay 0 mcast_snooping 0")
        switch.ip("link set br0 addrgenmode none up")
        for number, (port, where, mac) in enumerate(
            (("port1", printer, MAC), ("port2", server, "02:00:0a:28:00:01")), 1
        ):
            switch.ip(f"link add {port} type veth peer name eth0 netns {where.name}")
            switch.ip(f"link set {port} address 02:00:0a:28:01:0{number} addrgenmode none")
            switch.ip(f"link set {port} master br0 up")
            where.ip(f"link set eth0 address {mac} up")
            where.run("sysctl", "-q", "net.ipv6.conf.eth0.accept_dad=0")
        server.ip(f"address add {SERVER}/24 dev eth0")
        server.ip(f"address add {SERVER_6}/64 dev eth0 nodad")
        time.sleep(2.5)  # until the link-local addresses may be used
        yield switch, printer, server


@contextlib.contextmanager
def recorded(switch: Namespace, path: Path, what: str) -> Iterator[None]:
    """Write what passes the printer's port of the switch into ``path``."""
    command = ["tcpdump", "-i", "port1", "--immediate-mode", "-U", "-Z", "root", "-w", str(path)]
    with running(switch, *command, what, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None  # noqa: S101 - for mypy: it is a pipe
        while "listening on" not in (line := process.stderr.readline()):
            if not line:
                raise SystemExit("tcpdump has ended")
        yield
        time.sleep(0.5)


def dhcp(printer: Namespace, _server: Namespace, folder: Path) -> None:
    """Get an address of each kind, and let them go again."""
    common = ["-cf", str(folder / "dhclient.conf"), "-sf", str(folder / "set-address")]
    for kind in ("-4", "-6"):
        files = ["-lf", str(folder / f"lease{kind}"), "-pf", str(folder / f"pid{kind}")]
        printer.run("dhclient", kind, "-1", "-v", *common, *files, "eth0")
    printer.run("dhclient", "-6", "-r", *common, *files, "eth0")


def dns(printer: Namespace, _server: Namespace, _folder: Path) -> None:
    """Ask for a server's addresses, and for what is nobody's business."""
    for kind, name in (
        ("A", "outlook.office365.com"),
        ("AAAA", "outlook.office365.com"),
        ("A", "www.example.org"),
    ):
        printer.run("dig", "+tries=1", f"@{SERVER}", kind, name)


def mdns(printer: Namespace, _server: Namespace, folder: Path) -> None:
    """Announce a printer, and say goodbye."""
    shell = (
        f"mount -t tmpfs none /run/avahi-daemon && mount --bind {folder} /etc/avahi/services"
        f" && exec avahi-daemon -f {folder / 'avahi.conf'} --no-drop-root --no-rlimits --no-chroot"
    )
    Path("/run/avahi-daemon").mkdir(exist_ok=True)
    with running(printer, "sh", "-c", shell):
        time.sleep(6)


def netbios(printer: Namespace, server: Namespace, folder: Path) -> None:
    """Register a name, and tell it to whoever asks."""
    places = [
        f"--option={name} directory={folder}"
        for name in ("lock", "state", "cache", "pid", "private")
    ]
    config = f"--configfile={folder / 'smb.conf'}"
    command = ["nmbd", "--foreground", "--no-process-group", "--debug-stdout", config, *places]
    with running(printer, *command, f"--option=log file={folder / 'log'}"):
        time.sleep(8)
        server.run("nmblookup", config, "-B", "10.40.0.255", "COPIER-HALL")
        server.run("nmblookup", config, "-A", address(printer))


def lldp(printer: Namespace, _server: Namespace, _folder: Path) -> None:
    """Introduce the printer to the switch."""
    shell = (
        "hostname copier-hall && mount -t tmpfs none /run && mkdir /run/lldpd"
        " && exec lldpd -d -I eth0 -C eth0 -S 'HP ETHERNET MULTI-ENVIRONMENT'"
    )
    with running(printer, "unshare", "--uts", "sh", "-c", shell):
        time.sleep(5)


def address(place: Namespace) -> str:
    """Return the IPv4 address of a place."""
    words = place.ip("-4 -o address show dev eth0").split()
    return words[words.index("inet") + 1].partition("/")[0]


PLAYS = {"dhcp": dhcp, "dns": dns, "mdns": mdns, "netbios": netbios, "lldp": lldp}
FILTERS = {
    "dhcp": "udp port 67 or udp port 68 or udp port 546 or udp port 547",
    "dns": "udp port 53",
    "mdns": "udp port 5353",
    "netbios": "udp port 137",
    "lldp": "ether proto 0x88cc",
}

if __name__ == "__main__":
    sys.exit(main())
