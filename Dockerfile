# Rampart in a container: a user without rights, nothing to write to but the database. The root file system may be read-only.
# Build it from the repository's folder: docker build -t rampart .

FROM python:3.12-slim AS build
WORKDIR /build
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 && uv venv /opt/rampart
ENV VIRTUAL_ENV=/opt/rampart
COPY requirements.in requirements.lock ./
# The lock also pins what development needs: what is installed comes from requirements.in, versions and hashes from the lock.
RUN uv pip install --no-cache -r requirements.in -c requirements.lock hatchling editables
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY bot bot
COPY migrations migrations
RUN uv pip install --no-cache --no-deps --no-build-isolation . \
 && uv pip uninstall hatchling editables pathspec trove-classifiers \
 && python -m compileall -q /opt/rampart/lib

FROM python:3.12-slim
# Without a font no chart is drawn for a workspace that refuses Slack's own.
RUN apt-get update && apt-get install --yes --no-install-recommends fonts-dejavu-core && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin rampart
COPY --from=build /opt/rampart /opt/rampart
ENV PATH=/opt/rampart/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8300 \
    LOG_FORMAT=json
USER 10001:10001
EXPOSE 8300
STOPSIGNAL SIGTERM
ENTRYPOINT ["rollout"]
CMD ["web"]
