//! The last step of a build of the page: names that tell the content, the list of files with their digests that the
//! loader checks, and compressed copies for hosts that can send them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::card;
use crate::guide;
use crate::run::{Place, say};

/// The list of files, for `www/loader/assets.js`.
const MANIFEST: &str = "assets.json";
/// Folder of the files whose names tell their content, so that browsers may keep them for ever.
const ASSETS: &str = "assets";
/// The inline script of the sealed frame, and what stands for its hash in the page.
const FRAME: &str = "loader/frame.js";
const FRAME_HASH: &str = "FRAME_HASH";
/// Smaller files are not worth a compressed copy.
const COMPRESS_FROM: usize = 512;

/// For hosts that read this file (Netlify, Cloudflare Pages); README.md says the same for others. Both join the values of
/// all rules that fit, and have browsers ask again for a file without a rule: so only one rule is about caching.
const HEADERS: &str = "/*
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer
/assets/*
  Cache-Control: public, max-age=31536000, immutable
";

/// One file of the list.
#[derive(Serialize)]
struct Asset {
    path: String,
    bytes: usize,
    sha256: String,
}

/// `assets.json`.
#[derive(Serialize)]
struct Manifest {
    version: String,
    /// What the loader fetches, by the name that code uses.
    files: BTreeMap<String, Asset>,
    /// The page around: kept for visits without a network.
    shell: BTreeMap<String, Asset>,
}

/// How the page uses a file.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Fetched by the loader under a name with a hash.
    File,
    /// Named by `index.html` or by what that names; keeps its name.
    Shell,
    /// Both.
    Both,
    /// Fetched by the browser itself, never kept.
    Own,
    /// Not needed at run time.
    Drop,
}

fn role(name: &str) -> Role {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    match (folder, file, extension) {
        (_, _, "ts") | (_, ".gitignore", _) | ("generated", "markup.js", _) => Role::Drop,
        ("", "sw.js", _) => Role::Own,
        ("", "app.html", _) => Role::File,
        _ if name == FRAME => Role::Both,
        // Modules that the loader imports and hands to the frame as well; style sheets that other pages may link.
        ("", "engine.js" | "fetch.js" | "backend.js", _) | ("", _, "css") => Role::Both,
        ("", "loader.js" | "about.js", _) | ("loader", _, _) => Role::Shell,
        ("", _, "js") => Role::File,
        ("", _, _) => Role::Shell,
        _ => Role::File,
    }
}

/// trunk's last hook: works on the folder that trunk is about to publish.
pub(crate) fn finish(place: &Place) -> Result<()> {
    let folder = env::var_os("TRUNK_STAGING_DIR").map(PathBuf::from);
    let folder = folder.context("trunk runs this: use `trunk build` or `cargo xtask serve`")?;
    let release = env::var("TRUNK_PROFILE").is_ok_and(|profile| profile == "release");
    card::about(place, &folder)?;
    guide::write(place, &folder)?;
    strip(&folder)?;
    list(&folder)?;
    if release {
        say("Compressing the page");
        compress(&folder, &place.target.join("dist-cache"))?;
    }
    Ok(())
}

/// Leaves the comments out of the page's JavaScript: a fifth of what is not WebAssembly.
fn strip(folder: &Path) -> Result<()> {
    for name in names(folder)?.iter().filter(|name| name.ends_with(".js")) {
        let path = folder.join(name);
        let code = String::from_utf8(read(&path)?).with_context(|| format!("{name} is no UTF-8"))?;
        fs::write(&path, without_comments(&code)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// JavaScript without the comments that have lines of their own; others stay, because only a parser could tell them from
/// strings. Everything else, and with it every string, stays as it is.
fn without_comments(code: &str) -> String {
    let mut within = false;
    let mut kept = String::with_capacity(code.len());
    for line in code.split_inclusive('\n') {
        let text = line.trim_start();
        if !within && text.starts_with("//") {
            continue;
        }
        if !within && !text.starts_with("/**") {
            kept.push_str(line);
            continue;
        }
        within = !text.contains("*/");
        // Code behind the end of a comment: a value whose type is told, for example.
        if let Some((_, rest)) = text.split_once("*/")
            && !rest.trim().is_empty()
        {
            kept.push_str(rest);
        }
    }
    kept
}

/// Renames, writes the policy's hash and the list.
fn list(folder: &Path) -> Result<()> {
    let frame = read(&folder.join(FRAME))?;
    let page = folder.join("index.html");
    let html = String::from_utf8(read(&page)?).context("index.html is no UTF-8")?;
    ensure!(html.contains(FRAME_HASH), "index.html has no {FRAME_HASH} in its policy");
    fs::write(&page, html.replace(FRAME_HASH, &BASE64.encode(Sha256::digest(&frame))))?;

    let mut manifest = Manifest { version: String::new(), files: BTreeMap::new(), shell: BTreeMap::new() };
    let mut build = Sha256::new();
    for name in names(folder)? {
        let from = folder.join(&name);
        let bytes = read(&from)?;
        let digest = hex(&Sha256::digest(&bytes));
        let role = role(&name);
        let asset = |path: String| Asset { path, bytes: bytes.len(), sha256: digest.clone() };
        build.update(format!("{name} {digest}\n"));
        if matches!(role, Role::File | Role::Both) {
            let path = hashed(&name, &digest);
            let to = folder.join(&path);
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            fs::write(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
            manifest.files.insert(name.clone(), asset(path));
        }
        if matches!(role, Role::Shell | Role::Both) {
            manifest.shell.insert(name.clone(), asset(name.clone()));
        }
        if matches!(role, Role::File | Role::Drop) {
            fs::remove_file(&from).with_context(|| format!("cannot remove {}", from.display()))?;
        }
    }
    manifest.version = format!("{} ({})", env!("CARGO_PKG_VERSION"), &hex(&build.finalize())[..8]);
    fs::write(folder.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    fs::write(folder.join("_headers"), HEADERS)?;
    remove_empty(folder)
}

/// `app/main.js` becomes `assets/app/main-0123456789abcdef.js`.
fn hashed(name: &str, digest: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    format!("{ASSETS}/{stem}-{}.{extension}", &digest[..16])
}

/// Every file below `folder`, relative, with `/`.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_str().context("a file's name is no UTF-8")?;
                names.push(name.replace('\\', "/"));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Folders that the renaming left empty.
fn remove_empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_empty(&path)?;
            if fs::read_dir(&path)?.next().is_none() {
                fs::remove_dir(&path)?;
            }
        }
    }
    Ok(())
}

/// Writes `.br` and `.gz` beside each file that gets smaller. `cache` keeps them by content: the largest take a minute.
fn compress(folder: &Path, cache: &Path) -> Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    for name in names(folder)? {
        let path = folder.join(&name);
        let bytes = read(&path)?;
        if bytes.len() < COMPRESS_FROM {
            continue;
        }
        let digest = hex(&Sha256::digest(&bytes));
        for (extension, encode) in [("br", brotli as fn(&[u8]) -> Result<Vec<u8>>), ("gz", gzip)] {
            let kept = cache.join(format!("{digest}.{extension}"));
            let small = match fs::read(&kept) {
                Ok(small) => small,
                Err(_) => {
                    let small = encode(&bytes)?;
                    // By way of another name: an interrupted build must not leave half a file behind.
                    let part = kept.with_extension("part");
                    fs::write(&part, &small)?;
                    fs::rename(&part, &kept)?;
                    small
                }
            };
            if small.len() < bytes.len() {
                fs::write(folder.join(format!("{name}.{extension}")), small)?;
            }
        }
    }
    Ok(())
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut small = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut small, &parameters)?;
    Ok(small)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_has_its_role() {
        let cases = [
            ("index.html", Role::Shell),
            ("about.html", Role::Shell),
            ("about.js", Role::Shell),
            ("app.html", Role::File),
            ("app/main.js", Role::File),
            ("worker.js", Role::File),
            ("loader.js", Role::Shell),
            ("loader/frame.js", Role::Both),
            ("engine.js", Role::Both),
            ("style.css", Role::Both),
            ("sw.js", Role::Own),
            ("generated/cpu/deepbreath_bg.wasm", Role::File),
            ("generated/cpu/deepbreath.d.ts", Role::Drop),
            ("generated/.gitignore", Role::Drop),
            ("icon.svg", Role::Shell),
        ];
        for (name, expected) in cases {
            assert!(role(name) == expected, "{name}");
        }
    }

    #[test]
    fn comments_on_lines_of_their_own_are_left_out() {
        let code = "// One.\nlet a = '// no'; // two\n  /**\n   * Three.\n   */\nlet b;\n/** @type {A} */ (c);\n/** four\n */ d(/** @type {E} */ (e));\n\n/** Five. */\n";
        assert_eq!(without_comments(code), "let a = '// no'; // two\nlet b;\n (c);\n d(/** @type {E} */ (e));\n\n");
    }

    #[test]
    fn a_site_is_listed_renamed_and_compressed() -> Result<()> {
        let folder = env::temp_dir().join(format!("deepbreath-dist-{}", std::process::id()));
        let site = folder.join("site");
        fs::create_dir_all(site.join("loader"))?;
        fs::create_dir_all(site.join("app"))?;
        fs::write(site.join("index.html"), "<meta content=\"script-src 'sha256-FRAME_HASH'\">")?;
        fs::write(site.join(FRAME), "let frame;")?;
        fs::write(site.join("app/main.js"), "let main;\n".repeat(100))?;
        list(&site)?;
        compress(&site, &folder.join("cache"))?;

        let html = fs::read_to_string(site.join("index.html"))?;
        assert!(html.contains("'sha256-oug9e4CCoRCIQZbTqOgkIzjQ+Bb/8LwhjH5rC04U4S0='"), "{html}");
        let manifest: serde_json::Value = serde_json::from_slice(&read(&site.join(MANIFEST))?)?;
        let path = manifest["files"]["app/main.js"]["path"].as_str().context("app/main.js is listed")?;
        let bytes = read(&site.join(path))?;
        assert_eq!(manifest["files"]["app/main.js"]["sha256"], hex(&Sha256::digest(&bytes)));
        assert!(path.starts_with("assets/app/main-") && path.ends_with(".js"), "{path}");
        assert!(!site.join("app").exists(), "the plain name is gone");
        assert!(manifest["shell"].get("loader/frame.js").is_some() && manifest["files"].get(FRAME).is_some());

        let mut unpacked = Vec::new();
        brotli::BrotliDecompress(&mut &read(&site.join(format!("{path}.br")))?[..], &mut unpacked)?;
        assert_eq!(unpacked, bytes);
        assert!(site.join(format!("{path}.gz")).is_file());
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
