//! Certificates of the control plane: one authority for servers, one for clients, made anew when they are about to expire.
//! The key that signs ServiceAccount tokens is kept for good, so tokens outlive a renewal.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// How long certificates are valid.
const VALIDITY: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How long before their end they are made anew.
const RENEWAL: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Clocks of two processes may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_hours(24);
/// The file that tells until when the others are valid.
const EXPIRY: &str = "valid-until";
const SIGNING_KEY: &str = "service-account.key";
const VERIFYING_KEY: &str = "service-account.pub";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// A file or directory cannot be written or read.
    #[error("cannot write {path}: {source}", path = path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A certificate or key cannot be made.
    #[error("cannot make certificates: {0}")]
    Crypto(#[from] rcgen::Error),
}

/// The directory of the certificates.
#[derive(Clone, Debug)]
pub(super) struct Certificates(PathBuf);

/// A certificate to issue: file name, common name, group, names or addresses that it serves, what it is for.
struct Subject {
    file: &'static str,
    name: &'static str,
    group: Option<&'static str>,
    serves: &'static [&'static str],
    usages: &'static [ExtendedKeyUsagePurpose],
}

const SERVED: &[&str] = &["localhost", "127.0.0.1", "kubernetes.default.svc"];
const SERVER: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ServerAuth];
const CLIENT: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ClientAuth];
/// etcd's gateway calls etcd with the server's own certificate.
const BOTH: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

const SERVERS: [Subject; 2] = [
    Subject { file: "api-server", name: "kube-apiserver", group: None, serves: SERVED, usages: SERVER },
    Subject { file: "etcd", name: "etcd", group: None, serves: SERVED, usages: BOTH },
];
const CLIENTS: [Subject; 1] =
    [Subject { file: "admin", name: "admin", group: Some("system:masters"), serves: &[], usages: CLIENT }];
/// etcd trusts an authority of its own: who may call Kubernetes may not therefore call its store.
const STORE_CLIENTS: [Subject; 1] =
    [Subject { file: "etcd-client", name: "kube-apiserver", group: None, serves: &[], usages: CLIENT }];

impl Certificates {
    /// Those in `directory`, made (anew) when they are not there or expire within 30 days.
    pub(super) fn ensure(directory: &Path, now: Timestamp) -> Result<Self, CertificateProblem> {
        let current = Self(directory.join("current"));
        ensure_directory(directory)?;
        ensure_signing_key(directory)?;
        if !current.is_valid(now) {
            let next = Self(directory.join("next"));
            remove(&next.0)?;
            ensure_directory(&next.0)?;
            next.issue(now)?;
            remove(&current.0)?;
            std::fs::rename(&next.0, &current.0).map_err(|source| problem(&current.0, source))?;
        }
        Ok(current)
    }

    /// The certificate (or certificate authority) of this name.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.crt"))
    }

    /// The private key of this name.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// The key that signs ServiceAccount tokens.
    pub(super) fn signing_key(&self) -> PathBuf {
        self.0.with_file_name(SIGNING_KEY)
    }

    /// The public half of [`Self::signing_key`].
    pub(super) fn verifying_key(&self) -> PathBuf {
        self.0.with_file_name(VERIFYING_KEY)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        let expiry = std::fs::read_to_string(self.0.join(EXPIRY)).ok().and_then(|text| text.trim().parse().ok());
        expiry.is_some_and(|expiry| still_good(expiry, now))
    }

    fn issue(&self, now: Timestamp) -> Result<(), CertificateProblem> {
        let expiry = now.saturating_add(VALIDITY).unwrap_or(Timestamp::MAX);
        for (authority, subjects) in
            [("server-ca", &SERVERS[..]), ("client-ca", &CLIENTS[..]), ("etcd-client-ca", &STORE_CLIENTS[..])]
        {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let params = authority_params(authority, now, expiry);
            write(&self.certificate(authority), &params.self_signed(&key)?.pem())?;
            let issuer = Issuer::new(params, key);
            for subject in subjects {
                self.issue_one(subject, &issuer, now, expiry)?;
            }
        }
        write(&self.0.join(EXPIRY), &expiry.to_string())
    }

    fn issue_one(
        &self,
        subject: &Subject,
        issuer: &Issuer<'_, KeyPair>,
        now: Timestamp,
        expiry: Timestamp,
    ) -> Result<(), CertificateProblem> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let names: Vec<String> = subject.serves.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = distinguished_name(subject.name, subject.group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        limit(&mut params, now, expiry);
        write(&self.certificate(subject.file), &params.signed_by(&key, issuer)?.pem())?;
        write(&self.key(subject.file), &key.serialize_pem())
    }
}

fn still_good(expiry: Timestamp, now: Timestamp) -> bool {
    now.duration_until(expiry) > RENEWAL
}

fn authority_params(name: &str, now: Timestamp, expiry: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&format!("loopback-{name}"), None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, now, expiry);
    params
}

fn distinguished_name(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    if let Some(group) = group {
        distinguished.push(DnType::OrganizationName, group);
    }
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Certificates here begin and end at midnight, UTC; a day is added so that they hold at least until `expiry`.
fn limit(params: &mut CertificateParams, now: Timestamp, expiry: Timestamp) {
    let day = |time: Timestamp| {
        let date = time.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now.saturating_sub(SKEW).unwrap_or(now));
    params.not_after = day(expiry.saturating_add(SKEW).unwrap_or(expiry));
}

/// The public key is written first: where there is a private key, there are both.
fn ensure_signing_key(directory: &Path) -> Result<(), CertificateProblem> {
    let path = directory.join(SIGNING_KEY);
    if path.exists() {
        return Ok(());
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let aside = directory.join("service-account.next");
    write(&directory.join(VERIFYING_KEY), &key.public_key_pem())?;
    write(&aside, &key.serialize_pem())?;
    std::fs::rename(&aside, &path).map_err(|source| problem(&path, source))
}

fn ensure_directory(path: &Path) -> Result<(), CertificateProblem> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| problem(path, source))
}

fn remove(path: &Path) -> Result<(), CertificateProblem> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(problem(path, source)),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CertificateProblem> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())).map_err(|source| problem(path, source))
}

fn problem(path: &Path, source: io::Error) -> CertificateProblem {
    CertificateProblem::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn read(certificates: &Certificates) -> (String, String, String) {
        let read = |path| std::fs::read_to_string(path).unwrap();
        (read(certificates.certificate("admin")), read(certificates.key("etcd")), read(certificates.signing_key()))
    }

    #[test]
    fn kept_until_they_are_about_to_expire() {
        let root = TempDir::new().unwrap();
        let now = Timestamp::constant(1_800_000_000, 0);
        let at = |days: i64| {
            let then = now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap();
            read(&Certificates::ensure(root.path(), then).unwrap())
        };
        let first = at(0);
        assert_eq!(first, at(334));
        let renewed = at(336);
        assert_ne!((&first.0, &first.1), (&renewed.0, &renewed.1));
        assert_eq!(first.2, renewed.2, "tokens must outlive a renewal");
    }

    #[test]
    fn keys_are_private_and_what_is_broken_is_made_anew() {
        let root = TempDir::new().unwrap();
        let now = Timestamp::constant(1_800_000_000, 0);
        let certificates = Certificates::ensure(root.path(), now).unwrap();
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(certificates.key("admin")), 0o600);
        assert_eq!(mode(certificates.signing_key()), 0o600);
        std::fs::write(certificates.0.join(EXPIRY), "").unwrap();
        let first = read(&certificates);
        assert_ne!(first.0, read(&Certificates::ensure(root.path(), now).unwrap()).0);
    }
}
