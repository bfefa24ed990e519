//! One TLS implementation for everything in here.

/// Makes ring the TLS implementation of the process. `main` does it too; libraries and tests that come without `main` may
/// call it as often as they like.
pub fn ensure_provider() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
