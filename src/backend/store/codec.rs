//! How values are stored: a version byte, then JSON.

use serde::{Serialize, de::DeserializeOwned};

use super::StoreProblem;

/// The only version so far. A new one reads the old ones.
const VERSION: u8 = 1;

/// The stored form of a value.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreProblem> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).map_err(|problem| StoreProblem::Corrupt(problem.to_string()))?;
    Ok(bytes)
}

/// The value of a stored form.
///
/// # Errors
/// When it was written by a newer release, or is damaged.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreProblem> {
    match bytes.split_first() {
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|problem| StoreProblem::Corrupt(problem.to_string()))
        }
        Some((version, _)) => Err(StoreProblem::Corrupt(format!("its version is {version}, known is {VERSION}"))),
        None => Err(StoreProblem::Corrupt("it is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let bytes = encode(&vec![1, 2]).unwrap();
        assert_eq!(decode::<Vec<i32>>(&bytes).unwrap(), vec![1, 2]);
        for damaged in [&b""[..], b"\x02[]", b"\x01[", b"\x01{}"] {
            assert!(matches!(decode::<Vec<i32>>(damaged), Err(StoreProblem::Corrupt(_))));
        }
    }
}
