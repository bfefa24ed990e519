//! Which HTTP statuses are good.

/// Entries of one list.
const MOST: usize = 16;

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStatus(Vec<(u16, u16)>);

/// Why a list of statuses cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectedProblem {
    /// An entry, by its index.
    #[error("{1:?} is no HTTP status: write a status such as 204, or a class such as 2xx")]
    Entry(usize, String),
    /// Too few or too many.
    #[error("{0} statuses: write 1 to {MOST}, or leave the list out for 2xx")]
    Count(usize),
}

impl Default for ExpectedStatus {
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl ExpectedStatus {
    /// Reads a list; absent: 2xx.
    ///
    /// # Errors
    /// The first entry that is wrong, or their number.
    pub fn read(texts: Option<&[String]>) -> Result<Self, ExpectedProblem> {
        let Some(texts) = texts else { return Ok(Self::default()) };
        if texts.is_empty() || texts.len() > MOST {
            return Err(ExpectedProblem::Count(texts.len()));
        }
        let read = |(at, text): (usize, &String)| {
            range(text).ok_or_else(|| ExpectedProblem::Entry(at, text.chars().take(20).collect()))
        };
        texts.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a status is good.
    #[must_use]
    pub fn admits(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl std::fmt::Display for ExpectedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |(low, high): &(u16, u16)| match low == high {
            true => low.to_string(),
            false => format!("{}xx", low / 100),
        };
        f.write_str(&self.0.iter().map(word).collect::<Vec<_>>().join(" or "))
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    match text.as_bytes() {
        [class @ b'1'..=b'5', b'x', b'x'] => {
            let low = u16::from(class - b'0') * 100;
            Some((low, low + 99))
        }
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().ok().map(|status| (status, status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<ExpectedStatus, ExpectedProblem> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        ExpectedStatus::read(Some(&texts))
    }

    #[test]
    fn classes_and_single_statuses() {
        let expected = read(&["2xx", "404"]).unwrap();
        for (status, good) in [(199, false), (200, true), (299, true), (300, false), (404, true), (405, false)] {
            assert_eq!(expected.admits(status), good, "{status}");
        }
        assert_eq!(expected.to_string(), "2xx or 404");
        assert!(ExpectedStatus::read(None).unwrap().admits(204));
    }

    #[test]
    fn everything_else_is_refused() {
        for wrong in ["", "2XX", "6xx", "0xx", "20", "2000", "2x0", "200-299", "abc", "٢xx"] {
            assert!(matches!(read(&["200", wrong]), Err(ExpectedProblem::Entry(1, _))), "{wrong}");
        }
        assert_eq!(read(&[]), Err(ExpectedProblem::Count(0)));
        assert_eq!(read(&["200"; 17]), Err(ExpectedProblem::Count(17)));
    }
}
