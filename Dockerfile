# The program with training, MuJoCo and ROS 2, built from this checkout.
#
#     docker build --tag abs .
#     docker run --rm --volume "$PWD/runs:/abs/runs" abs train all --robot go2
#     docker run --rm --network host abs deploy --bundle policies/bundles/go2 --interface eth0 --dry-run
FROM rust:1.95-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /abs
COPY . .
# What has been fetched is built in; `doctor` asks for ROS 2 as well.
RUN bash -ec 'root=$PWD; source scripts/setup.bash; require_libtorch; require_mujoco' && scripts/abs doctor
ENTRYPOINT ["scripts/abs"]
