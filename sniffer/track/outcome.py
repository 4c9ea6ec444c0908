"""What became of one ClientHello: the evidence, and the first event that decides.

established   TLS 1.3: a ServerHello, and encrypted records from the client;
              else ChangeCipherSpec or application data from both sides
alert         a fatal alert in clear, or a close_notify, before that
reset, closed RST or FIN before that
unanswered    the server was seen, but sent nothing until the time was over
unknown       anything else
"""

from msgspec import structs

from parsers.tls.facts import TLS_1_3, Alert, ClientHello, ServerHello
from sniffer.event import (
    EncryptedAlert,
    EvidenceFrame,
    Flow,
    Handshake,
    Octets,
    Outcome,
    Session,
    Side,
    Sure,
)

CLOSE_NOTIFY = 0
FATAL = 2
CERTIFICATE_REJECTED = frozenset(range(42, 49))
"""bad_certificate ... unknown_ca (RFC 8446 section 6.2): versions agreed, trust did not."""
SHORTEST_TLS13_FINISHED = 45
"""A header of 4, a hash of 32, the content's type, a tag of 8 (RFC 8446 sections 4.4.4, 5.2).

What is shorter is no Finished: an alert takes 19, or 35 where Java pads it."""
LEAST_CLIENT_OCTETS = 100
"""What a client says inside TLS to log in, do something and take its leave, at the least.

``1 LOGIN u p``, ``2 SELECT INBOX`` and ``3 LOGOUT`` with their line ends in three records
that each take 21 octets more, as with RC4 and MD5, are 102; other suites and protocols take
more."""
MOST_SERVER_OCTETS = 2048
"""What a server says that throws a client out, at the most: two session tickets of TLS 1.3,
greeting, capabilities and the reason took less than 1,000 wherever they were captured."""
SHORTEST_FINISHED = 37
"""The record of a Finished before TLS 1.3, its header included, at the least."""


class Attempt:
    """One attempt of a client to agree on TLS, from its hello to its outcome."""

    __slots__ = (
        "agreed_at",
        "alert",
        "alert_sender",
        "answer_octets",
        "client_changed_cipher",
        "client_half",
        "client_sent_data",
        "closed",
        "cut_reason",
        "deadline_ns",
        "direction",
        "doubtful",
        "encrypted_alert",
        "end_at",
        "ended_by",
        "evidence",
        "first_data_length",
        "flow",
        "frame",
        "hello",
        "hello_octets",
        "last_word",
        "outcome",
        "path_reset",
        "resumed",
        "server_answered",
        "server_half",
        "server_hello",
        "server_spoke",
        "session",
        "slot",
        "starttls",
        "syn_seen",
        "time_ns",
    )
    agreed_at: tuple[int, int, int, int] | None
    """Once established: the stream offsets of client and server, how far the client's records
    were read, and the time."""
    alert: Alert | None
    alert_sender: Side | None
    answer_octets: bytes
    """Of the ServerHello, where those of the hello are kept."""
    client_changed_cipher: bool
    client_half: bool
    client_sent_data: bool
    closed: bool
    """Nothing more is waited for."""
    cut_reason: int
    """Why the hello is not complete, if it is not; a number of the tracker's."""
    deadline_ns: int
    direction: int
    """Which end of the flow is the client, 0 or 1."""
    doubtful: bool
    """SSLv2 format, not at a proven start of a stream: only an answer makes it a hello."""
    encrypted_alert: EncryptedAlert | None
    ended_by: Side | None
    end_at: tuple[int, int] | None
    """Direction and stream offset of ``last_word``."""
    evidence: tuple[EvidenceFrame, ...]
    """Once closed, the frames that show it."""
    first_data_length: int
    """Of the client's first encrypted record behind a ServerHello of TLS 1.3; 0: none."""
    flow: Flow
    frame: int
    hello: ClientHello | None
    """None while only the beginning of one was seen."""
    hello_octets: bytes
    """Empty: not asked for, or too many."""
    last_word: tuple[Side, Outcome] | None
    """Who ended the connection and how; decides if nothing that precedes it does."""
    outcome: Outcome | None
    path_reset: bool
    """The RST came from nearer or farther than the server's other frames: a firewall's."""
    resumed: bool
    """The server's ChangeCipherSpec came first: the client's Finished is yet to come."""
    server_answered: bool
    """The server sent any payload after the hello."""
    server_half: bool
    server_hello: ServerHello | None
    server_spoke: bool
    """The server sent ChangeCipherSpec or application data."""
    session: Session | None
    slot: int
    starttls: str | None
    """The protocol that was spoken in clear before the upgrade."""
    syn_seen: bool
    time_ns: int

    def __init__(self, slot: int, direction: int, frame: int, time_ns: int, flow: Flow) -> None:
        """Begin with the frame that gave rise to it."""
        self.slot = slot
        self.direction = direction
        self.frame = frame
        self.time_ns = time_ns
        self.flow = flow
        self.deadline_ns = 0
        self.hello = None
        self.cut_reason = 0
        self.closed = False
        self.client_half = self.server_half = self.syn_seen = False
        self.server_hello = None
        self.alert = None
        self.alert_sender = None
        self.ended_by = None
        self.outcome = None
        self.end_at = None
        self.last_word = None
        self.client_changed_cipher = False
        self.client_sent_data = False
        self.server_spoke = False
        self.server_answered = False
        self.doubtful = False
        self.starttls = None
        self.path_reset = False
        self.agreed_at = None
        self.session = None
        self.evidence = ()
        self.hello_octets = self.answer_octets = b""
        self.encrypted_alert = None
        self.first_data_length = 0
        self.resumed = False

    def saw_refused_upgrade(self) -> None:
        """Note that the server refused an upgrade its client had taken for granted."""
        if self.outcome is None:
            self.outcome = Outcome.REFUSED_STARTTLS
            self.ended_by = Side.SERVER

    def saw_server_hello(self, hello: ServerHello) -> None:
        """Note a ServerHello; after a HelloRetryRequest the final one replaces it."""
        if self.server_hello is None or self.server_hello.retry:
            self.server_hello = hello
            self._check_established()

    def saw_change_cipher_spec(self, side: Side) -> None:
        """Note a ChangeCipherSpec. TLS 1.3 sends them for show (RFC 8446 appendix D.4)."""
        if side is Side.CLIENT:
            self.client_changed_cipher = True
            self.resumed = self.server_spoke
        else:
            self.server_spoke = True
        self._check_established()

    def saw_application_data(self, side: Side, length: int = 0) -> None:
        """Note an encrypted record of type 23."""
        if side is Side.CLIENT:
            retry = self.server_hello is not None and self.server_hello.retry
            if self.is_tls13() and not retry and not self.client_sent_data:
                self.first_data_length = length
            self.client_sent_data = True
        else:
            self.server_spoke = True
        self._check_established()

    def saw_alert(self, side: Side, alert: Alert) -> None:
        """Note an alert in clear; a warning other than close_notify decides nothing."""
        if self.outcome is None and (alert.level == FATAL or alert.description == CLOSE_NOTIFY):
            self.outcome = Outcome.ALERT
            self.alert = alert
            self.alert_sender = side
            self.ended_by = side

    def saw_encrypted_alert(self, side: Side) -> None:
        """Note a record of type 21 that is no alert in clear: before TLS 1.3 the type shows."""
        if self.outcome is None and self.encrypted_alert is None:
            self.encrypted_alert = EncryptedAlert(side, Sure.CERTAIN)

    def saw_session(self, session: Session, client_said: int) -> None:
        """Note what followed the agreement; ``client_said`` octets behind its last record."""
        if self.last_word is None:
            return
        self.session = session
        if client_said == 0 and 0 < self.first_data_length < SHORTEST_TLS13_FINISHED:
            # In place of a Finished, and nothing after it: an alert, as of a certificate refused.
            self.encrypted_alert = EncryptedAlert(Side.CLIENT, Sure.LIKELY)
        elif (
            self.last_word[0] is Side.SERVER
            and not self.path_reset
            and session.server_bytes <= MOST_SERVER_OCTETS
        ):
            resumed = self.resumed and not self.is_tls13()
            said = max(0, client_said - SHORTEST_FINISHED) if resumed else client_said
            if said < LEAST_CLIENT_OCTETS:
                # Who has said nothing has not even taken its leave.
                sure = Sure.POSSIBLE if said or resumed else Sure.LIKELY
                self.session = structs.replace(session, thrown_out=sure)

    def saw_end(self, side: Side, outcome: Outcome) -> None:
        """Note a RST (``Outcome.RESET``) or FIN (``Outcome.CLOSED``)."""
        if self.outcome is None:
            self.outcome = outcome
            self.ended_by = side

    def is_half_closed(self) -> bool:
        """Tell whether the client ended its side, though the server's answer may establish."""
        done = self.client_changed_cipher or self.client_sent_data
        return done and self.outcome is None and self.last_word == (Side.CLIENT, Outcome.CLOSED)

    def give_up(self, *, server_seen: bool, time_is_over: bool) -> None:
        """Decide on what there is, since nothing more is waited for.

        Of a server that was never seen nothing is known, however its client ended.
        """
        if not server_seen and self.outcome in (Outcome.RESET, Outcome.CLOSED):
            self.outcome = self.ended_by = None
        if self.outcome is None:
            silent = time_is_over and server_seen and not self.server_answered
            self.outcome = Outcome.UNANSWERED if silent else Outcome.UNKNOWN

    def refused_by(self) -> Side | None:
        """Return who refused; None if the attempt was not refused.

        A client refuses by rejecting the certificate; why else it gave up is not known.
        """
        if self.outcome is Outcome.ALERT and self.alert is not None:
            if self.alert_sender is Side.SERVER:
                return Side.SERVER
            rejected = self.alert.description in CERTIFICATE_REJECTED
            return Side.CLIENT if rejected else Side.UNKNOWN
        if self.outcome is Outcome.REFUSED_STARTTLS:
            return Side.SERVER
        if self.outcome is Outcome.RESET and self.path_reset:
            return Side.PATH
        if self.outcome in (Outcome.RESET, Outcome.CLOSED):
            return Side.SERVER if self.ended_by is Side.SERVER else Side.UNKNOWN
        return None

    def handshake(self, hello: ClientHello, path: str | None) -> Handshake:
        """Return the settled attempt as the event that leaves the tracker."""
        return Handshake(
            time_ns=self.time_ns,
            frame=self.frame,
            flow=structs.replace(
                self.flow,
                client_half=self.client_half,
                server_half=self.server_half,
                syn_seen=self.syn_seen,
            ),
            hello=hello,
            server_hello=self.server_hello,
            outcome=self.outcome or Outcome.UNKNOWN,
            ended_by=self.ended_by,
            refused_by=self.refused_by(),
            alert=self.alert,
            alert_sender=self.alert_sender,
            encrypted_alert=self.encrypted_alert,
            starttls=self.starttls,
            session=self.session,
            path=path,
            evidence=self.evidence,
            octets=self._octets(hello),
        )

    def _octets(self, hello: ClientHello) -> Octets | None:
        """Return what was kept as it stood on the wire, unless nobody will ever ask for it."""
        is_modern = self.outcome is Outcome.ESTABLISHED and self.is_tls13()
        if is_modern or not self.hello_octets or not hello.complete:
            return None
        return Octets(self.hello_octets, self.answer_octets)

    def is_tls13(self) -> bool:
        """Tell whether the server chose TLS 1.3."""
        return self.server_hello is not None and self.server_hello.negotiated == TLS_1_3

    def _check_established(self) -> None:
        if self.outcome is not None:
            return
        if self.is_tls13():
            retry = self.server_hello is not None and self.server_hello.retry
            agreed = self.client_sent_data and not retry
        else:
            agreed = self.server_spoke and (self.client_changed_cipher or self.client_sent_data)
        if agreed:
            self.outcome = Outcome.ESTABLISHED
