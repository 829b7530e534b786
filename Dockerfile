# HINT in a container, for CPUs and for NVIDIA GPUs. docs/installing.md has the commands.
#
#   TORCH    what pip installs first: torch's own wheels for Linux contain CUDA. For a smaller image without it, add
#            the options that docs/troubleshooting.md gives for a build for CPUs
#   EXTRAS   the extras of HINT; `nequip,label,plot` makes an image for NequIP in place of MACE
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

ARG TORCH="torch==2.13.0"
ARG EXTRAS="mace,label,plot,reactions,phonons,lammps"

# g++ and make: `hint lammps build`. Versions are those of the Debian release that the image is made from.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/hint
COPY . .
# TORCH may contain options, so the shell must split it. constraints.txt has the versions.
# hadolint ignore=DL3013,SC2086
RUN pip install --no-cache-dir ${TORCH} \
    && pip install --no-cache-dir ".[${EXTRAS}]" -c constraints.txt

# One thread per process: small molecules are faster, and `--jobs` says how many processes there are.
ENV OMP_NUM_THREADS=1

RUN useradd --create-home --uid 1000 hint
USER 1000
WORKDIR /home/hint
ENTRYPOINT ["hint"]
CMD ["--help"]
