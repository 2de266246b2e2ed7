//! Lets programs and tests find libtorch, which `.cargo/config.toml` names, at run time. The crates above this one,
//! `abs` and `tests`, use it too.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
