//! Makes sure that the folder of the built console page exists: rust-embed puts what is in it into the binary.

use std::path::Path;

const DIST: &str = "client-test/dist";

fn main() {
    // A folder that is missing would count as changed at every build.
    if let Err(error) = std::fs::create_dir_all(Path::new(env!("CARGO_MANIFEST_DIR")).join(DIST)) {
        println!("cargo::warning=cannot create {DIST}, the console page is left out: {error}");
    }
    println!("cargo::rerun-if-changed={DIST}");
    println!("cargo::rerun-if-changed=build.rs");
}
