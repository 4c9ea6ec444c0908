"""The TLS record and handshake layers, and SSL 2.0's hello: octets in, facts out."""
