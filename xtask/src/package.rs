//! The npm packages: the page's own modules and WebAssembly for other pages, with types; and the weights.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::{Place, RELEASED_WEIGHTS, node, say};
use crate::tools;
use crate::web::{self, MODULES};

/// The modules of the page that the package begins with; what they import comes along.
const ENTRIES: [&str; 6] = ["client.js", "element.js", "frame-element.js", "node.js", "node-worker.js", "worker.js"];

/// The files of one program.
const PROGRAM: [&str; 2] = ["deepbreath.js", "deepbreath_bg.wasm"];
/// The types of an answer, those of either program.
const TYPES: &str = "generated/cpu/deepbreath.d.ts";

/// The package of the weights: its folder in the repository and in the target folder.
const WEIGHTS: &str = "package-weights";
/// What it holds of other folders.
const WEIGHTS_FILES: [&str; 4] =
    ["weights/deepbreath.safetensors", "weights/MODEL_CARD.md", "NOTICE", "LICENSE-APACHE"];
/// Sections of the model card that its README repeats, where it has a comment with their heading.
const WEIGHTS_SECTIONS: [&str; 2] = ["Intended use", "Data"];

/// Builds the wasm modules, then the packages.
pub(crate) fn build(place: &Place) -> Result<()> {
    tools::node_modules(place)?;
    web::modules(place)?;
    let folder = assemble(place)?;
    say(format!("The package is {}, that of the weights beside it in {WEIGHTS}/", folder.display()));
    Ok(())
}

/// Writes both packages, that of the program from the modules in `www/generated/`; returns its folder.
pub(crate) fn assemble(place: &Place) -> Result<PathBuf> {
    let folder = place.target.join("package");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    copy_program(place, &folder)?;
    copy(&place.root.join("www").join(TYPES), &folder.join(TYPES))?;
    plain_types(&folder.join(TYPES))?;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "NOTICE", "CHANGELOG.md"] {
        copy(&place.root.join(file), &folder.join(file))?;
    }
    copy_all(&place.root.join("package"), &folder)?;
    write_version(&folder.join("package.json"))?;
    say("Generating the types of the package");
    node(place, ["node_modules/typescript/bin/tsc", "--project", "www/tsconfig.json", "--outDir"])
        .args([&folder])
        .run()?;
    assemble_weights(place)?;
    Ok(folder)
}

/// The modules of the package and the WebAssembly.
fn copy_program(place: &Place, folder: &Path) -> Result<()> {
    let www = place.root.join("www");
    for file in with_imports(&www)? {
        copy(&www.join(&file), &folder.join(&file))?;
    }
    for file in MODULES.iter().flat_map(|(name, _)| PROGRAM.map(|file| Path::new("generated").join(name).join(file))) {
        copy(&www.join(&file), &folder.join(&file))?;
    }
    Ok(())
}

/// Writes a page that benchmarks can drive beside other programs, with everything it needs; returns its folder.
pub(crate) fn comparison(place: &Place) -> Result<PathBuf> {
    let folder = place.target.join("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    copy_program(place, &folder)?;
    copy(&place.root.join("tests/browser/beside.html"), &folder.join("index.html"))?;
    copy(&place.generated().join(RELEASED_WEIGHTS), &folder.join("deepbreath.safetensors"))?;
    Ok(folder)
}

/// Writes the package of the released weights.
fn assemble_weights(place: &Place) -> Result<()> {
    let folder = place.target.join(WEIGHTS);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    copy_all(&place.root.join(WEIGHTS), &folder)?;
    for file in WEIGHTS_FILES.map(Path::new) {
        copy(&place.root.join(file), &folder.join(file.file_name().context("a file has a name")?))?;
    }
    write_version(&folder.join("package.json"))?;
    let card = fs::read_to_string(folder.join("MODEL_CARD.md")).context("cannot read the model card")?;
    let readme = folder.join("README.md");
    let mut text = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    for heading in WEIGHTS_SECTIONS {
        let mark = format!("<!-- {heading} -->");
        let section = section(&card, heading).with_context(|| format!("the model card has no section {heading}"))?;
        ensure!(text.contains(&mark), "{WEIGHTS}/README.md has no {mark}");
        text = text.replace(&mark, section);
    }
    fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))
}

/// The text below a heading of the second level, up to the next one.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest).trim())
}

/// The entries and every module that they import, below `www`.
fn with_imports(www: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = ENTRIES.map(str::to_owned).to_vec();
    while let Some(name) = open.pop() {
        let text = fs::read_to_string(www.join(&name)).with_context(|| format!("cannot read www/{name}"))?;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for import in imports(&text) {
            let path = match (import.strip_prefix("../"), import.strip_prefix("./"), folder) {
                (Some(path), _, _) | (_, Some(path), "") => path.to_owned(),
                (_, Some(path), folder) => format!("{folder}/{path}"),
                _ => continue, // Of Node.js.
            };
            if !found.contains(&path) {
                open.push(path);
            }
        }
        found.insert(name);
    }
    Ok(found)
}

/// What a module imports or re-exports, at once or later (`await import('./later.js')`). The imports of types are in comments.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])).filter_map(|line| {
        if let Some((_, rest)) = line.split_once("await import('") {
            return rest.split_once("')").map(|(name, _)| name);
        }
        let (_, rest) = line.split_once("from '").or_else(|| line.strip_prefix("import '").map(|rest| ("", rest)))?;
        rest.strip_suffix("';")
    })
}

/// wasm-bindgen describes `using`, which a consumer's TypeScript may not know; the classes also have `free()`.
fn plain_types(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let kept: Vec<_> = text.lines().filter(|line| !line.contains("[Symbol.dispose]")).collect();
    fs::write(file, kept.join("\n") + "\n").with_context(|| format!("cannot write {}", file.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Copies a folder with all that is in it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            copy(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// The package has the version of this workspace.
fn write_version(manifest: &Path) -> Result<()> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    const PLACE: &str = r#""version": "0.0.0""#;
    ensure!(text.contains(PLACE), "{} has no {PLACE}", manifest.display());
    let text = text.replace(PLACE, &format!(r#""version": "{}""#, env!("CARGO_PKG_VERSION")));
    serde_json::from_str::<Value>(&text).with_context(|| format!("{} is no JSON", manifest.display()))?;
    fs::write(manifest, text).with_context(|| format!("cannot write {}", manifest.display()))
}

#[cfg(test)]
mod tests {
    use super::{imports, section};

    #[test]
    fn a_section_ends_at_the_next_heading() {
        let card = "# Card\n\n## Use\n\nTeaching.\n\n### More\n\nMuch.\n\n## Data\n\nFilms.\n";
        assert_eq!(section(card, "Use"), Some("Teaching.\n\n### More\n\nMuch."));
        assert_eq!(section(card, "Data"), Some("Films."));
        assert_eq!(section(card, "Us"), None);
    }

    #[test]
    fn imports_are_found_and_those_of_types_are_not() {
        let text = "import { a } from './a.js';\nimport {\n  b,\n} from '../b.js';\nimport './c.js';\nexport * from './d.js';\n\
                    /** @typedef {import('./e.js').E} E */\n * Taken from './f.js';\n// from './g.js';\nconst from = 'h';\n\
                    const later = async () => (await import('./i.js')).i;\nmake(/** @type {() => import('./j.js').J} */ (h));\n";
        assert_eq!(imports(text).collect::<Vec<_>>(), ["./a.js", "../b.js", "./c.js", "./d.js", "./i.js"]);
    }
}
