"""``hellowatch run``: the daemon, or a capture replayed through its pipeline."""

import sys
from typing import Any

import click

from sniffer.cli.options import (
    check_seconds,
    config_options,
    configure_log,
    event_options,
    file_names,
    format_options,
    interface_names,
    interfaces_option,
    later,
    log_options,
    output_options,
    pipeline_options,
    pipeline_settings,
    zone,
)

EPILOG = """\b
Exit codes:
  0  done, or SIGTERM  1  --fail-on found such a device   2  wrong usage, or address in use
  3  the capture cannot be read    4  it was damaged; all before the damage was counted
  5  capturing on an interface is not permitted: the line names the capability
  130  Ctrl-C: what was found so far is printed first

\b
Examples:
  hellowatch run -i eth1
  hellowatch run --config office.toml
  hellowatch run --replay pcaps/office.pcapng
  curl http://127.0.0.1:10993/metrics

\b
Signals: SIGTERM ends it after what is at hand was counted; SIGUSR1 prints what was lost;
SIGHUP reads the configuration anew.
"""


@click.command("run", epilog=EPILOG)
@click.option(
    "-i",
    "interfaces",
    metavar="IFACE",
    multiple=True,
    shell_complete=interface_names,
    help="Interface to watch; repeatable. any: all of them.",
)
@click.option(
    "--replay",
    metavar="FILE",
    shell_complete=file_names,
    help="A capture file instead of an interface.",
)
@click.option(
    "--web.listen-address",
    "listen_address",
    metavar="HOST:PORT",
    help="Of the metrics page; default 127.0.0.1:10993. Port 0: any free one.",
)
@click.option(
    "--web.config.file",
    "web_config_file",
    metavar="FILE",
    shell_complete=file_names,
    help="TLS and users of the metrics page, as Prometheus exporters have it.",
)
@format_options
@click.option(
    "--duration",
    metavar="TIME",
    callback=check_seconds,
    help="Watch for this long, or serve this long after a replay, then end: 90, 90s, 10m, 2h, 1d.",
)
@click.option(
    "-B",
    "ring_mebibytes",
    metavar="MiB",
    type=click.IntRange(1, 16_384),
    help="Memory of each interface's ring; default 64.",
)
@click.option("-p", "not_promiscuous", is_flag=True, help="Do not set promiscuous mode.")
@click.option(
    "--source",
    metavar="auto|ring|pcap|scapy",
    type=click.Choice(["auto", "ring", "pcap", "scapy"]),
    help="What captures: the ring (Linux), libpcap or scapy; auto: the best one here.",
)
@config_options
@click.option(
    "-d",
    "explain",
    is_flag=True,
    help="Print what the kernel's filter passes and its program, and end.",
)
@event_options
@pipeline_options
@output_options
@interfaces_option
@later("-s")
@later("--web", takes_value=False)
@later("--serve.listen-address")
def command(
    interfaces: tuple[str, ...],
    replay: str | None,
    listen_address: str | None,
    web_config_file: str | None,
    form: str | None,
    outputs: tuple[str, ...],
    duration: float | None,
    ring_mebibytes: int | None,
    not_promiscuous: bool,
    source: str | None,
    explain: bool,
    frames: str | None,
    config: str | None,
    count: int | None,
    fail_on: tuple[str, ...],
    ports: str | None,
    profile: str | None,
    store: str | None,
    site: str | None,
    numeric: bool,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Watch an interface, or replay a capture, and serve the metrics.

    Runs until it is told to end; a replay is counted as fast as it can be read.
    """
    if interfaces and replay is not None:
        raise click.UsageError("-i and --replay: one of them at a time")
    from sniffer.cli.screen import Screen
    from sniffer.cli.wanted import Wanted
    from sniffer.config_file import Sources

    options: dict[str, tuple[str, Any]] = {
        **pipeline_settings(ports, profile, store, site),
        **log_options(quiet, verbose, log_format),
    }
    if interfaces:
        options["watch.interfaces"] = ("-i", interfaces)
    if listen_address is not None:
        options["web.listen_address"] = ("--web.listen-address", listen_address)
    if web_config_file is not None:
        options["web.config_file"] = ("--web.config.file", web_config_file)
    if ring_mebibytes is not None:
        options["capture.ring_bytes"] = ("-B", ring_mebibytes << 20)
    if source is not None:
        options["capture.source"] = ("--source", source)
    if not_promiscuous:
        options["capture.promiscuous"] = ("-p", False)
    sources = Sources(config, options)
    configuration = sources.load()
    settings = configuration.settings
    if explain:
        from sniffer.capture.filter import build

        made = build(
            settings.ports,
            tunnels=settings.capture.tunnels,
            passive=settings.identify.passive,
            dns=settings.identify.dns,
        )
        click.echo(made.explain())
        return
    if replay is None and not settings.watch.interfaces:
        raise click.UsageError("name an interface with -i IFACE, or a capture with --replay FILE")
    configure_log(settings.log)
    screen = Screen(is_quiet=quiet, is_json=settings.log.format == "json")
    wanted = Wanted(
        sources=sources,
        configuration=configuration,
        form=form,
        outputs=outputs,
        frames=frames,
        events=count,
        fail_on=fail_on,
        zone=zone(tz),
        color=color,
        seconds=duration,
        screen=screen,
    )
    if replay is not None:
        from sniffer.cli.replay import replay as run_replay

        sys.exit(run_replay(replay, wanted))

    from sniffer.capture.portable import RING, chosen

    if chosen(settings.capture.source) != RING:
        from sniffer.cli.portable import watch_portably

        sys.exit(watch_portably(wanted))

    from sniffer.cli.live import watch

    sys.exit(watch(wanted))
