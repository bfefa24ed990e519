//! An S3 client that signs by hand: that of the object store's own tests.

#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../src/backend/object_storage/embedded/tests/client.rs"]
mod client;

use std::collections::BTreeMap;

pub use client::Client;

/// The client that a Secret's values make.
pub fn client(values: &BTreeMap<String, String>) -> Client {
    let value = |key: &str| values.get(key).unwrap_or_else(|| panic!("no {key} in the Secret")).clone();
    assert_eq!(value("AWS_REGION"), "local-1");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Client {
        http,
        endpoint: value("AWS_ENDPOINT_URL"),
        key: value("AWS_ACCESS_KEY_ID"),
        secret: value("AWS_SECRET_ACCESS_KEY"),
        region: "local-1",
        ahead: 0,
    }
}
