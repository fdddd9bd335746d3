//! What the terms of films, as manifests state them in the column `license`, mean for weights that learned from them.

use std::collections::{BTreeMap, BTreeSet};

use deepbreath::weights::DataSource;

use crate::dataset::{Film, names};

/// Words of terms that allow less than commercial use, in lower case: `NC` of CC BY-NC and of challenge rules, and uses
/// that are allowed by name. `commercial` counts where a [`NEGATIONS`] stands beside it.
const RESTRICTING: [&str; 8] =
    ["nc", "noncommercial", "research", "academic", "education", "educational", "teaching", "personal"];
const NEGATIONS: [&str; 4] = ["non", "not", "no", "without"];

/// Whether `terms` do not allow every use. Words are all there is to go by: in doubt, as in "for research and commercial
/// use", the answer is yes.
fn restricts(terms: &str) -> bool {
    let terms = terms.to_lowercase();
    let words: BTreeSet<&str> = terms.split(|sign: char| !sign.is_alphanumeric()).collect();
    let any = |list: &[&str]| list.iter().any(|word| words.contains(word));
    any(&RESTRICTING) || (words.contains("commercial") && any(&NEGATIONS))
}

/// The sources of `films`, by name, with their terms and counts.
pub(crate) fn sources(films: &[Film]) -> Vec<DataSource> {
    let mut sources: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for film in films {
        let entry = sources.entry(&film.source).or_default();
        entry.0.extend(film.license.as_deref());
        entry.1 += 1;
    }
    sources
        .into_iter()
        .map(|(name, (licences, films))| DataSource {
            name: name.into(),
            licence: if licences.is_empty() { "not stated".into() } else { Vec::from_iter(licences).join("; ") },
            films,
        })
        .collect()
}

/// The terms for using weights that learned from `films`: for education and research only if those of any film are so, with
/// the sources that hold such films; which films come without terms. Never for medical decisions, whatever the films allow.
pub(crate) fn of_weights(films: &[Film]) -> String {
    let [mut restricted, mut unstated] = [BTreeSet::new(), BTreeSet::new()];
    let mut without = 0;
    for film in films {
        match &film.license {
            Some(terms) if restricts(terms) => _ = restricted.insert(&film.source),
            Some(_) => {}
            None => {
                unstated.insert(&film.source);
                without += 1;
            }
        }
    }
    let mut text = if restricted.is_empty() {
        "Not for any medical decision.".to_owned()
    } else {
        format!(
            "For education and research only. Not for commercial use, not for any medical decision. Learned from films that are \
             for non-commercial use or for research only, of {}; see `origin.data`.",
            names(&restricted)
        )
    };
    if without > 0 {
        let who = match without {
            _ if without == films.len() => "the films".into(),
            1 => "1 film".into(),
            _ => format!("{without} films"),
        };
        text += &format!(
            " The manifest states no terms for {who} (of {}): whoever passes the weights on has to know them.",
            names(&unstated)
        );
    } else if restricted.is_empty() {
        text += " The terms that the manifest states name no limit to research or to non-commercial use; see `origin.data`.";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_restrict_are_told_from_those_that_do_not() {
        for terms in [
            "CC BY-NC-SA 4.0",
            "NC (RSNA 2018 challenge rules; images from NIH)",
            "research use (BIMCV-COVID19+ terms)",
            "For non-commercial use",
            "not for commercial purposes",
            "Academic use only",
        ] {
            assert!(restricts(terms), "{terms}");
        }
        for terms in [
            "CC BY 4.0 (claimed by repo; images gathered from the web)",
            "CC0",
            "MIT",
            "NIH ChestX-ray14: free use with attribution",
            "commercial use allowed",
            "listed as authorized for everyone",
        ] {
            assert!(!restricts(terms), "{terms}");
        }
    }

    #[test]
    fn weights_are_as_free_as_their_films() {
        let film = |source: &str, terms: Option<&str>| Film {
            path: "f.png".into(),
            name: "f.png".into(),
            label: 0,
            source: source.into(),
            patient_id: "p".into(),
            view: None,
            age_group: None,
            license: terms.map(String::from),
            sha256: None,
            split: None,
        };
        let own = film("mine", None);
        let free = film("kermany", Some("CC BY 4.0"));
        let [siim, rsna] = [("siim", "NC (rules)"), ("rsna", "CC BY-NC")].map(|(name, terms)| film(name, Some(terms)));
        let text = of_weights(&[siim.clone(), free.clone(), rsna, siim.clone()]);
        assert!(text.starts_with("For education and research only.") && text.contains(", of rsna, siim;"), "{text}");
        assert!(!text.contains("kermany") && !text.contains("no terms"), "{text}");
        let text = of_weights(&[own.clone(), own.clone()]);
        assert!(text.contains("no terms for the films (of mine)") && !text.contains("research"), "{text}");
        let text = of_weights(&[own.clone(), siim, free.clone()]);
        assert!(text.contains("of siim;") && text.contains("no terms for 1 film (of mine)"), "{text}");
        let text = of_weights(std::slice::from_ref(&free));
        assert!(text.contains("name no limit") && !text.contains("no terms"), "{text}");
        let all = sources(&[own.clone(), free, own]);
        let shown: Vec<_> =
            all.iter().map(|source| (source.name.as_str(), source.licence.as_str(), source.films)).collect();
        assert_eq!(shown, [("kermany", "CC BY 4.0", 1), ("mine", "not stated", 2)]);
        for words in [of_weights(&[]), text] {
            assert!(words.contains("Not for any medical decision"), "{words}");
        }
    }
}
