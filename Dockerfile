# The image of Portolan: one binary on a base without shell or package manager,
# run as nobody in particular, on a read-only root if asked to.
#
#   docker build -t portolan .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 \
#     -v /etc/portolan:/etc/portolan:ro -v portolan:/data portolan

FROM rust:1.95-bookworm AS build
WORKDIR /src

# `dist` is what is shipped, `release` builds in half the time.
ARG PROFILE=dist

# The dependencies alone, so that a change of ours does not build them again.
COPY Cargo.toml Cargo.lock ./
RUN sed -n 's/^path = "\(.*\)"$/\1/p' Cargo.toml | while read -r target; do \
        mkdir -p "$(dirname "$target")" && echo 'fn main() {}' >"$target"; done \
    && cargo build --locked --profile "$PROFILE" --bin portolan \
    && rm -r src tests benches

COPY . .
# Cargo goes by the time of the file, which may be before that of the stub.
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --profile "$PROFILE" --bin portolan \
    && install -D -s "target/$PROFILE/portolan" /out/usr/bin/portolan \
    && mkdir -p /owned/data /owned/etc/portolan

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Portolan" \
      org.opencontainers.image.description="A server-side discovery reverse proxy: services register, clients send everything to one address." \
      org.opencontainers.image.source="https://github.com/portolan/portolan" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

COPY --from=build /out/ /
COPY --from=build --chown=65532:65532 /owned/data/ /data/

# `data_dir = "/data"` in proxy.toml keeps the registry there.
VOLUME /data
WORKDIR /data
USER 65532:65532
EXPOSE 8080 9900
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["portolan", "healthcheck"]
ENTRYPOINT ["portolan"]
CMD ["run", "--config", "/etc/portolan/proxy.toml"]
