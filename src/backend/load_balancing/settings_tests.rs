use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn intent() -> Value {
    json!({
        "name": "web",
        "services": {"web": {"port": 80, "allowedOrigins": ["10.0.0.0/8"],
            "healthCheck": {"protocol": "HTTP", "path": "/healthz", "interval": "5s", "timeout": "2s",
                "healthyThreshold": 2, "unhealthyThreshold": 3}}},
        "targets": {"a": {"address": "10.0.0.1", "port": 8080, "weight": 2}, "b": {"address": "::ffff:10.0.0.2", "port": 8080}},
    })
}

fn with(path: &str, value: Value) -> Result<Settings, Problem> {
    let mut intent = intent();
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = intent.pointer_mut(parent).unwrap();
    parent[field] = value;
    Settings::read(&serde_json::from_value(intent).unwrap())
}

#[test]
fn defaults_are_the_documented_ones() {
    let intent = json!({"name": "x", "services": {"web": {"port": 1, "healthCheck": {}}}});
    let settings = Settings::read(&serde_json::from_value(intent).unwrap()).unwrap();
    assert_eq!(settings.algorithm, Algorithm::RoundRobin);
    assert_eq!(settings.families, BTreeSet::from([AddressFamily::IPv4]));
    let health = settings.services["web"].health.clone().unwrap();
    let seconds = Duration::from_secs;
    let documented = HealthSettings {
        path: None,
        interval: seconds(5),
        timeout: seconds(2),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    };
    assert_eq!(health, documented);
    assert!(settings.services["web"].origins.admits("192.0.2.1".parse().unwrap()));
    let short = with("/services/web/healthCheck", json!({"interval": "1s"})).unwrap();
    assert_eq!(short.services["web"].health.as_ref().unwrap().timeout, seconds(1));
}

#[test]
fn a_service_takes_all_targets_or_those_it_names() {
    let settings = with("/name", json!("web")).unwrap();
    assert_eq!(settings.services["web"].targets.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(settings.services["web"].targets["b"].address, "10.0.0.2:8080".parse().unwrap());
    assert_eq!(settings.services["web"].targets["b"].weight, 1);
    let named = with("/services/web/targets", json!(["b"])).unwrap();
    assert_eq!(named.services["web"].targets.keys().collect::<Vec<_>>(), ["b"]);
    assert!(with("/services/web/targets", json!([])).unwrap().services["web"].targets.is_empty());
}

#[test]
fn each_wrong_field_is_named_with_what_is_right() {
    let long = "a".repeat(64);
    for (path, value, field, right) in [
        ("/name", json!(""), "/name", "1 to 253"),
        ("/services", json!({}), "/services", "1 to 64"),
        ("/services/Web", json!({"port": 1}), "/services/Web", "lower-case"),
        ("/services/a~1b", json!({"port": 1}), "/services/a~01b", "lower-case"),
        (&format!("/services/{long}"), json!({"port": 1}), &format!("/services/{long}"), "63"),
        ("/services/web/port", json!(0), "/services/web/port", "1 to 65535"),
        ("/services/x", json!({"port": 80}), "/services/x/port", "service \"web\""),
        ("/services/web/targets", json!(["z"]), "/services/web/targets/0", "/targets"),
        ("/services/web/targets", json!(["a", "a"]), "/services/web/targets/1", "once"),
        ("/services/web/allowedOrigins", json!(["10.0.0.1/8"]), "/services/web/allowedOrigins/0", "10.0.0.0/8"),
        ("/services/web/blockedOrigins", json!(["10.0.0.1"]), "/services/web/blockedOrigins/0", "10.0.0.1/32"),
        ("/services/web/healthCheck/interval", json!("99ms"), "/services/web/healthCheck/interval", "100ms"),
        ("/services/web/healthCheck/interval", json!("2h"), "/services/web/healthCheck/interval", "1h"),
        ("/services/web/healthCheck/timeout", json!("6s"), "/services/web/healthCheck/timeout", "to 5s"),
        (
            "/services/web/healthCheck/healthyThreshold",
            json!(0),
            "/services/web/healthCheck/healthyThreshold",
            "1 to 100",
        ),
        (
            "/services/web/healthCheck/unhealthyThreshold",
            json!(101),
            "/services/web/healthCheck/unhealthyThreshold",
            "100",
        ),
        ("/services/web/healthCheck/path", json!("x"), "/services/web/healthCheck/path", "starts with /"),
        ("/services/web/healthCheck/path", json!("/a b"), "/services/web/healthCheck/path", "percent-encode"),
        ("/services/web/healthCheck/path", json!("/a\r\nb"), "/services/web/healthCheck/path", "percent-encode"),
        (
            "/services/web/healthCheck/path",
            json!(format!("/{}", "a".repeat(1024))),
            "/services/web/healthCheck/path",
            "1024",
        ),
        ("/services/web/healthCheck/protocol", json!("TCP"), "/services/web/healthCheck/path", "HTTP"),
        ("/targets/a/port", json!(0), "/targets/a/port", "1 to 65535"),
        ("/targets/a/weight", json!(1001), "/targets/a/weight", "0 to 1000"),
        ("/targets/-a", json!({"address": "10.0.0.1", "port": 1}), "/targets/-a", "hyphens"),
        ("/addressFamilies", json!([]), "/addressFamilies", "leave the field out"),
        ("/addressFamilies", json!(["IPv4", "IPv4"]), "/addressFamilies", "each once"),
    ] {
        let problem = with(path, value).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some(field), "{problem}");
        assert!(problem.detail.contains(right), "{path}: {problem}");
    }
}

#[test]
fn there_is_a_limit_to_everything() {
    let services: BTreeMap<_, _> = (1..=65).map(|i| (format!("s{i}"), json!({"port": i}))).collect();
    assert_eq!(with("/services", json!(services)).unwrap_err().field.as_deref(), Some("/services"));
    let target = json!({"address": "10.0.0.1", "port": 1});
    let targets: BTreeMap<_, _> = (0..=1000).map(|i| (format!("t{i}"), target.clone())).collect();
    assert_eq!(with("/targets", json!(targets)).unwrap_err().field.as_deref(), Some("/targets"));
    let origins: Vec<_> = (0..=1000).map(|i| format!("10.0.{}.{}/32", i / 256, i % 256)).collect();
    assert!(with("/services/web/blockedOrigins", json!(origins)).is_err());
}

proptest! {
    #[test]
    fn what_is_read_is_safe_in_a_request_line(path in "\\PC{0,20}|/[ -~]{0,20}") {
        if let Ok(settings) = with("/services/web/healthCheck/path", json!(path)) {
            let read = settings.services["web"].health.clone().unwrap().path.unwrap();
            prop_assert!(read.starts_with('/') && !read.bytes().any(|b| b <= b' ' || b >= 0x7f));
        }
    }
}
