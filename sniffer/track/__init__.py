"""From segments to handshakes: flows, reassembly, and how each attempt ended."""
