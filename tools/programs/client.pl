#!/usr/bin/perl
# A mail client of IO::Socket::SSL: client.pl HOST PORT trusting|distrustful [VERSION]
use strict;
use warnings;
use IO::Socket::SSL;

my ($host, $port, $trust, $version) = @ARGV;
my $socket = IO::Socket::SSL->new(
    PeerHost            => $host,
    PeerPort            => $port,
    SSL_hostname        => $host,
    SSL_verify_mode     => $trust eq 'trusting' ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
    SSL_cipher_list     => 'DEFAULT:@SECLEVEL=0',
    SSL_version         => $version || 'SSLv23:!SSLv3:!SSLv2',
) or die "no TLS: $SSL_ERROR\n";
print scalar <$socket>;
print $socket "a1 LOGOUT\r\n";
1 while <$socket>;
close $socket;
