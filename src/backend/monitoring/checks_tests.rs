use super::*;
use crate::protocol::Code;

fn object(change: Value) -> Value {
    let mut object = json!({"name": "shop", "type": "HTTP", "http": {"url": "https://shop.example.com/healthz"}});
    json_patch::merge(&mut object, &change);
    object
}

fn condition(change: Value) -> Value {
    let mut condition =
        json!({"name": "slow", "parameter": "timing.total", "operator": "GreaterThan", "threshold": "500ms"});
    json_patch::merge(&mut condition, &change);
    condition
}

fn judge_object(intent: &Value, outbound: &Outbound) -> Result<(), Problem> {
    let settings = ObjectSettings::read(&read(intent)?)?;
    settings.check_outbound(outbound)
}

fn judge_condition(intent: &Value) -> Result<(), Problem> {
    read_condition(&read(intent)?).map(drop)
}

#[track_caller]
fn refused(result: Result<(), Problem>, field: &str, says: &str) {
    let problem = result.unwrap_err();
    assert_eq!((problem.code, problem.field.as_deref()), (Code::Invalid, Some(field)), "{problem}");
    assert!(problem.detail.contains(says), "{problem}");
}

#[test]
fn good_objects_are_taken() {
    for good in [
        json!({}),
        json!({"http": {"url": "http://[2606:4700::1111]:8080/x?y=1", "method": "HEAD", "followRedirects": true}}),
        json!({"http": {"expectedStatus": ["200", "3xx"]}, "interval": "1s", "timeout": "1s"}),
        json!({"type": "TCP", "http": null, "tcp": {"host": "db.example.com", "port": 5432}}),
        json!({"type": "TCP", "http": null, "tcp": {"host": "2606:4700::1111", "port": 53}}),
    ] {
        assert_eq!(judge_object(&object(good.clone()), &Outbound::default()), Ok(()), "{good}");
    }
}

#[test]
fn wrong_objects_are_refused_with_the_field_and_what_is_right() {
    for (change, field, says) in [
        (json!({"name": ""}), "/name", "1 to 253"),
        (json!({"http": null}), "/http", "needs http"),
        (json!({"type": "TCP", "http": null}), "/tcp", "needs tcp"),
        (json!({"tcp": {"host": "a", "port": 1}}), "/tcp", "leave it out"),
        (json!({"type": "TCP", "tcp": {"host": "a.example", "port": 1}}), "/http", "leave it out"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "a.example", "port": 0}}), "/tcp/port", "1 to 65535"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "a b", "port": 1}}), "/tcp/host", "host name"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "[::1]", "port": 1}}), "/tcp/host", "IP address"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "", "port": 1}}), "/tcp/host", "host name"),
        (json!({"http": {"url": ""}}), "/http/url", "absolute URL"),
        (json!({"http": {"url": "shop.example.com/healthz"}}), "/http/url", "absolute URL"),
        (json!({"http": {"url": "ftp://shop.example.com/"}}), "/http/url", "http or https"),
        (json!({"http": {"url": "file:///etc/passwd"}}), "/http/url", "http or https"),
        (json!({"http": {"url": "https://me:secret@shop.example.com/"}}), "/http/url", "leave them out"),
        (json!({"http": {"url": "https://shop.example.com/ x"}}), "/http/url", "without blanks"),
        (json!({"http": {"url": "https://shop.example.com:0/"}}), "/http/url", "port"),
        (json!({"http": {"url": "http://127.0.0.1/"}}), "/http/url", "loopback"),
        (json!({"http": {"url": "http://2130706433/"}}), "/http/url", "loopback"),
        (json!({"http": {"url": "http://0x7f000001/"}}), "/http/url", "loopback"),
        (json!({"http": {"url": "http://0177.0.0.1/"}}), "/http/url", "loopback"),
        (json!({"http": {"url": "http://127.1/"}}), "/http/url", "loopback"),
        (json!({"http": {"url": "http://10.0.0.7/"}}), "/http/url", "--outbound-allow-private"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "0x0a000001", "port": 1}}), "/tcp/host", "private"),
        (json!({"type": "TCP", "http": null, "tcp": {"host": "::1", "port": 1}}), "/tcp/host", "loopback"),
        (json!({"http": {"url": "http://169.254.169.254/latest"}}), "/http/url", "metadata"),
        (json!({"http": {"url": "http://[::ffff:127.0.0.1]/"}}), "/http/url", "refused"),
        (json!({"http": {"expectedStatus": []}}), "/http/expectedStatus", "leave the list out"),
        (json!({"http": {"expectedStatus": ["2xx", "ok"]}}), "/http/expectedStatus/1", "2xx"),
        (json!({"interval": "999ms"}), "/interval", "from 1s to 1h"),
        (json!({"interval": "2h"}), "/interval", "from 1s to 1h"),
        (json!({"interval": "30"}), "/interval", "a unit"),
        (json!({"interval": "2s", "timeout": "3s"}), "/timeout", "to 2s"),
        (json!({"timeout": "99ms"}), "/timeout", "from 100ms"),
    ] {
        refused(judge_object(&object(change), &Outbound::default()), field, says);
    }
}

#[test]
fn an_administrator_may_allow_loopback_but_not_the_backend_itself() {
    let own = "127.0.0.1:8480".parse().unwrap();
    let outbound = Outbound { allow_loopback: true, own: vec![own], ..Outbound::default() };
    let at = |url: &str| object(json!({"http": {"url": url}}));
    assert_eq!(judge_object(&at("http://127.0.0.1:8081/"), &outbound), Ok(()));
    refused(judge_object(&at("http://127.0.0.1:8480/"), &outbound), "/http/url", "belongs to the backend");
}

#[test]
fn good_conditions_are_taken() {
    for good in [
        json!({}),
        json!({"threshold": 500, "window": {"duration": "1m", "function": "P95"}, "for": "30s"}),
        json!({"recovery": {"threshold": "400ms", "for": "1m"}, "noData": "Fire", "severity": "Critical"}),
        json!({"parameter": "response.up", "operator": "LessThan", "threshold": "0.95",
            "window": {"duration": "1h", "function": "Avg"}}),
        json!({"parameter": "response.size", "threshold": "64Ki"}),
    ] {
        assert_eq!(judge_condition(&condition(good.clone())), Ok(()), "{good}");
    }
}

#[test]
fn wrong_conditions_are_refused_with_the_field_and_what_is_right() {
    for (change, field, says) in [
        (json!({"name": "a\nb"}), "/name", "control characters"),
        (json!({"parameter": "latency"}), "/parameter", "timing.total"),
        (json!({"parameter": ""}), "/parameter", "response.up"),
        (json!({"parameter": "timing.Total"}), "/parameter", "timing.total"),
        (json!({"threshold": ""}), "/threshold", "500ms"),
        (json!({"threshold": "0.5"}), "/threshold", "whole number of milliseconds"),
        (json!({"threshold": "64Ki"}), "/threshold", "500ms"),
        (json!({"threshold": "500 ms"}), "/threshold", "500ms"),
        (json!({"parameter": "response.up", "threshold": "95%"}), "/threshold", "0.95"),
        (json!({"parameter": "response.status", "threshold": -1}), "/threshold", "number"),
        (json!({"parameter": "response.size", "threshold": "1KB"}), "/threshold", "Ki"),
        (json!({"window": {"duration": "1m", "function": "Count"}, "threshold": "1s"}), "/threshold", "whole number"),
        (json!({"window": {"duration": "61m"}}), "/window/duration", "from 1s to 1h"),
        (json!({"for": "soon"}), "/for", "duration"),
        (json!({"for": "-1s"}), "/for", "duration"),
        (json!({"recovery": {"threshold": "slow"}}), "/recovery/threshold", "500ms"),
        (json!({"recovery": {"for": "25h"}}), "/recovery/for", "to 24h"),
        (json!({"operator": "LessThan", "recovery": {"threshold": "400ms"}}), "/recovery/threshold", "at least 500ms"),
        (json!({"threshold": "fast"}), "/threshold", "500ms"),
        (json!({"threshold": -1}), "/threshold", "duration"),
        (json!({"parameter": "response.status", "threshold": "500ms"}), "/threshold", "whole number"),
        (json!({"parameter": "response.size", "threshold": "1s"}), "/threshold", "Ki"),
        (json!({"window": {"duration": "0s"}}), "/window/duration", "from 1s to 1h"),
        (json!({"window": {"duration": "minute"}}), "/window/duration", "500ms, 5s"),
        (json!({"for": "25h"}), "/for", "to 24h"),
        (json!({"recovery": {"threshold": "600ms"}}), "/recovery/threshold", "at most 500ms"),
        (json!({"recovery": {"for": "x"}}), "/recovery/for", "duration"),
        (json!({"operator": "Equal", "recovery": {"threshold": 1}}), "/recovery/threshold", "leave it out"),
    ] {
        refused(judge_condition(&condition(change)), field, says);
    }
    for shapeless in
        [json!({"operator": "Above"}), json!({"threshold": 0.5}), json!({"severity": "Bad"}), json!({"x": 1})]
    {
        assert!(judge_condition(&condition(shapeless.clone())).is_err(), "{shapeless}");
    }
}
