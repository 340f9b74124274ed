# syntax=docker/dockerfile:1

# One Debian release for building and running: the binary is linked to its libc.
ARG DEBIAN=trixie
ARG NODE=22
ARG RUST=1.95

FROM node:${NODE}-${DEBIAN}-slim AS console
WORKDIR /src
COPY client-test/package.json client-test/package-lock.json client-test/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY client-test ./
RUN npm run build

FROM rust:${RUST}-${DEBIAN} AS server
WORKDIR /src
COPY . .
COPY --from=console /src/dist client-test/dist
# Dependencies stay compiled in the cache between builds. cargo judges its own sources by their time, and a checkout may
# be older than the cache: touched, they are always compiled anew.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    find build.rs src client-test/dist -type f -exec touch {} + \
 && cargo build --profile dist --locked \
 && cp target/dist/orion-server /usr/local/bin/

FROM debian:${DEBIAN}-slim
LABEL org.opencontainers.image.title="orion-server" \
      org.opencontainers.image.description="Live prices and trading signals for dashboards, over Socket.IO and WebSocket" \
      org.opencontainers.image.licenses="MIT"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 orion \
 && useradd --uid 10001 --gid orion --home-dir /data --no-create-home --shell /usr/sbin/nologin orion \
 && install --directory --owner orion --group orion --mode 0750 /data
COPY --from=server /usr/local/bin/orion-server /usr/local/bin/

# Nothing but /data is ever written, so the root may be read-only. It belongs to this user without an entrypoint that
# starts as root: a new Docker volume takes the owner of the folder it covers, and Fly's init gives a mounted volume to
# the image's user. A folder of the host has to be given to 10001 by hand.
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV ORION_DATA_DIR=/data \
    ORION_LOG_FORMAT=json \
    SQLITE_TMPDIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["orion-server", "health"]
ENTRYPOINT ["orion-server"]
