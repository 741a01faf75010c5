//! `cargo xtask web`: the browser demo as `trunk build` makes it, for machines without trunk.
//!
//! Trunk and this builder both read the parts of the page from the lines `<link data-trunk …>` of `index.html`. This
//! builder needs cargo and `xtask/bindgen`, which compiles in minutes; trunk and its tools take most of an hour.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use noprop_browser::Server;

use crate::process::{capture, cargo, run, target_dir, workspace_root};

/// The target that browsers run.
pub const WASM: &str = "wasm32-unknown-unknown";

/// The environment variable that names a rustup toolchain that compiles for [`WASM`], if the toolchain in use does not.
const TOOLCHAIN: &str = "NOPROP_WASM_TOOLCHAIN";

/// Arguments of `cargo xtask web`.
#[derive(Args)]
pub struct WebArgs {
    /// Serve the page afterwards on this port of this machine (0: any free one)
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8080")]
    serve: Option<u16>,
    /// Folder to write the page into
    #[arg(long, value_name = "FOLDER")]
    dist: Option<PathBuf>,
}

/// Builds the page. If that was asked for, serves it until the program is interrupted.
pub fn web(args: &WebArgs) -> Result<()> {
    let dist = match &args.dist {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace_root().join("dist"),
    };
    build(&dist)?;
    println!("the page is in {}", dist.display());
    let Some(port) = args.serve else {
        return Ok(());
    };
    let server = Server::bind(dist, port)?;
    println!("serving it at {} (Ctrl-C ends this)", server.address());
    server.run()
}

/// Builds everything that `index.html` asks for into `dist`, which is replaced.
pub fn build(dist: &Path) -> Result<()> {
    ensure!(
        has_wasm(),
        "the Rust toolchain cannot compile for {WASM}; `cargo xtask setup` adds what is missing"
    );
    let bindgen = bindgen_program()?;
    let root = workspace_root();
    let source = fs::read_to_string(root.join("index.html")).context("index.html")?;
    let (html, links) = read_index(&source)?;

    // The page is built outside of `dist`, so that a failed build leaves the last page as it was.
    let staging = target_dir()?.join("web-dist");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    fs::create_dir_all(&staging)?;
    for link in &links {
        match link {
            Link::Program(program) => bundle(program, &bindgen, &staging)?,
            Link::Copy(path) => copy(&root.join(path), &staging)
                .with_context(|| format!("{path}, which index.html names"))?,
        }
    }
    fs::write(staging.join("index.html"), html)?;
    replace(dist, &staging)
}

/// Whether the toolchain in use has the standard library for [`WASM`].
pub fn has_wasm() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", WASM]);
    capture(with_wasm(&mut rustc)).is_some_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Makes a command use the rustup toolchain that compiles for [`WASM`].
pub fn with_wasm(command: &mut Command) -> &mut Command {
    match env::var_os(TOOLCHAIN) {
        Some(name) => command.env("RUSTUP_TOOLCHAIN", name),
        None => command,
    }
}

/// Compiles `xtask/bindgen` if that has not been done, and returns the path of the program.
pub fn bindgen_program() -> Result<PathBuf> {
    let target = target_dir()?.join("web-tools");
    let mut build = cargo(["build", "--release", "--locked", "--quiet"]);
    build
        .args(["--manifest-path", "xtask/bindgen/Cargo.toml"])
        .env("CARGO_TARGET_DIR", &target);
    ensure!(run(&mut build)?, "xtask/bindgen did not compile");
    let name = format!("noprop-bindgen{}", env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(name))
}

/// A part of the page that `index.html` asks for.
#[derive(Debug, PartialEq)]
enum Link {
    /// A Rust program for the browser.
    Program(Program),
    /// A file or folder beside the page.
    Copy(String),
}

#[derive(Debug, PartialEq)]
struct Program {
    /// The path of the program's `Cargo.toml`.
    manifest: String,
    /// The name of the program.
    bin: String,
    /// The cargo features of the program.
    features: String,
    /// Whether the default features of the program's package are on.
    has_default_features: bool,
    /// The cargo profile of the program.
    profile: String,
}

/// The page as browsers read it and the parts that it asks for, from trunk's `index.html`.
fn read_index(source: &str) -> Result<(String, Vec<Link>)> {
    const START: &str = "<link data-trunk";
    let mut parts = source.split(START);
    let mut html = parts.next().unwrap_or_default().to_owned();
    let mut links = Vec::new();
    for part in parts {
        let (attributes, rest) = part.split_once('>').context("a link without end")?;
        let (link, tag) =
            read_link(attributes).with_context(|| format!("index.html: {START}{attributes}>"))?;
        links.push(link);
        html += &tag;
        html += rest;
    }
    ensure!(!links.is_empty(), "index.html has no `{START}`");
    Ok((html, links))
}

/// The part that a link asks for, and the tags that a browser needs in place of the link.
fn read_link(attributes: &str) -> Result<(Link, String)> {
    let get = |name: &str| {
        let (_, rest) = attributes.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let href = get("href").context("it has no href=\"…\"")?;
    let rel = get("rel");
    let tag = match rel.as_deref() {
        Some("rust") => {
            let bin = get("data-bin").context("it has no data-bin=\"…\"")?;
            // The program of the page starts with the page; it starts the workers.
            let tag = match get("data-type").as_deref() {
                Some("worker") => String::new(),
                _ => format!(
                    "<link rel=\"modulepreload\" href=\"./{bin}.js\">\n  \
                     <link rel=\"preload\" href=\"./{bin}_bg.wasm\" as=\"fetch\" type=\"application/wasm\" crossorigin>\n  \
                     <script type=\"module\">import init from \"./{bin}.js\"; \
                     init({{ module_or_path: \"./{bin}_bg.wasm\" }});</script>"
                ),
            };
            let program = Program {
                manifest: href,
                bin,
                features: get("data-cargo-features").unwrap_or_default(),
                has_default_features: !attributes.contains("data-cargo-no-default-features"),
                profile: get("data-cargo-profile").unwrap_or_else(|| "release".to_owned()),
            };
            return Ok((Link::Program(program), tag));
        }
        Some("css") => {
            let name = href.rsplit('/').next().unwrap_or(&href);
            format!("<link rel=\"stylesheet\" href=\"./{name}\">")
        }
        Some("copy-file" | "copy-dir") => String::new(),
        _ => bail!("rel is {rel:?}; this builder knows rust, css, copy-file and copy-dir"),
    };
    Ok((Link::Copy(href), tag))
}

/// Compiles one program and writes its JavaScript and WebAssembly into `out`.
fn bundle(program: &Program, bindgen: &Path, out: &Path) -> Result<()> {
    // The build has a target folder of its own, so that it does not wait for a native build.
    let target = target_dir()?.join("web");
    let mut build = cargo(["build", "--target", WASM]);
    build
        .args(["--manifest-path", &program.manifest])
        .args(["--profile", &program.profile, "--bin", &program.bin])
        .args(["--features", &program.features])
        .env("CARGO_TARGET_DIR", &target);
    if !program.has_default_features {
        build.arg("--no-default-features");
    }
    ensure!(
        run(with_wasm(&mut build))?,
        "{} did not compile",
        program.bin
    );
    let wasm = target
        .join(WASM)
        .join(&program.profile)
        .join(format!("{}.wasm", program.bin));
    ensure!(
        run(Command::new(bindgen).arg(&wasm).arg(out))?,
        "wasm-bindgen rejects {}; is its version in xtask/bindgen/Cargo.toml the one in Cargo.lock?",
        wasm.display()
    );
    Ok(())
}

/// Replaces the last page by the finished page; a folder that is no page is not replaced.
fn replace(dist: &Path, staging: &Path) -> Result<()> {
    if dist.exists() {
        ensure!(
            is_page(dist)?,
            "{} exists and holds no page, so it is not replaced; choose another folder",
            dist.display()
        );
        fs::remove_dir_all(dist)?;
    }
    fs::create_dir_all(dist)?;
    for entry in fs::read_dir(staging)? {
        copy(&entry?.path(), dist)?;
    }
    Ok(())
}

/// Whether `folder` is empty or a page that this builder or trunk has made.
fn is_page(folder: &Path) -> Result<bool> {
    let mut files =
        fs::read_dir(folder).with_context(|| format!("{} is no folder", folder.display()))?;
    let is_built = folder.join("index.html").is_file() && !folder.join("Cargo.toml").exists();
    Ok(is_built || files.next().is_none())
}

/// Copies a file, or a folder with all that is in it, into the folder `into`.
fn copy(from: &Path, into: &Path) -> Result<()> {
    let name = from
        .file_name()
        .with_context(|| format!("{} names no file", from.display()))?;
    let to = into.join(name);
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        copy(&entry?.path(), &to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<head>
<link rel="icon" href="data:,">
<link data-trunk rel="css" href="web/style.css">
<link data-trunk rel="rust" href="web/Cargo.toml" data-bin="page" data-cargo-features="page" data-cargo-no-default-features data-cargo-profile="web" />
<link data-trunk rel="rust" href="web/Cargo.toml" data-bin="engine" data-type="worker">
<link data-trunk rel="copy-dir" href="assets">
</head><body>7</body>"#;

    #[test]
    fn finds_what_the_page_asks_for() {
        let (_, links) = read_index(PAGE).unwrap();
        let program = |bin: &str| Program {
            manifest: "web/Cargo.toml".into(),
            bin: bin.into(),
            features: String::new(),
            has_default_features: true,
            profile: "release".into(),
        };
        let page = Program {
            features: "page".into(),
            has_default_features: false,
            profile: "web".into(),
            ..program("page")
        };
        assert_eq!(
            links,
            [
                Link::Copy("web/style.css".into()),
                Link::Program(page),
                Link::Program(program("engine")),
                Link::Copy("assets".into()),
            ]
        );
    }

    #[test]
    fn leaves_only_links_that_a_browser_understands() {
        let (html, _) = read_index(PAGE).unwrap();
        assert!(!html.contains("data-trunk"), "{html}");
        assert!(html.contains(r#"<link rel="stylesheet" href="./style.css">"#));
        assert!(html.contains("./page_bg.wasm") && !html.contains("engine"));
        assert!(html.starts_with("<head>\n<link rel=\"icon\""));
        assert!(html.ends_with("</head><body>7</body>"));
    }

    #[test]
    fn says_what_is_wrong_with_a_link() {
        for (link, expected) in [
            ("<link data-trunk rel=\"css\">", "no href"),
            ("<link data-trunk rel=\"sass\" href=\"a\">", "sass"),
            ("<link data-trunk rel=\"rust\" href=\"a\">", "data-bin"),
            ("<link data-trunk rel=css href=\"a\">", "rel is None"),
            ("<link data-trunk rel=\"css\" href=\"a>", "no href"),
            ("<link data-trunk rel=\"css\"", "without end"),
            ("<p>", "no `<link data-trunk`"),
        ] {
            let error = read_index(link).expect_err(link);
            assert!(format!("{error:#}").contains(expected), "{link}: {error:#}");
        }
    }

    #[test]
    fn the_page_of_this_workspace_is_understood() {
        let source = fs::read_to_string(workspace_root().join("index.html")).unwrap();
        let (html, links) = read_index(&source).unwrap();
        assert_eq!(html.matches("<script type=\"module\">").count(), 1);
        assert!(links.contains(&Link::Copy("web/worker.js".into())));
    }

    #[test]
    fn a_folder_with_something_else_is_not_replaced() {
        assert!(!is_page(&workspace_root()).unwrap());
        assert!(!is_page(&workspace_root().join("xtask/src")).unwrap());
        assert!(is_page(&workspace_root().join("Cargo.toml")).is_err());
    }

    #[test]
    fn the_bindgen_version_is_the_locked_one() {
        let read = |path: &str| fs::read_to_string(workspace_root().join(path)).unwrap();
        let lock = read("Cargo.lock");
        let locked = lock
            .split("name = \"wasm-bindgen\"\nversion = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("wasm-bindgen is locked");
        let wanted = format!("wasm-bindgen-cli-support = \"={locked}\"");
        assert!(
            read("xtask/bindgen/Cargo.toml").contains(&wanted),
            "xtask/bindgen/Cargo.toml should say {wanted}"
        );
    }
}
