//! Lets tests find MuJoCo's library, which `.cargo/config.toml` names, at run time. The crate `sim_ros2` uses it too.

fn main() {
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let uses_mujoco = std::env::var_os("CARGO_FEATURE_MUJOCO").is_some();
    if let (true, Ok(folder)) = (uses_mujoco, std::env::var("MUJOCO_DYNAMIC_LINK_DIR")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
