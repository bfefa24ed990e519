//! Pages of lists.

use data_encoding::BASE64URL_NOPAD;

use super::call::Call;
use crate::protocol::{Code, Problem};

const DEFAULT: usize = 100;
const MOST: usize = 500;
/// First part of a decoded page cursor; changes with its meaning.
const VERSION: &str = "p1:";

/// Which page is wanted.
pub(super) struct Paging {
    pub(super) limit: usize,
    /// Items after this one; empty: from the first.
    pub(super) after: String,
}

impl Paging {
    pub(super) fn of(call: &Call) -> Result<Self, Problem> {
        Self::parse(call.query("limit"), call.query("page"))
    }

    fn parse(limit: Option<&str>, page: Option<&str>) -> Result<Self, Problem> {
        let wrong = |detail: String| Problem::new(Code::BadRequest, detail);
        let limit = match limit.map(str::parse) {
            None => DEFAULT,
            Some(Ok(limit @ 1..=MOST)) => limit,
            Some(_) => return Err(wrong(format!("limit must be 1 to {MOST}"))),
        };
        let after = page.map_or(Some(String::new()), decode);
        let after = after.ok_or_else(|| wrong("page must be `next` of the page before".to_owned()))?;
        Ok(Self { limit, after })
    }

    /// The cursor of the page after the item.
    pub(super) fn next(last: &str) -> String {
        BASE64URL_NOPAD.encode(format!("{VERSION}{last}").as_bytes())
    }
}

fn decode(page: &str) -> Option<String> {
    let text = String::from_utf8(BASE64URL_NOPAD.decode(page.as_bytes()).ok()?).ok()?;
    let after = text.strip_prefix(VERSION)?;
    let plain = !after.is_empty() && !after.chars().any(char::is_control);
    plain.then(|| after.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_nonsense_is_refused() {
        let next = Paging::next("lb-1");
        let paging = Paging::parse(Some("500"), Some(&next)).unwrap();
        assert_eq!((paging.limit, paging.after.as_str()), (500, "lb-1"));
        assert_eq!(Paging::parse(None, None).unwrap().limit, DEFAULT);
        for limit in ["0", "501", "-1", "x", "", "1.5", "99999999999999999999"] {
            assert!(Paging::parse(Some(limit), None).is_err(), "{limit}");
        }
        let nul = BASE64URL_NOPAD.encode(b"p1:a\0b");
        for page in ["", "!", "AAAA", &next[1..], &BASE64URL_NOPAD.encode(b"p1:"), &nul] {
            assert!(Paging::parse(None, Some(page)).is_err(), "{page}");
        }
    }
}
