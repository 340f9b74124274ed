//! Creates the folder of the built console page if it is missing; rust-embed includes its files in the binary.

use std::path::Path;

const DIST: &str = "client-test/dist";

fn main() {
    // Cargo treats a missing folder as changed at every build.
    if let Err(error) = std::fs::create_dir_all(Path::new(env!("CARGO_MANIFEST_DIR")).join(DIST)) {
        println!("cargo::warning=cannot create {DIST}, the console page is left out: {error}");
    }
    println!("cargo::rerun-if-changed={DIST}");
    println!("cargo::rerun-if-changed=build.rs");
}
