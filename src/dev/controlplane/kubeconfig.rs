//! The text of an admin's kubeconfig.

use data_encoding::BASE64;

/// What the admin needs; certificates and key are PEM.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin<'a> {
    pub(super) server: &'a str,
    pub(super) authority: &'a [u8],
    pub(super) certificate: &'a [u8],
    pub(super) key: &'a [u8],
}

/// A kubeconfig with one context, `loopback`.
pub(super) fn text(admin: Admin<'_>) -> String {
    let Admin { server, authority, certificate, key } = admin;
    let (authority, certificate, key) = (BASE64.encode(authority), BASE64.encode(certificate), BASE64.encode(key));
    format!(
        "apiVersion: v1
kind: Config
current-context: loopback
contexts:
- name: loopback
  context: {{cluster: loopback, user: admin}}
clusters:
- name: loopback
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_can_read_it() {
        let admin = Admin {
            server: "https://127.0.0.1:6443",
            authority: b"authority",
            certificate: b"certificate",
            key: b"key",
        };
        let read = kube::config::Kubeconfig::from_yaml(&text(admin)).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("loopback"));
        let cluster = read.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:6443"));
        assert_eq!(cluster.certificate_authority_data, Some(BASE64.encode(b"authority")));
        let user = read.auth_infos[0].auth_info.clone().unwrap();
        assert_eq!(user.client_certificate_data, Some(BASE64.encode(b"certificate")));
    }
}
