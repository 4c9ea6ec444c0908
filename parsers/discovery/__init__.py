"""What devices call themselves: DHCP, mDNS, NetBIOS, LLDP, and what DNS servers answer.

Each module reads one message where it lies and tells ``(answer, facts)``: FOUND; NEED_MORE
with what the octets do hold, or None; NO_MATCH. Texts are octets as the wire had them.
"""
