"""``top``: devices and handshakes as they come, on a terminal."""
