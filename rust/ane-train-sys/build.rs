//! Finds the library: in `ANE_TRAIN_LIB_DIR`, else by pkg-config. `ANE_TRAIN_INCLUDE_DIR` says where
//! the header is when it is in none of the usual places; without a header the library's file name
//! alone tells the ABI number.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

/// `ANET_ABI_VERSION` of the header that `src/bindings.rs` was made from.
const ABI_VERSION: u32 = 0;
/// The versions that have what `src/bindings.rs` declares: from the first one on, below the second.
const VERSIONS: (&str, &str) = ("0.1.0", "0.2");

struct Library {
    lib_dir: PathBuf,
    include_dir: Option<PathBuf>,
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["ANE_TRAIN_LIB_DIR", "ANE_TRAIN_INCLUDE_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("DOCS_RS").is_some() {
        return; // documentation needs no library
    }
    let found = find().and_then(|library| {
        check_abi(&library)?;
        Ok(library)
    });
    match found {
        Ok(library) => emit(&library),
        Err(message) => {
            eprintln!("error: {message}");
            exit(1);
        }
    }
}

fn emit(library: &Library) {
    println!("cargo:rustc-link-search=native={}", library.lib_dir.display());
    println!("cargo:rustc-link-lib=dylib=ane_train");
    println!("cargo:lib_dir={}", library.lib_dir.display());
    if let Some(include_dir) = &library.include_dir {
        println!("cargo:include_dir={}", include_dir.display());
        for header in ["ane_train.h", "ane_train_apple.h"] {
            println!("cargo:rerun-if-changed={}", include_dir.join(header).display());
        }
    }
}

fn find() -> Result<Library, String> {
    let lib_dir = match env::var_os("ANE_TRAIN_LIB_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => return find_by_pkg_config(),
    };
    let include_dir = env::var_os("ANE_TRAIN_INCLUDE_DIR")
        .map(PathBuf::from)
        .or_else(|| lib_dir.parent().map(|prefix| prefix.join("include")))
        .filter(|directory| directory.join("ane_train.h").is_file());
    Ok(Library { lib_dir, include_dir })
}

fn find_by_pkg_config() -> Result<Library, String> {
    let (first, beyond) = VERSIONS;
    let range = [format!("ane_train >= {first}"), format!("ane_train < {beyond}")];
    pkg_config(&["--print-errors", "--exists", &range[0], &range[1]])?;
    let lib_dir = PathBuf::from(pkg_config(&["--variable=libdir", "ane_train"])?);
    let include_dir = PathBuf::from(pkg_config(&["--variable=includedir", "ane_train"])?);
    Ok(Library { lib_dir, include_dir: Some(include_dir) })
}

fn pkg_config(arguments: &[&str]) -> Result<String, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_string());
    let advice = "install libane_train (make install) and set PKG_CONFIG_PATH to the folder of \
                  ane_train.pc, or set ANE_TRAIN_LIB_DIR to the folder of the library";
    let output = Command::new(&program)
        .args(arguments)
        .output()
        .map_err(|error| format!("libane_train was not found: {program}: {error}\n  {advice}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("libane_train was not found: {}\n  {advice}", reason.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The number is in the header, and in the library's file name: libane_train.so.0,
/// libane_train.0.dylib.
fn check_abi(library: &Library) -> Result<(), String> {
    let place = library.lib_dir.display();
    let seen = match &library.include_dir {
        Some(directory) => vec![header_abi(&directory.join("ane_train.h"))?],
        None => file_abis(&library.lib_dir)?,
    };
    if seen.contains(&ABI_VERSION) {
        return Ok(());
    }
    if seen.is_empty() {
        return Err(format!("expected libane_train in ANE_TRAIN_LIB_DIR, seen none in {place}"));
    }
    Err(format!(
        "expected libane_train of ABI {ABI_VERSION}, which this ane-train-sys was made for, seen ABI \
         {} in {place}\n  use the ane-train-sys of the library's version",
        seen[0]
    ))
}

fn header_abi(header: &Path) -> Result<u32, String> {
    let place = header.display();
    let text = fs::read_to_string(header).map_err(|error| format!("{place}: {error}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("#define ANET_ABI_VERSION "))
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| format!("expected ANET_ABI_VERSION in {place}, seen none"))
}

fn file_abis(directory: &Path) -> Result<Vec<u32>, String> {
    let files = fs::read_dir(directory)
        .map_err(|error| format!("ANE_TRAIN_LIB_DIR: {}: {error}", directory.display()))?;
    Ok(files
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix("libane_train.")?;
            let number = rest.strip_prefix("so.").or_else(|| rest.strip_suffix(".dylib"))?;
            number.parse().ok()
        })
        .collect())
}
