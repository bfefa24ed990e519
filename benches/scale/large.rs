//! How cost grows with the size of one object: a zone with very many records, a balancer with as many targets as it may have, a
//! bucket with very many objects.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    after::calm,
    bulk::bulk,
    ground::{DOMAIN, Site, namespace},
    http1::Connection,
    load::Item,
    signing::Client,
    table::{Bound, Table, quantile},
    watch::Watcher,
};

const RECORDS: usize = 10_000;
const TARGETS: usize = 1_000;
/// Puts at a time.
const CLIENTS: usize = 64;
/// How long a presigned URL is good, in seconds.
const GOOD: u64 = 86_400;

/// All three, on one site; the bucket gets so many objects.
pub async fn measure(objects: usize, table: &mut Table) {
    let site = Site::start(0).await;
    let mut watcher = Watcher::start(&site.ground);
    zone(&site, &mut watcher, table).await;
    balancer(&site, &mut watcher, table).await;
    bucket(&site, &mut watcher, objects, table).await;
}

fn item(kind: &'static str, name: impl Into<String>, spec: Value) -> Item {
    Item { kind, namespace: namespace(0), name: name.into(), spec }
}

/// Seconds for each of so many.
#[allow(clippy::cast_precision_loss, reason = "a count of objects")]
fn each(took: Duration, count: usize) -> f64 {
    took.as_secs_f64() / count as f64
}

#[allow(clippy::cast_precision_loss, reason = "bytes of a status")]
async fn status(site: &Site, kind: &str, name: &str, table: &mut Table) {
    let object = site.ground.api(kind, &namespace(0)).get(name).await.unwrap();
    let size = object.data["status"].to_string().len() as f64 / 1024.0;
    table.add(format!("status of the {kind}"), size, "KiB", Bound::Most(64.0));
}

async fn zone(site: &Site, watcher: &mut Watcher, table: &mut Table) {
    let spec = json!({"domain": DOMAIN, "patterns": [format!("*.large.{DOMAIN}")]});
    bulk(&site.ground, watcher, &[item("ProjectDnsZone", "zone", spec)], 0).await;
    let record = |number: usize| {
        let spec = json!({"zoneRef": {"name": "zone"}, "name": format!("r{number}.large.{DOMAIN}"), "type": "A", "values": ["192.0.2.1"]});
        item("DnsRecord", format!("record-{number}"), spec)
    };
    let records: Vec<Item> = (0..RECORDS).map(record).collect();
    let (first, then) = records.split_at(RECORDS / 2);
    let first = each(bulk(&site.ground, watcher, first, 1).await, first.len());
    let then = each(bulk(&site.ground, watcher, then, 1 + RECORDS / 2).await, then.len());
    table.add("one zone: a record among the first 5,000", first * 1e3, "ms", Bound::Open);
    table.add("one zone: a record among the next 5,000", then * 1e3, "ms", Bound::Times(1.3, first * 1e3));
    calm(site).await;
    status(site, "ProjectDnsZone", "zone", table).await;
}

async fn balancer(site: &Site, watcher: &mut Watcher, table: &mut Table) {
    let target =
        |n| json!({"name": format!("t{n}"), "address": format!("127.0.{}.{}", n / 250, 1 + n % 250), "port": 9});
    let check = json!({"protocol": "TCP", "interval": "1s"});
    let spec = json!({"services": [{"name": "web", "port": 8_080, "healthCheck": check}],
        "targets": (0..TARGETS).map(target).collect::<Vec<_>>()});
    let began = Instant::now();
    bulk(&site.ground, watcher, &[item("ProjectLoadBalancer", "large", spec)], 1 + RECORDS).await;
    table.time("one balancer with 1,000 targets", began.elapsed(), Bound::Open);
    // All its targets are found unhealthy.
    calm(site).await;
    status(site, "ProjectLoadBalancer", "large", table).await;
}

async fn bucket(site: &Site, watcher: &mut Watcher, objects: usize, table: &mut Table) {
    let spec = json!({"bucketRef": {"name": "large"}, "access": "ReadWrite"});
    let items = [item("ObjectBucket", "large", json!({})), item("ObjectBucketCredential", "large", spec)];
    bulk(&site.ground, watcher, &items, 2 + RECORDS).await;
    let (client, bucket) = client(site).await;
    let at: SocketAddr = client.host().parse().unwrap();
    let client = Arc::new(client);
    let part = objects / 10;
    let first = each(put(&client, at, &bucket, 0..part).await, part);
    let first_page = page(&client, &bucket, part / 2).await;
    put(&client, at, &bucket, part..objects - part).await;
    let last = each(put(&client, at, &bucket, objects - part..objects).await, part);
    let last_page = page(&client, &bucket, objects / 2).await;
    table.add(format!("one bucket: a put among the first {part}"), first * 1e6, "us", Bound::Open);
    table.add(
        format!("one bucket: a put among the last of {objects}"),
        last * 1e6,
        "us",
        Bound::Times(1.5, first * 1e6),
    );
    table.add("one bucket: a page of 1,000 names, at first", first_page.as_secs_f64() * 1e3, "ms", Bound::Open);
    let bound = Bound::Times(1.5, first_page.as_secs_f64() * 1e3);
    table.add("one bucket: a page of 1,000 names, at last", last_page.as_secs_f64() * 1e3, "ms", bound);
    #[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
    let memory = site.backend.resident() as f64 / 1024.0 / 1024.0;
    table.add("memory of the backend with all of these", memory, "MiB", Bound::Open);
    status(site, "ObjectBucket", "large", table).await;
}

/// What signs requests, with the credential's Secret; and the bucket.
async fn client(site: &Site) -> (Client, String) {
    let secrets: Api<Secret> = Api::namespaced(site.ground.client.clone(), &namespace(0));
    let values = secrets.get("large").await.unwrap().data.unwrap();
    let value = |name: &str| String::from_utf8(values[name].0.clone()).unwrap();
    let client = Client {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        endpoint: value("AWS_ENDPOINT_URL"),
        key: value("AWS_ACCESS_KEY_ID"),
        secret: value("AWS_SECRET_ACCESS_KEY"),
        region: "local-1",
        ahead: 0,
    };
    (client, value("BUCKET_NAME"))
}

fn request(client: &Client, method: &str, path: &str, body: &str) -> Vec<u8> {
    let url = client.presign(method, path, GOOD);
    let target = &url[client.endpoint.len()..];
    let (host, length) = (client.host(), body.len());
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Puts objects of one byte, many at a time.
async fn put(client: &Arc<Client>, at: SocketAddr, bucket: &str, numbers: std::ops::Range<usize>) -> Duration {
    let (began, next) = (Instant::now(), Arc::new(AtomicUsize::new(numbers.start)));
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, bucket, next, end) = (client.clone(), bucket.to_owned(), next.clone(), numbers.end);
        tasks.spawn(async move {
            let mut connection = Connection::open(at).await.unwrap();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                let put = request(&client, "PUT", &format!("/{bucket}/folder/{number:08}"), "x");
                assert_eq!(connection.ask(&put).await.unwrap().status, 200);
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}

/// Half of ten tries to list a page from the middle are quicker than this.
async fn page(client: &Client, bucket: &str, from: usize) -> Duration {
    let (path, after) = (format!("/{bucket}"), format!("folder/{from:08}"));
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let query = [("list-type", "2"), ("max-keys", "1000"), ("start-after", after.as_str())];
        let answer = client.call("GET", &path, &query, &[], "").await;
        assert_eq!((answer.status, answer.all("Key").len()), (200, 1_000));
        times.push(began.elapsed());
    }
    quantile(&mut times, 0.5)
}
