//! The page for developers: the package's README and cookbook, and the types of the classifier and of the answer, as they
//! are in the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::card;
use crate::run::Place;

/// What the page is made of, with the heading that it gets here; the README's own headings stay.
const PARTS: [(&str, &str); 4] = [
    ("", "package/README.md"),
    ("Cookbook", "package/COOKBOOK.md"),
    ("Types of the classifier", "package/client.d.ts"),
    ("Types of the answer", "src/web.d.ts"),
];
/// Where it goes in `embed.html`.
const MARK: &str = "<!-- GUIDE -->";

/// Puts the guide into the `embed.html` of a finished site.
pub(crate) fn write(place: &Place, site: &Path) -> Result<()> {
    let page = site.join("embed.html");
    let frame = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    ensure!(frame.contains(MARK), "embed.html has no {MARK}");
    let mut guide = String::new();
    for (heading, file) in PARTS {
        let text = fs::read_to_string(place.root.join(file)).with_context(|| format!("cannot read {file}"))?;
        guide.push_str(&card::render(&part(heading, file, &text)));
    }
    let guide = guide.replace("<pre>", "<pre tabindex=\"0\" role=\"group\" aria-label=\"Code\">");
    fs::write(&page, frame.replace(MARK, &guide)).context("cannot write embed.html")
}

/// One part as Markdown below its heading. Its own title goes, and its sections become those of the heading.
fn part(heading: &str, file: &str, text: &str) -> String {
    if !file.ends_with(".md") {
        return format!("## {heading}\n\n```ts\n{text}```\n");
    }
    let body = text.split_once('\n').map_or(text, |(_, rest)| rest);
    if heading.is_empty() { body.to_owned() } else { format!("## {heading}\n{}", body.replace("\n## ", "\n### ")) }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_part_stands_below_its_heading() {
        assert_eq!(part("", "a.md", "# Title\n\nText.\n\n## One\n"), "\nText.\n\n## One\n");
        assert_eq!(part("More", "a.md", "# Title\n\n## One\n"), "## More\n\n### One\n");
        assert_eq!(part("Types", "a.d.ts", "type A = 1;\n"), "## Types\n\n```ts\ntype A = 1;\n```\n");
    }
}
