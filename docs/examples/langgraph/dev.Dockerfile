# For `skaffold dev --profile langgraph`, which gives BASE and PIP: askd's image for development, and its pip.
ARG BASE=scratch
ARG PIP=scratch
# hadolint ignore=DL3006 # the tag is in the argument
FROM ${PIP} AS pip

# hadolint ignore=DL3006 # as above
FROM ${BASE}
COPY --chown=65532:65532 . ./
RUN --mount=from=pip,target=/mnt python /mnt install --requirement requirements.txt
