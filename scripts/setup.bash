# Sourced by scripts/abs, scripts/test and .ci/run: checks the tools, fetches libtorch, MuJoCo and the viewer, builds.
# Expects `root`, the folder of the repository.

fail() {
    echo "error: $*" >&2
    exit 1
}

# Whether a part is to be run: one of those named in `parts`, or any if none is.
has_part() {
    [[ -z $parts || " $parts " == *" $1 "* ]]
}

require_rust() {
    command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo >/dev/null || fail "cargo is not installed; see https://rustup.rs"
    local installed needed
    installed=$(rustc --version | cut -d ' ' -f 2)
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    [[ $(printf '%s\n' "$needed" "$installed" | sort -V | head -n 1) == "$needed" ]] || fail "Rust $installed is too old, $needed is needed; rustup update stable"
    command -v "${CC:-cc}" >/dev/null || fail "no C compiler (cc), which Rust links with; on Debian: apt install g++"
    mkdir -p "$root/target" 2>/dev/null && [[ -w $root/target ]] || fail "cannot write to $root/target; clone the repository to where you may write"
    # A compiler needs up to 1.5 GB, and cargo starts one for each core.
    local memory_mb
    memory_mb=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo 2>/dev/null || true)
    if [[ -z ${CARGO_BUILD_JOBS:-} && -n $memory_mb ]]; then
        local fit=$((memory_mb / 2000 + 1)) cores
        cores=$(nproc)
        if ((fit < cores)); then export CARGO_BUILD_JOBS=$fit; fi
    fi
}

has_libtorch() {
    [[ -f $root/.libtorch/torch/build-version ]]
}

require_libtorch() {
    command -v "${CXX:-c++}" >/dev/null || fail "no C++ compiler (c++), which training needs; on Debian: apt install g++"
    command -v python3 >/dev/null || fail "python3 is not installed; it fetches libtorch for training"
    if ! has_libtorch; then
        python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; on Debian: apt install python3-pip"
    fi
    python3 "$root/scripts/libtorch.py"
}

has_mujoco() {
    [[ -e $root/.mujoco/libmujoco.so ]]
}

require_mujoco() {
    command -v python3 >/dev/null || fail "python3 is not installed; it fetches MuJoCo"
    if ! has_mujoco; then
        python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; on Debian: apt install python3-pip"
    fi
    python3 "$root/scripts/mujoco.py"
}

require_viewer() {
    command -v python3 >/dev/null || fail "python3 is not installed; it fetches the viewer (--view FILE.rrd writes a file without it)"
    if [[ ! -x $root/.rerun/rerun ]]; then
        python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; on Debian: apt install python3-pip"
    fi
    python3 "$root/scripts/rerun.py"
}

# Whether training by several processes can be built: an MPI library, and libclang, which reads its header.
has_mpi() {
    command -v mpicc >/dev/null || return 1
    [[ -n ${LIBCLANG_PATH:-} ]] || compgen -G "/usr/lib*/llvm-*/lib/libclang*.so*" >/dev/null || grep -q libclang <(ldconfig -p 2>/dev/null)
}

require_mpi() {
    has_mpi || fail "several processes need MPI and libclang to be built; on Debian: apt install libopenmpi-dev openmpi-bin libclang-dev"
}

# The cargo feature of `abs` for training: with MPI where this machine has it.
training_features() {
    if has_mpi; then echo mpi; else echo train; fi
}
