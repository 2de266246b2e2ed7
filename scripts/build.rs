//! Lets the programs find libtorch, which `.cargo/config.toml` names, at run time.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    // Not only with feature `train`: a build of the whole workspace links libtorch through the crate `tests`.
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
