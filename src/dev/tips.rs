//! What to try, as lines that work as they are printed.

use std::{net::SocketAddr, path::Path};

use kube::{Resource, api::DynamicObject};

use crate::crd::{DnsRecord, ObjectBucketCredential, ProjectLoadBalancer};

/// What the lines are made of.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The admin's kubeconfig.
    pub kubeconfig: &'a Path,
    /// The file with the backend's token.
    pub token: &'a Path,
    /// The Loopback API.
    pub api: SocketAddr,
    /// The operator's metrics.
    pub metrics: SocketAddr,
    /// The DNS server.
    pub dns: Option<SocketAddr>,
    /// Name of the project.
    pub project: &'a str,
}

/// Command lines, each with what it shows, one block of text.
#[must_use]
pub fn text(place: &Place<'_>, objects: &[DynamicObject]) -> String {
    let mut lines = vec![
        ("all resources of Loopback".to_owned(), kubectl(place, "get loopback -A")),
        ("what a field means".to_owned(), kubectl(place, "explain projectloadbalancer.spec.services")),
    ];
    lines.extend(objects.iter().flat_map(|object| of_load_balancer(place, object)));
    lines.extend(objects.iter().filter_map(|object| of_record(place.dns?, object)));
    lines.extend(objects.iter().filter_map(|object| of_credential(place, object)));
    let token = quoted(place.token);
    let url = format!("http://{}/v3/projects/{}/load-balancers", place.api, place.project);
    lines.push(("the backend's view".to_owned(), format!(r#"curl -H "Authorization: Bearer $(cat {token})" {url}"#)));
    lines.push(("the operator's metrics".to_owned(), format!("curl http://{}/metrics", place.metrics)));
    lines.iter().map(|(what, line)| format!("  # {what}\n  {line}\n")).collect()
}

/// One line an address and service; a balancer that has no address yet has none.
fn of_load_balancer(place: &Place<'_>, object: &DynamicObject) -> Vec<(String, String)> {
    let is_balancer = object.types.as_ref().is_some_and(|types| types.kind == ProjectLoadBalancer::kind(&()));
    let Some(balancer) = is_balancer.then(|| object.clone().try_parse::<ProjectLoadBalancer>().ok()).flatten() else {
        return Vec::new();
    };
    let addresses = balancer.status.map(|status| status.addresses).unwrap_or_default();
    let (name, namespace) =
        (object.metadata.name.as_deref().unwrap_or_default(), object.metadata.namespace.as_deref().unwrap_or_default());
    let mut lines: Vec<_> = addresses
        .iter()
        .filter_map(|address| address.address.parse().ok())
        .flat_map(|address| {
            balancer.spec.services.iter().map(move |service| (service, SocketAddr::new(address, service.port)))
        })
        .map(|(service, socket)| {
            (format!("service {} of {namespace}/{name}", service.name), format!("curl http://{socket}/"))
        })
        .collect();
    if !lines.is_empty() {
        let describe = format!("describe projectloadbalancer {name} -n {namespace}");
        lines.push((format!("state of {namespace}/{name}"), kubectl(place, &describe)));
    }
    lines
}

fn of_record(server: SocketAddr, object: &DynamicObject) -> Option<(String, String)> {
    let is_record = object.types.as_ref().is_some_and(|types| types.kind == DnsRecord::kind(&()));
    let spec = is_record.then(|| object.clone().try_parse::<DnsRecord>().ok()).flatten()?.spec;
    // the names that the API server takes need no quotes in a shell, but for the star
    let name = spec.name.replacen('*', "anything", 1);
    let line = format!("dig @{} -p {} {name} {}", server.ip(), server.port(), spec.of);
    Some((format!("what {} answers", spec.name), line))
}

/// The Secret's keys are those that the AWS CLI reads from its environment, and the bucket's name.
fn of_credential(place: &Place<'_>, object: &DynamicObject) -> Option<(String, String)> {
    let is_credential = object.types.as_ref().is_some_and(|types| types.kind == ObjectBucketCredential::kind(&()));
    let credential = is_credential.then(|| object.clone().try_parse::<ObjectBucketCredential>().ok()).flatten()?;
    let (secret, namespace) = (credential.status?.secret_name?, object.metadata.namespace.as_deref()?);
    let template = "{{range $key, $value := .data}}{{$key}}={{base64decode $value}} {{end}}";
    let values = kubectl(place, &format!("get secret {secret} -n {namespace} -o go-template='{template}'"));
    let copy = "sh -c 'aws s3 cp --no-progress /etc/hosts s3://$BUCKET_NAME/ && aws s3 ls s3://$BUCKET_NAME/'";
    Some((
        format!("a file into bucket {}, with {namespace}/{secret}", credential.spec.bucket_ref.name),
        format!("env $({values}) {copy}"),
    ))
}

fn kubectl(place: &Place<'_>, arguments: &str) -> String {
    format!("kubectl --kubeconfig {} {arguments}", quoted(place.kubeconfig))
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_come_from_the_status() {
        let place = Place {
            kubeconfig: Path::new("my state/kubeconfig"),
            token: Path::new(".loopback/backend/admin-token"),
            api: "127.0.0.1:8480".parse().unwrap(),
            metrics: "127.0.0.1:8080".parse().unwrap(),
            dns: Some("127.0.0.1:5354".parse().unwrap()),
            project: "shop",
        };
        let balancer: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ProjectLoadBalancer",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"services": [{"name": "web", "port": 8080}]},
            "status": {"addresses": [{"family": "IPv4", "address": "127.10.0.1"}, {"family": "IPv6", "address": "::1"}]},
        }))
        .unwrap();
        let namespace: DynamicObject =
            serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
                .unwrap();
        let record: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "DnsRecord",
            "metadata": {"name": "api", "namespace": "shop"},
            "spec": {"zoneRef": {"name": "z"}, "name": "api.example.dev", "type": "A", "values": ["192.0.2.1"]},
        }))
        .unwrap();
        let credential: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ObjectBucketCredential",
            "metadata": {"name": "rw", "namespace": "shop"},
            "spec": {"bucketRef": {"name": "assets"}, "access": "ReadWrite"}, "status": {"secretName": "assets-rw"},
        }))
        .unwrap();
        let text = text(&place, &[namespace, balancer, record, credential]);
        for line in [
            "  kubectl --kubeconfig 'my state/kubeconfig' get loopback -A\n",
            "  curl http://127.10.0.1:8080/\n",
            "  curl http://[::1]:8080/\n",
            "  dig @127.0.0.1 -p 5354 api.example.dev A\n",
            "  env $(kubectl --kubeconfig 'my state/kubeconfig' get secret assets-rw -n shop -o go-template='{{range",
            "describe projectloadbalancer web -n shop\n",
            "curl -H \"Authorization: Bearer $(cat .loopback/backend/admin-token)\" http://127.0.0.1:8480/v3/projects/shop/",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
