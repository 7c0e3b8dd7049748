# For `skaffold dev --profile function`, which gives BASE: askd's image for development.
ARG BASE=scratch
# hadolint ignore=DL3006 # the tag is in the argument
FROM ${BASE}
COPY --chown=65532:65532 . ./
