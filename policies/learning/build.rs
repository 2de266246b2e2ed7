//! Lets programs and tests find libtorch, and MuJoCo where they are built with it, at run time: in the folders that
//! `.cargo/config.toml` names. The crate `tests` uses it too.

fn main() {
    for (variable, folder) in [("LIBTORCH", "/lib"), ("MUJOCO_DYNAMIC_LINK_DIR", "")] {
        println!("cargo::rerun-if-env-changed={variable}");
        if let Ok(path) = std::env::var(variable) {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{path}{folder}");
        }
    }
}
