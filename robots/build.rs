//! Embeds every robot folder (one that holds a `robot.toml`) beside this file.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut table = String::from("&[\n");
    for folder in sorted_entries(&root)? {
        if !folder.join("robot.toml").is_file() {
            continue;
        }
        table += &format!("    ({:?}, &[\n", file_name(&folder)?);
        for file in sorted_entries(&folder)? {
            if file.extension().is_some_and(|e| e == "toml" || e == "urdf") {
                table += &format!(
                    "        ({:?}, include_str!({file:?})),\n",
                    file_name(&file)?
                );
            }
        }
        table += "    ]),\n";
    }
    table += "]\n";

    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::File::create(out.join("built_in.rs"))?.write_all(table.as_bytes())
}

fn sorted_entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> io::Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| io::Error::other(format!("{} is not valid UTF-8", path.display())))
}
