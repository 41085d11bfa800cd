# What people type. `just` lists it; .ci/run is what a change must pass.

_list:
    @just --list --unsorted

# Put the source into shape
fmt:
    cargo fmt

# Warnings are errors
lint:
    cargo clippy --all-targets --all-features -- -D warnings

# The tests that need nothing outside
test *ARGS:
    cargo test {{ ARGS }}

# Every test, installing what they need; or some of: rust clients grpc suites readme cost compose
test-all *PARTS:
    ./scripts/test {{ PARTS }}

# Portolan beside its peers, in one run; --full is all of it
bench *ARGS:
    ./scripts/bench {{ ARGS }}

# The micro benchmarks
bench-parts *ARGS:
    cargo bench {{ ARGS }}

# The endurance runs in full, with a release build; or some of: rolling kill ...
endurance *ARGS:
    cargo test --release --test endurance -- --full {{ ARGS }}

# Look for bytes that break a parser; `keep` in place of SECONDS takes over what was found
fuzz TARGET SECONDS="60":
    ./scripts/fuzz {{ TARGET }} {{ SECONDS }}

# The attacks in full, with a release build; or those whose names have a word
attacks *ARGS:
    cargo test --release --test attacks -- --full {{ ARGS }}

# The same hostile bytes to Portolan and to other servers; or the cases whose names have a word
differential *ARGS:
    ./scripts/install-origins
    cargo test --features outside --test differential -- {{ ARGS }}

# Real registries of others; or the tests whose names have a word
registries *ARGS:
    ./scripts/install-registries
    cargo test --features outside --test registries -- {{ ARGS }}

# The API documentation, opened in a browser
doc:
    cargo doc --no-deps --open

# A proxy with three toy instances, and what to try
demo:
    cargo run --release -- demo

# What a change must pass
ci:
    ./.ci/run
