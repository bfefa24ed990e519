use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::rig::{Does, Server, loopback, nobody, ok, redirect, serve, status};
use crate::{
    backend::monitoring::{
        embedded::{outcome::Outcome, prober::Prober},
        settings::ObjectSettings,
    },
    rules::{
        monitoring::{Measure, Parameter},
        outbound::Outbound,
    },
};

fn no_tls() -> Result<Arc<ClientConfig>, String> {
    Err("none".to_owned())
}

fn settings(intent: Value) -> ObjectSettings {
    let mut whole = json!({"name": "x", "type": "HTTP", "interval": "2s", "timeout": "500ms"});
    json_patch::merge(&mut whole, &intent);
    ObjectSettings::read(&serde_json::from_value(whole).unwrap()).unwrap()
}

async fn probe(intent: Value) -> Outcome {
    Prober::new(loopback(), no_tls()).probe(&settings(intent)).await
}

async fn get(server: &Server) -> Outcome {
    probe(json!({"http": {"url": format!("http://{}/healthz?x=1", server.at)}})).await
}

fn reason(outcome: &Outcome) -> &'static str {
    outcome.result.as_ref().err().map_or("", |failure| failure.reason)
}

#[tokio::test]
async fn a_good_answer_has_all_its_values() {
    let server = serve(ok("fine")).await;
    let outcome = get(&server).await;
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.value(Parameter::ResponseUp), Some(Measure::whole(1)));
    assert_eq!(outcome.value(Parameter::ResponseStatus), Some(Measure::whole(200)));
    assert_eq!(outcome.value(Parameter::ResponseSize), Some(Measure::whole(4)));
    assert_eq!(outcome.value(Parameter::TimingTls), None);
    let phases = [Parameter::TimingDns, Parameter::TimingConnect, Parameter::TimingFirstByte];
    let sum: i64 = phases.iter().map(|phase| outcome.value(*phase).unwrap().to_thousandths()).sum();
    let total = outcome.value(Parameter::TimingTotal).unwrap().to_thousandths();
    assert!(sum > 0 && sum <= total, "{sum} of {total}");
}

#[tokio::test]
async fn phases_are_told_apart() {
    let wait = Duration::from_millis(150);
    let Does::Says(text) = ok("late") else { panic!() };
    let server = serve(Does::SaysAfter(wait, text)).await;
    let outcome = get(&server).await;
    assert!(outcome.value(Parameter::TimingFirstByte).unwrap() >= Measure::duration(wait));
    assert!(outcome.value(Parameter::TimingConnect).unwrap() < Measure::duration(wait));
}

#[tokio::test]
async fn the_way_of_the_body_is_timed_by_itself() {
    let (wait, head) = (Duration::from_millis(150), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    let outcome = get(&serve(Does::Pauses(head.to_owned(), wait, "cd".to_owned())).await).await;
    assert_eq!(outcome.result, Ok(()));
    let of = |parameter| outcome.value(parameter).unwrap();
    assert!(of(Parameter::TimingTransfer) >= Measure::duration(wait / 2), "{:?}", of(Parameter::TimingTransfer));
    assert!(of(Parameter::TimingTotal) >= of(Parameter::TimingTransfer));
}

#[tokio::test]
async fn a_server_that_drips_is_out_of_time() {
    let pause = Duration::from_millis(50);
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "x".repeat(99));
    let (head, rest) = body.split_at(body.len() - 99);
    for (does, doing) in [
        (Does::Drips(pause, body.clone()), "waiting for the answer"),
        (Does::Pauses(head.to_owned(), Duration::from_secs(5), rest.to_owned()), "reading the body"),
    ] {
        let start = tokio::time::Instant::now();
        let outcome = get(&serve(does).await).await;
        assert_eq!(reason(&outcome), "Timeout");
        let message = outcome.result.unwrap_err().message;
        assert_eq!(message, format!("no answer within 500ms; it was {doing}"));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn ipv6_literals_and_what_is_sent() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        // the client ends the connection by itself
        assert_eq!(stream.read_buf(&mut head).await.unwrap_or(0), 0);
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    });
    let outcome = probe(json!({"http": {"url": format!("http://[::1]:{port}/a%20b?x=1#top")}})).await;
    assert_eq!((outcome.status, outcome.result), (Some(204), Ok(())));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("get /a%20b?x=1 http/1.1\r\n"), "{asked}");
    for line in [format!("host: [::1]:{port}\r\n"), "connection: close\r\n".to_owned()] {
        assert!(asked.contains(&line), "{asked}");
    }
}

#[tokio::test]
async fn every_way_to_fail_has_its_word() {
    let gone = nobody();
    let url = format!("http://{gone}/");
    assert_eq!(reason(&probe(json!({"http": {"url": url}})).await), "ConnectionRefused");
    let Does::Says(text) = ok("late") else { panic!() };
    for (does, word) in [
        (Does::SaysAfter(Duration::from_secs(5), text), "Timeout"),
        (Does::Resets, "ConnectionReset"),
        (Does::Says("SSH-2.0-x\r\n".to_owned()), "NotHTTP"),
        (Does::Says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_owned()), "ConnectionClosed"),
        (Does::Says(String::new()), "ConnectionClosed"),
        (Does::Says(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(128 << 10))), "NotHTTP"),
        (status("503 Service Unavailable"), "BadStatus"),
        (status("301 Moved"), "BadStatus"),
    ] {
        let outcome = get(&serve(does).await).await;
        assert_eq!(reason(&outcome), word, "{:?}", outcome.result);
        assert_eq!(outcome.value(Parameter::ResponseUp), Some(Measure::whole(0)), "{word}");
    }
    let nowhere = probe(json!({"http": {"url": "http://does-not-exist.invalid/"}})).await;
    assert_eq!(reason(&nowhere), "ResolveFailed");
    assert_eq!(nowhere.value(Parameter::TimingTotal), None);
}

#[tokio::test]
async fn a_wrong_status_is_an_answer_all_the_same() {
    let outcome = get(&serve(status("503 Service Unavailable")).await).await;
    assert_eq!(outcome.value(Parameter::ResponseStatus), Some(Measure::whole(503)));
    assert!(outcome.value(Parameter::TimingTotal).is_some());
    let message = outcome.result.unwrap_err().message;
    assert!(
        message.starts_with("GET http://127.0.0.1:") && message.ends_with("answered with 503, expected 2xx"),
        "{message}"
    );
}

#[tokio::test]
async fn expected_statuses_and_head() {
    let server = serve(status("404 Not Found")).await;
    let http = json!({"url": format!("http://{}/", server.at), "expectedStatus": ["2xx", "404"], "method": "HEAD"});
    assert_eq!(probe(json!({"http": http})).await.result, Ok(()));
}

#[tokio::test]
async fn redirects_are_followed_where_that_is_wanted_and_judged_each_time() {
    let last = serve(ok("there")).await;
    let first = serve(redirect(&format!("http://{}/there", last.at))).await;
    let follow = |server: &Server| json!({"http": {"url": format!("http://{}/", server.at), "followRedirects": true}});
    let outcome = probe(follow(&first)).await;
    assert_eq!((outcome.status, outcome.result), (Some(200), Ok(())));
    assert_eq!(get(&first).await.status, Some(302));
    for (to, word, ours) in [
        ("http://169.254.169.254/latest/meta-data", "Refused", true),
        ("http://10.0.0.1/", "Refused", true),
        ("http://0.0.0.0/", "Refused", true),
        ("http://167772161/", "Refused", true),
        ("http://[::ffff:10.0.0.1]/", "Refused", true),
        ("file:///etc/passwd", "BadRedirect", false),
        ("http://me:secret@127.0.0.1/", "BadRedirect", false),
        ("/", "TooManyRedirects", false),
    ] {
        let outcome = probe(follow(&serve(redirect(to)).await)).await;
        assert_eq!(reason(&outcome), word, "{to}: {:?}", outcome.result);
        assert_eq!(outcome.value(Parameter::ResponseUp).is_none(), ours, "{to}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_read_up_to_the_limit() {
    let outcome = get(&serve(Does::Floods).await).await;
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.value(Parameter::ResponseSize), Some(Measure::whole(1 << 20)));
    let declared = Does::Says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole, and more than declared".to_owned());
    assert_eq!(get(&serve(declared).await).await.value(Parameter::ResponseSize), Some(Measure::whole(5)));
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    let server = serve(ok("")).await;
    let by_name = settings(json!({"http": {"url": format!("http://localhost:{}/", server.at.port())}}));
    let strict = Prober::new(Outbound::default(), no_tls()).probe(&by_name).await;
    assert_eq!(reason(&strict), "Refused");
    assert_eq!(strict.value(Parameter::ResponseUp), None, "nothing is said about what was not asked");
    let open = Prober::new(loopback(), no_tls()).probe(&by_name).await;
    assert_eq!(open.result, Ok(()), "also when ::1 does not answer");
    let own = Outbound { own: vec![server.at], ..loopback() };
    let own = Prober::new(own, no_tls());
    assert_eq!(reason(&own.probe(&by_name).await), "Refused");
    let first = serve(redirect(&format!("http://localhost:{}/", server.at.port()))).await;
    let led = settings(json!({"http": {"url": format!("http://{}/", first.at), "followRedirects": true}}));
    assert_eq!(reason(&own.probe(&led).await), "Refused", "a redirect to a name is judged likewise");
}

#[tokio::test]
async fn tcp_opens_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let tcp = |port: u16| json!({"type": "TCP", "tcp": {"host": "127.0.0.1", "port": port}});
    let outcome = probe(tcp(at.port())).await;
    assert_eq!(outcome.result, Ok(()));
    let known: Vec<_> =
        Parameter::all().filter(|parameter| outcome.value(*parameter).is_some()).map(|p| p.info().key).collect();
    assert_eq!(known, ["response.up", "timing.dns", "timing.connect", "timing.total"]);
    drop(listener);
    let outcome = probe(tcp(at.port())).await;
    assert_eq!((reason(&outcome), outcome.value(Parameter::TimingTotal)), ("ConnectionRefused", None));
}

#[tokio::test]
async fn tls_is_timed_and_certificates_are_checked() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = certificate.der().clone();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let server =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![der.clone()], private).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let config = |roots: RootCertStore| {
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        Ok(Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth()))
    };
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let at = |host: &str| settings(json!({"http": {"url": format!("https://{host}:{port}/")}}));
    let trusting = Prober::new(loopback(), config(roots));
    let outcome = trusting.probe(&at("localhost")).await;
    assert_eq!((outcome.status, &outcome.result), (Some(204), &Ok(())));
    assert!(outcome.value(Parameter::TimingTls).unwrap() > Measure::whole(0));
    assert_eq!(reason(&trusting.probe(&at("127.0.0.1")).await), "TLSFailed", "the name is checked");
    let strange = Prober::new(loopback(), config(RootCertStore::empty())).probe(&at("localhost")).await;
    assert_eq!(reason(&strange), "TLSFailed");
    let without = Prober::new(loopback(), no_tls()).probe(&at("localhost")).await;
    assert_eq!((reason(&without), without.value(Parameter::ResponseUp)), ("NoTLS", None));
}
