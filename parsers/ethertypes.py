"""EtherTypes of protocols that carry no IP packet: nothing is lost by not reading them.

Source: the names of eth.type in `tshark -G values`.
"""

NO_IP = frozenset(
    (
        0x0806,  # ARP
        0x0842,  # Wake-on-LAN
        0x22EA,  # stream reservation
        0x22F0,  # Audio Video Transport
        0x22F3,  # TRILL's own messages
        0x22F4,  # IS-IS
        0x6002,  # DEC remote console
        0x6003,  # DECnet
        0x6004,  # DEC LAT
        0x8035,  # RARP
        0x809B,  # AppleTalk
        0x80F3,  # AppleTalk ARP
        0x8137,  # IPX
        0x8808,  # flow control
        0x8809,  # LACP and other slow protocols
        0x8819,  # CobraNet
        0x8863,  # PPPoE discovery
        0x887B,  # HomePlug
        0x886D,  # Intel teaming
        0x886F,  # Microsoft's load balancing
        0x888E,  # 802.1X
        0x8892,  # PROFINET
        0x8899,  # Realtek's loop detection
        0x88A2,  # ATA over Ethernet
        0x88A4,  # EtherCAT
        0x88AB,  # POWERLINK
        0x88B8,  # GOOSE
        0x88B9,  # GSE management
        0x88BA,  # sampled values
        0x88C7,  # 802.11 pre-authentication
        0x88CC,  # LLDP
        0x88D9,  # link layer topology discovery
        0x88E1,  # HomePlug AV
        0x88E3,  # media redundancy
        0x88F6,  # MMRP
        0x88F7,  # PTP
        0x88FB,  # parallel redundancy
        0x8902,  # connectivity faults
        0x8906,  # Fibre Channel
        0x8914,  # Fibre Channel's own messages
        0x8915,  # RoCE
        0x891D,  # TTEthernet
        0x892F,  # seamless redundancy
        0x893A,  # 1905.1
        0x9000,  # loopback test
    )
)
