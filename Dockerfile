# JupyterLab with the notebooks, their kernel, and the program:
#
#	docker build --target cpu --tag vitdecompose .
#	docker run --rm -it -p 127.0.0.1:8888:8888 vitdecompose
#
# Untested: the project's tests have no Docker. The recipes are those of `make lab`, which are tested.

# The project's sources, what is built of them, and all that `make lab` needs. GoNB compiles cells, so Go stays.
FROM golang:1.26-bookworm AS built
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home user
USER user
WORKDIR /home/user/vitdecompose
ENV GOPATH=/home/user/go GOMODCACHE=/home/user/go/pkg/mod GOCACHE=/home/user/.cache/go-build
COPY --chown=user:user . .
RUN make jupyter

# The CPU: the default of the two.
FROM built AS cpu
EXPOSE 8888
CMD ["make", "lab", "ARGS=--no-browser --ip=0.0.0.0 --port=8888"]

# NVIDIA's GPUs, with `docker run --gpus all`: the driver comes from the host, CUDA's libraries from the plugin's packages.
FROM built AS cuda
ENV GOMLX_BACKEND=xla:cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# setup opens the plugin in the end, which fails here, where there is no GPU: what counts is that the plugin came.
RUN bin/vitdecompose setup --device cuda; test -n "$(find /home/user/.local/lib/go-xla -name pjrt_c_api_cuda_plugin.so)"
EXPOSE 8888
CMD ["make", "lab", "ARGS=--no-browser --ip=0.0.0.0 --port=8888"]

# `docker build .` without a target is the CPU's.
FROM cpu
