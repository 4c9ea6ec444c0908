"""``hellowatch top -i``: the daemon behind it, and no privilege before it."""

from pathlib import Path

import craft
from namespaces import eventually, namespace
from program import PROGRAM, environment
from terminal import terminal


def test_old_client_appears_and_the_screen_has_no_privilege(tmp_path: Path) -> None:
    with namespace() as ns:
        ns.veth("far", "mirror")
        command = ["ip", "netns", "exec", ns.name, *PROGRAM, "top", "-i", "mirror"]
        with (
            ns.sender("far") as far,
            terminal(command, tmp_path, environment(TERM="xterm-256color")) as screen,
        ):
            screen.wait_for("Nothing seen yet")
            talk = craft.Conversation("10.1.2.3").open().client(craft.client_hello())
            for _, frame in talk.server(craft.alert()).fin("server").frames():
                far.send(frame)
            screen.wait_for("10.1.2.3", "Old TLS (1.0)", "1 device", "frames, 0 of them dropped")

            threads = [
                dict(line.split(":\t") for line in status.read_text().splitlines() if ":\t" in line)
                for status in Path(f"/proc/{screen.pid}/task").glob("*/status")
            ]
            assert len(threads) > 1
            assert {one["CapEff"] for one in threads} == {"0" * 16}
            assert {one["NoNewPrivs"] for one in threads} == {"1"}
            children = Path(f"/proc/{screen.pid}/task/{screen.pid}/children").read_text().split()
            screen.press("q")
            assert screen.ended() == 0
            eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
