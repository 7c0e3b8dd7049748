# Images of askd; docs/how-to/build-an-image.md describes their use. Builds with BuildKit, Podman and Buildah.
#
#   docker build -t askd .                     the server: target `runtime`, the default
#   docker build -t askd:pip --target pip .    pip for derived images: mounted during their build, never in them
#   docker build -t askd:dev --target dev .    for development: files can be replaced while it runs, code is reloaded

# The interpreter. For identical bytes a year from now, pin a digest: --build-arg PYTHON=python@sha256:…
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0
WORKDIR /build


# The requirements of pyproject.toml as a list, so that the layer of the dependencies is rebuilt only if the list changes,
# not if anything else in that file does.
FROM base AS requirements
# Extras that pyproject.toml does not declare are ignored.
ARG EXTRAS=redis,otel
COPY tools/image/list_requirements.py pyproject.toml ./
RUN python list_requirements.py "${EXTRAS}" >requirements.txt


# The dependencies at the versions of the lock, from wheels only. Bytecode is never compared with its source
# (unchecked-hash), which starts faster and contains no timestamp. `strip` removes 30 MB of debug symbols.
FROM base AS dependencies
# hadolint ignore=DL3008 # every version can strip, and Debian keeps only the newest
RUN apt-get update \
 && apt-get install --yes --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.lock ./
COPY --from=requirements /build/requirements.txt ./
RUN python -m venv --without-pip /app/venv \
 && rm /app/venv/bin/[aA]ctivate* \
 && pip --python /app/venv/bin/python install --no-compile --only-binary :all: \
      --constraint requirements.lock --requirement requirements.txt \
 && find /app/venv/lib -name '*.so*' -type f -exec strip --strip-unneeded {} + \
 && pip --python /app/venv/bin/python freeze >/app/constraints.txt \
 && echo 'import site; site.addsitedir("/packages/lib/python%d.%d/site-packages" % sys.version_info[:2])' \
      >/app/venv/lib/python3.13/site-packages/packages.pth \
 && python -m compileall -q --invalidation-mode unchecked-hash /app/venv/lib


# askd itself, in a separate tree that is copied over the dependencies.
FROM dependencies AS package
ARG HATCHLING=1.33.0
RUN pip install --no-compile "hatchling==${HATCHLING}"
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
# The chart of `askd init` stays out of the image, which a change of it must not change.
# hadolint ignore=DL3013 # the package is this directory, which has one version
RUN mkdir chart \
 && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /app/venv/bin/python install --no-deps --no-compile --no-index --find-links /wheels \
      --prefix /own askd \
 && cp -r /own /edited \
 && rm -r /edited/lib/python3.13/site-packages/askd \
 && echo /app >/edited/lib/python3.13/site-packages/askd.pth \
 && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p /app/venv /own/lib


# pip and the versions that it must not change, to be mounted while an image with packages is built.
FROM dependencies AS installer
ARG PIP=26.3
RUN pip install --no-compile --target /pip "pip==${PIP}" \
 && cp /app/constraints.txt /pip/
COPY tools/image/pip_wrapper.py /pip/__main__.py

FROM scratch AS pip
COPY --from=installer /pip /


# Common to server and development: the interpreter without installers, its library compiled (the official image leaves
# that to the first start, or with a read-only root to every start), and the dependencies.
FROM ${PYTHON} AS common
COPY tools/image/prepare_interpreter.py /tmp/
RUN python -I /tmp/prepare_interpreter.py \
 && rm /tmp/prepare_interpreter.py \
 && mkdir /packages \
 && chown 65532:65532 /packages
COPY --from=dependencies /app /app
# LOGNAME: getpass.getuser() would look for the user in /etc/passwd, which has no entry for it.
# PORT instead of ASKD_PORT: Cloud Run, Knative and others replace it with their own.
ENV PATH=/app/venv/bin:/packages/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LOGNAME=askd \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ASKD_HOST=0.0.0.0 \
    PORT=2024 \
    ASKD_OPS_PORT=2025
WORKDIR /answers
EXPOSE 2024 2025
STOPSIGNAL SIGTERM
ENTRYPOINT ["askd"]


FROM common AS dev
COPY --from=package /edited /app/venv
COPY --chown=65532:65532 service/askd /app/askd
RUN chown 65532:65532 /answers
ENV ASKD_RELOAD=true \
    PYTHONDONTWRITEBYTECODE=
USER 65532:65532


FROM common AS runtime
COPY --from=package /own /app/venv
# In bash, because starting an interpreter takes 20 ms instead of 3. The state is `starting` while the code loads (at most
# five minutes), then `healthy`. Kubernetes ignores it and uses the probes of the chart.
HEALTHCHECK --interval=10s --timeout=3s --retries=3 --start-period=300s CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/${ASKD_OPS_PORT:-${ASKD_PORT:-${PORT:-2024}}} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
USER 65532:65532
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="askd" \
      org.opencontainers.image.description="The answer server: serves a Python function, a graph or a book of questions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
