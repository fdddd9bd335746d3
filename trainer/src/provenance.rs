//! When and from what: dates and commits for reports and weights.

use std::time::{SystemTime, UNIX_EPOCH};

/// Today in UTC, `YYYY-MM-DD`; `SOURCE_DATE_EPOCH` (seconds) replaces the clock for reproducible reports.
pub fn today() -> String {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    date(fixed.unwrap_or_else(now) / 86_400)
}

/// The Gregorian date of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let z = days + 719_468;
    let era_day = z % 146_097;
    let era_year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let shifted = (5 * year_day + 2) / 153;
    let (day, month) = (year_day - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = z / 146_097 * 400 + era_year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Short hash of the commit that this trainer was built from, and its day; `unknown` where it was not built in a checkout.
/// `-dirty` behind the hash says that its sources had changes that were not committed.
/// Weights carry the commit's day rather than today's, so that equal runs give equal files.
pub fn commit() -> (String, String) {
    (env!("TRAINER_COMMIT").into(), env!("TRAINER_COMMIT_DATE").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_453), "2025-12-31");
    }

    #[test]
    fn the_commit_is_that_of_the_build() {
        let (commit, day) = commit();
        if commit == "unknown" {
            assert_eq!(day, "unknown");
            return;
        }
        let hash = commit.strip_suffix("-dirty").unwrap_or(&commit);
        assert!(hash.len() >= 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
        assert!(day.len() == 10 && day.as_bytes()[4] == b'-', "{day}");
    }
}
