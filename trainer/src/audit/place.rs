//! What the name of a group of films stands for, and how many films there are.

use std::collections::BTreeMap;

use crate::folds::left_out_sources;

/// Name of the sources that the weights were trained on.
pub(super) const SEEN: &str = "seen";
/// Name of the other sources.
pub(super) const UNSEEN: &str = "unseen";
/// The same as the place of a gap.
pub(super) const NEVER_SEEN: &str = "sources never seen";

/// Sources whose films come from the same hospitals: rsna's and nih's from the NIH Clinical Center (Shih et al. 2019), a
/// part of siim's from BIMCV as bimcv's (Lakhani et al. 2021).
const SAME_HOSPITALS: [[&str; 2]; 2] = [["nih", "rsna"], ["bimcv", "siim"]];

/// Films by source, then by label.
pub(crate) type Counts = BTreeMap<String, BTreeMap<String, usize>>;

/// Where films come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// All sources that the weights were trained on.
    Seen,
    /// All other sources.
    Unseen,
    /// One source.
    Source(&'a str),
    /// Several sources that were left out together (`a+b`). Recognising the source can be worth something there.
    Joined(Vec<&'a str>),
}

impl<'a> Place<'a> {
    /// The place of that name, where no source is known by name.
    pub(crate) fn of(name: &'a str) -> Self {
        Self::among(name, |_| false)
    }

    /// The place of that name; a source that is `known` by it is that source alone, whatever `+` it holds.
    pub(super) fn among(name: &'a str, known: impl Fn(&str) -> bool) -> Self {
        match name {
            SEEN => Self::Seen,
            UNSEEN | NEVER_SEEN => Self::Unseen,
            _ => match left_out_sources(name, known)[..] {
                [source] => Self::Source(source),
                ref sources => Self::Joined(sources.to_vec()),
            },
        }
    }

    /// The sources that it names; none where it stands for whatever training saw or did not see.
    pub(super) fn sources(&self) -> &[&'a str] {
        match self {
            Self::Seen | Self::Unseen => &[],
            Self::Source(source) => std::slice::from_ref(source),
            Self::Joined(sources) => sources,
        }
    }

    /// For readers. `films` tells whether joined sources hold one label each, and which source is itself called `a+b`.
    pub(crate) fn words(&self, films: &Counts) -> String {
        match self {
            Self::Seen => "sources that training saw".into(),
            Self::Unseen => NEVER_SEEN.into(),
            Self::Source(source) => (*source).into(),
            Self::Joined(sources) if films.contains_key(&sources.join("+")) => sources.join("+"),
            Self::Joined(sources) => {
                let one_label = sources.iter().all(|source| films.get(*source).is_some_and(|labels| labels.len() == 1));
                let between = format!("between {}", sources.join(" and "));
                if one_label { between + ", one label each" } else { between }
            }
        }
    }
}

/// What has to be said where the sources `out` were left out of training, and others of the same hospitals were not: empty, or a
/// clause like `bimcv, of the same hospitals as siim, was still in training`. `known` are the sources there are.
pub(crate) fn still_trained(out: &[&str], known: impl Fn(&str) -> bool) -> String {
    let pairs = SAME_HOSPITALS.iter().flat_map(|[a, b]| [(*a, *b), (*b, *a)]);
    let left = pairs.filter(|(of, other)| out.contains(of) && !out.contains(other) && known(other));
    let clauses: Vec<String> =
        left.map(|(of, other)| format!("{other}, of the same hospitals as {of}, was still in training")).collect();
    clauses.join("; ")
}

/// Films of the rarer label of `pair` (`a/b`) at the sources that are `wanted`; none if `pair` is no pair.
pub(super) fn rarer(films: &Counts, pair: &str, wanted: impl Fn(&str) -> bool) -> Option<usize> {
    let (a, b) = pair.split_once('/')?;
    let count = |label: &str| -> usize {
        let chosen = films.iter().filter(|(source, _)| wanted(source.as_str()));
        chosen.filter_map(|(_, labels)| labels.get(label)).sum()
    };
    Some(count(a).min(count(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn films() -> Counts {
        let of = |labels: &[(&str, usize)]| -> BTreeMap<String, usize> {
            labels.iter().map(|(label, count)| (label.to_string(), *count)).collect()
        };
        [
            ("one".to_owned(), of(&[("covid", 5)])),
            ("two".to_owned(), of(&[("normal", 7)])),
            ("both".to_owned(), of(&[("covid", 3), ("normal", 1)])),
        ]
        .into()
    }

    #[test]
    fn joined_sources_are_told_from_single_ones() {
        assert_eq!(Place::of("siim"), Place::Source("siim"));
        assert_eq!(Place::of("one + two"), Place::Joined(vec!["one", "two"]));
        assert_eq!(Place::of(NEVER_SEEN), Place::of(UNSEEN));
        assert!(Place::of(SEEN).sources().is_empty());
        assert_eq!(Place::of("siim").sources(), ["siim"]);
        assert_eq!(Place::of("one+two").words(&films()), "between one and two, one label each");
        assert_eq!(Place::of("one+both").words(&films()), "between one and both");
        let one: Counts = [("one+two".to_owned(), films()["both"].clone())].into();
        assert_eq!(Place::of("one+two").words(&one), "one+two");
        let typed = Place::among("one+two", |source| one.contains_key(source));
        assert_eq!((typed.sources(), typed.words(&one)), (&["one+two"][..], "one+two".to_owned()));
    }

    #[test]
    fn a_source_left_out_names_those_of_its_hospitals_that_were_not() {
        let of = |out: &[&str]| still_trained(out, |source| source != "nih");
        assert_eq!(of(&["siim"]), "bimcv, of the same hospitals as siim, was still in training");
        assert_eq!(of(&["bimcv", "rsna"]), "siim, of the same hospitals as bimcv, was still in training");
        assert_eq!((of(&["siim", "bimcv"]), of(&["rsna"]), of(&["kermany"])), Default::default());
    }

    #[test]
    fn the_rarer_label_is_counted_over_the_wanted_sources() {
        assert_eq!(rarer(&films(), "covid/normal", |source| source == "both"), Some(1));
        assert_eq!(rarer(&films(), "covid/normal", |_| true), Some(8));
        assert_eq!(rarer(&films(), "covid/normal", |source| source == "one"), Some(0));
        assert_eq!(rarer(&films(), "covid", |_| true), None);
    }
}
