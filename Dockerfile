# One image, whose command chooses the role:
#   docker build -t whittle .                       trains on the CPU
#   docker build -t whittle:cuda --target cuda .    trains on NVIDIA GPUs, too
#   docker run ... whittle [src/main/up.ts | src/main/api.ts | src/main/worker.ts]
# The steps are those of scripts/setup.mjs, which every other set-up runs. See docs/operations.md.

# What downloads and compiles; nothing of it is in the image but what is copied out below.
FROM node:22-bookworm-slim AS tools
# The CUDA libraries of ONNX Runtime are not used; no install script runs anyway (.npmrc).
ENV ONNXRUNTIME_NODE_INSTALL=skip \
    TF_CPP_MIN_LOG_LEVEL=2 \
    WHITTLE_SETUP_CACHE=/opt/whittle
# The versions are those of the base image's Debian.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make python3 python3-pip \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY scripts/setup/ scripts/setup/

# The large download comes first, so that other packages do not fetch it again.
FROM tools AS packages-cpu
RUN ["node", "--input-type=module", "--eval", "import { provideTensorflow } from '/app/scripts/setup/tensorflow.mjs'; await provideTensorflow('cpu')"]
COPY package.json package-lock.json .npmrc ./
COPY scripts/setup.mjs scripts/
# Set-up itself would settle for a slower engine; an image must not.
RUN node scripts/setup.mjs --cpu --production --no-redis \
  && node_modules/.bin/node scripts/setup/check-engine.cjs \
  && rm -rf /opt/whittle/tensorflow-*/tensorflow/include \
  && rm -rf node_modules/onnxruntime-node/bin/napi-v*/darwin node_modules/onnxruntime-node/bin/napi-v*/win32

FROM tools AS packages-cuda
RUN ["node", "--input-type=module", "--eval", "import { provideTensorflow } from '/app/scripts/setup/tensorflow.mjs'; await provideTensorflow('cuda')"]
COPY package.json package-lock.json .npmrc ./
COPY scripts/setup.mjs scripts/
RUN node scripts/setup.mjs --cuda --production --no-redis \
  && node_modules/.bin/node scripts/setup/check-engine.cjs \
  && rm -rf /opt/whittle/tensorflow-*/tensorflow/include \
  && rm -rf node_modules/onnxruntime-node/bin/napi-v*/darwin node_modules/onnxruntime-node/bin/napi-v*/win32

# Node is the packaged one. libatomic1 is Node's; redis-server is for src/main/up.ts, which runs all roles.
FROM debian:12-slim AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates libatomic1 libstdc++6 redis-server tini \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --user-group --home-dir /data whittle \
  && install -d -o whittle -g whittle /data
WORKDIR /app
# Listening beyond loopback asks for WHITTLE_API_KEYS: without it the api says so and ends.
ENV NODE_ENV=production \
    PATH=/app/node_modules/.bin:$PATH \
    WHITTLE_HOST=0.0.0.0 \
    WHITTLE_PORT=8000 \
    WHITTLE_DATA_DIR=/data \
    WHITTLE_ENGINE=tensorflow
VOLUME /data
EXPOSE 8000
# Node as process 1 would not collect the orphans of a killed child; tini does.
ENTRYPOINT ["tini", "--", "node"]
CMD ["src/main/up.ts"]
# For the api and up; a worker answers no requests and switches it off (see docker-compose.yml).
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.WHITTLE_PORT}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

FROM runtime AS cuda
# What the NVIDIA container runtime hands in.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=packages-cuda /opt/whittle/ /opt/whittle/
COPY --from=packages-cuda /app/node_modules/ node_modules/
COPY package.json LICENSE ./
COPY src/ src/
USER 10001

FROM runtime AS cpu
COPY --from=packages-cpu /opt/whittle/ /opt/whittle/
COPY --from=packages-cpu /app/node_modules/ node_modules/
COPY package.json LICENSE ./
COPY src/ src/
USER 10001
