# First form: analysis, replay and metrics. Two stages: the compiler stays in the first one.
FROM python:3.11-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY LICENSE MANIFEST.in README.md pyproject.toml setup.py ./
COPY parsers parsers
COPY sniffer sniffer
RUN python -m venv /opt/hellowatch \
    && HELLOWATCH_REQUIRE_EXT=1 /opt/hellowatch/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/hellowatch /opt/hellowatch
RUN useradd --uid 10993 --no-create-home --home-dir /var/lib/hellowatch --shell /usr/sbin/nologin hellowatch \
    && install -d -o hellowatch -g hellowatch -m 0750 /var/lib/hellowatch
ENV PATH=/opt/hellowatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STATE_DIRECTORY=/var/lib/hellowatch
USER 10993:10993
WORKDIR /captures
EXPOSE 10993
ENTRYPOINT ["hellowatch"]
CMD ["--help"]
