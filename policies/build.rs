//! Lets programs and tests find libtorch, which `.cargo/config.toml` names, at run time. Every crate above this one uses it too: a build of the
//! whole workspace turns feature `train` on for all of them, whether they train or not.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
