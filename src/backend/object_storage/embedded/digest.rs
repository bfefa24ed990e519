//! Hashes of a body while it goes to disk, and what the client said they would be.

use crc_fast::{CrcAlgorithm, checksum_combine};
use data_encoding::{BASE64, HEXLOWER};
use s3s::{
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
    dto,
};

use super::{
    problem::VaultProblem,
    rows::{Algorithm, Checksum},
};

/// What a client says about a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Length in bytes.
    pub(super) length: Option<u64>,
    /// `Content-MD5`.
    pub(super) md5: Option<String>,
    /// The algorithm to compute, asked for by name or by value.
    pub(super) algorithm: Option<Algorithm>,
    /// Its value, when it came before the body.
    pub(super) value: Option<String>,
    /// Whether its value comes behind the body.
    pub(super) trailed: bool,
}

/// The hashes of one body.
pub(super) struct Hashes {
    md5: Md5,
    algorithm: Option<Algorithm>,
    checksum: ChecksumHasher,
}

/// What they came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) md5: [u8; 16],
    pub(super) checksum: Option<Checksum>,
}

impl Digests {
    /// The ETag of a body that came in one piece.
    pub(super) fn etag(&self) -> String {
        HEXLOWER.encode(&self.md5)
    }

    /// Compares with what the client said.
    pub(super) fn check(&self, expected: &Expected) -> Result<(), VaultProblem> {
        if expected.trailed && expected.value.is_none() {
            return Err(VaultProblem::Trailer);
        }
        if expected.md5.as_ref().is_some_and(|md5| *md5 != BASE64.encode(&self.md5)) {
            return Err(VaultProblem::BadDigest("Content-MD5"));
        }
        let found = self.checksum.as_ref().map(|checksum| checksum.value.as_str());
        if expected.value.is_some() && expected.value.as_deref() != found {
            return Err(VaultProblem::BadDigest("checksum"));
        }
        Ok(())
    }
}

impl Hashes {
    pub(super) fn new(algorithm: Option<Algorithm>) -> Self {
        let mut checksum = ChecksumHasher::default();
        match algorithm {
            Some(Algorithm::Crc32) => checksum.crc32 = Some(Crc32::new()),
            Some(Algorithm::Crc32c) => checksum.crc32c = Some(Crc32c::new()),
            Some(Algorithm::Crc64Nvme) => checksum.crc64nvme = Some(Crc64Nvme::new()),
            Some(Algorithm::Sha1) => checksum.sha1 = Some(Sha1::new()),
            Some(Algorithm::Sha256) => checksum.sha256 = Some(Sha256::new()),
            None => {}
        }
        Self { md5: Md5::new(), algorithm, checksum }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksum.update(bytes);
    }

    pub(super) fn finish(self) -> Digests {
        let found = self.checksum.finalize();
        let checksum = self
            .algorithm
            .and_then(|algorithm| Some(Checksum { algorithm, value: named(&found, algorithm)?.to_owned() }));
        Digests { md5: self.md5.finalize(), checksum }
    }
}

/// The field of one algorithm.
fn named(found: &dto::Checksum, algorithm: Algorithm) -> Option<&str> {
    match algorithm {
        Algorithm::Crc32 => found.checksum_crc32.as_deref(),
        Algorithm::Crc32c => found.checksum_crc32c.as_deref(),
        Algorithm::Crc64Nvme => found.checksum_crc64nvme.as_deref(),
        Algorithm::Sha1 => found.checksum_sha1.as_deref(),
        Algorithm::Sha256 => found.checksum_sha256.as_deref(),
    }
}

/// The hash of hashes that S3 gives to an object of several parts.
pub(super) fn of_parts(etags: &[&str]) -> String {
    let mut md5 = Md5::new();
    for etag in etags {
        md5.update(&HEXLOWER.decode(etag.as_bytes()).unwrap_or_default());
    }
    format!("{}-{}", HEXLOWER.encode(&md5.finalize()), etags.len())
}

/// The same for checksums; `None` unless each part has one of this algorithm.
pub(super) fn checksum_of_parts(algorithm: Algorithm, parts: &[Option<&Checksum>]) -> Option<Checksum> {
    let mut hashes = Hashes::new(Some(algorithm));
    for part in parts {
        let part = part.filter(|part| part.algorithm == algorithm)?;
        hashes.checksum.update(&BASE64.decode(part.value.as_bytes()).ok()?);
    }
    let whole = hashes.finish().checksum?;
    Some(Checksum { algorithm, value: format!("{}-{}", whole.value, parts.len()) })
}

/// The CRC of a whole from those of its pieces, each with its length; `None` unless each has one of this algorithm, and for
/// hashes that cannot be put together so.
pub(super) fn checksum_of_whole(algorithm: Algorithm, parts: &[(Option<&Checksum>, u64)]) -> Option<Checksum> {
    let crc = match algorithm {
        Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        Algorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        Algorithm::Sha1 | Algorithm::Sha256 => return None,
    };
    // Zero is the CRC of nothing.
    let mut whole = 0;
    for (part, length) in parts {
        let part = part.filter(|part| part.algorithm == algorithm)?;
        let bytes = BASE64.decode(part.value.as_bytes()).ok()?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        whole = checksum_combine(crc, whole, value, *length);
    }
    let bytes = whole.to_be_bytes();
    Some(Checksum { algorithm, value: BASE64.encode(bytes.get(8 - algorithm.length()..)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hashes = Hashes::new(Some(algorithm));
        hashes.update(bytes);
        hashes.finish().checksum.unwrap()
    }

    #[test]
    fn checksums_of_the_standards() {
        // Check values of the CRC catalogue, and of RFC 3174 and FIPS 180.
        for (algorithm, expected) in ALL.into_iter().zip([
            "y/Q5Jg==",
            "4waSgw==",
            "rosUhgp5mIg=",
            "98O8HYCOBHMq32eZZczDTKeuNEE=",
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ]) {
            assert_eq!(sum(algorithm, b"123456789").value, expected, "{algorithm:?}");
        }
    }

    #[test]
    fn crcs_of_pieces_make_the_one_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        for algorithm in ALL {
            for cuts in [vec![0, 100_000], vec![0, 1, 1, 70_000, 100_000]] {
                let pieces: Vec<_> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
                let sums: Vec<_> = pieces.iter().map(|piece| sum(algorithm, piece)).collect();
                let parts: Vec<_> =
                    sums.iter().zip(&pieces).map(|(sum, piece)| (Some(sum), piece.len() as u64)).collect();
                let expected = match algorithm {
                    Algorithm::Sha1 | Algorithm::Sha256 => None,
                    _ => Some(sum(algorithm, &bytes)),
                };
                assert_eq!(checksum_of_whole(algorithm, &parts), expected, "{algorithm:?} {cuts:?}");
            }
        }
        assert_eq!(checksum_of_whole(Algorithm::Crc32, &[(None, 1)]), None);
    }
}
