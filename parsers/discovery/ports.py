"""The UDP ports and the EtherType at which devices, and DNS servers, are heard."""

from parsers.discovery import dhcp, dhcpv6, lldp, mdns, netbios

DNS_PORT = 53
LLDP = lldp.ETHERTYPE

PASSIVE_DESTINATIONS = (
    dhcp.SERVER_PORT,
    dhcp.CLIENT_PORT,
    netbios.PORT,
    dhcpv6.CLIENT_PORT,
    dhcpv6.SERVER_PORT,
    mdns.PORT,
)
"""To which devices say who they are."""
PASSIVE_SOURCES = (netbios.PORT, mdns.PORT)
"""From which they answer whoever asked."""
DNS_SOURCES = (DNS_PORT,)
