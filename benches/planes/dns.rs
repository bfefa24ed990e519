//! Answering A questions over UDP: 1,000 records, and every tenth question is for a name that does not exist.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use loopback_operator::protocol::{
    Intent,
    client::Route,
    dns::{Record, Zone},
};
use serde_json::json;
use tokio::{net::UdpSocket, time::timeout_at};

use crate::{
    Ground,
    ours::Ours,
    peer::{Missing, Peer, Plan, file, free},
    rig::{DOMAIN, until},
    table::Table,
    turns::{Field, Seen, callers, in_turn},
};

const RECORDS: usize = 1_000;
const SOCKETS: usize = 8;
/// Questions that each socket has under way.
const UNDER_WAY: usize = 8;
/// After the end: what has not been answered by then is lost.
const LOST: Duration = Duration::from_secs(1);
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// A question as it is sent, but for its first two bytes, and the code of the right answer.
type Question = (Vec<u8>, u8);

pub async fn measure(ground: &Ground, table: &mut Table) {
    let questions = Arc::new(questions());
    let ours = ours(ground, &questions).await;
    let peers = vec![knot(ground).await, powerdns(ground).await];
    let field = Field { ours: (ours.dns, ours.process.id()), peers };
    let case = format!("DNS over UDP, {} questions under way", SOCKETS * UNDER_WAY);
    let load = async |at, end| callers(SOCKETS, |number| Asker::new(&questions, number, UNDER_WAY).run(at, end)).await;
    table.add(in_turn(&case, ground.time, &field, load).await);
}

fn name(number: usize) -> String {
    format!("r{number}.planes.{DOMAIN}")
}

fn address(number: usize) -> String {
    format!("192.0.{}.{}", number / 250, number % 250 + 1)
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for number in 0..RECORDS {
        all.push((question(&name(number)), NO_ERROR));
        if number % 9 == 8 {
            all.push((question(&format!("n{number}.planes.{DOMAIN}")), NO_SUCH_NAME));
        }
    }
    all
}

/// RFC 1035 section 4.1: one question for an A record, and nothing else.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

async fn ours(ground: &Ground, questions: &Arc<Vec<Question>>) -> Ours {
    let ours = Ours::start(&ground.folder("dns")).await;
    let patterns = json!([format!("*.planes.{DOMAIN}")]);
    let zone = ours.create(Zone::COLLECTION, json!({"name": "planes", "domain": DOMAIN, "patterns": patterns})).await;
    let record = |number| json!({"name": name(number), "type": "A", "ttl": "5m", "values": [address(number)]});
    ours.create_all(Route::of::<Record>(Some(&zone.id)), (0..RECORDS).map(record)).await;
    until("all records are served", async || {
        let end = Instant::now() + Duration::from_secs(1);
        let seen = Asker::new(questions, 0, UNDER_WAY).run(ours.dns, end).await;
        seen.errors == 0 && seen.answers > questions.len() as u64
    })
    .await;
    ours
}

async fn serves(at: SocketAddr) -> bool {
    let questions = Arc::new(vec![(question(&name(0)), NO_ERROR)]);
    let seen = Asker::new(&questions, 0, 1).run(at, Instant::now() + Duration::from_millis(10)).await;
    seen.answers > 0 && seen.errors == 0
}

fn zone_file() -> String {
    let records: String = (0..RECORDS).map(|number| format!("{}. A {}\n", name(number), address(number))).collect();
    format!(
        "$ORIGIN {DOMAIN}.\n$TTL 300\n@ SOA ns.localhost. hostmaster.{DOMAIN}. 1 3600 600 86400 60\n@ NS ns.localhost.\n{records}"
    )
}

async fn knot(ground: &Ground) -> Result<Peer, Missing> {
    let (folder, at) = (ground.folder("knot"), free());
    let path = folder.to_string_lossy().into_owned();
    file(&folder, "zone", &zone_file());
    let text = format!(
        "server:\n  rundir: \"{path}\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: \"{path}\"\n\
         zone:\n  - domain: {DOMAIN}\n    storage: \"{path}\"\n    file: zone\n",
        at.ip(),
        at.port()
    );
    let arguments = vec!["-c".into(), file(&folder, "knot.conf", &text)];
    let plan = Plan { name: "Knot", program: "knotd", packages: "knot", arguments, at, folder };
    plan.start(serves).await
}

async fn powerdns(ground: &Ground) -> Result<Peer, Missing> {
    let (folder, at) = (ground.folder("pdns"), free());
    let path = folder.to_string_lossy().into_owned();
    let zone = file(&folder, "zone", &zone_file());
    let zones = file(&folder, "named.conf", &format!("zone \"{DOMAIN}\" {{ type master; file \"{zone}\"; }};\n"));
    let text = format!(
        "launch=bind\nbind-config={zones}\nlocal-address={}\nlocal-port={}\nsocket-dir={path}\ndaemon=no\nguardian=no\n\
         receiver-threads=1\ndistributor-threads=1\nloglevel=3\nsecurity-poll-suffix=\n",
        at.ip(),
        at.port()
    );
    file(&folder, "pdns.conf", &text);
    let arguments = vec![format!("--config-dir={path}")];
    let packages = "pdns-server pdns-backend-bind";
    let plan = Plan { name: "PowerDNS, bind", program: "pdns_server", packages, arguments, at, folder };
    plan.start(serves).await
}

/// One socket with some questions under way: each answer is followed by the next question.
struct Asker {
    questions: Arc<Vec<Question>>,
    next: usize,
    /// When each was sent, and the code that its answer has; its place here is its id. `None`: no more are sent.
    under_way: Vec<Option<(Instant, u8)>>,
    seen: Seen,
}

impl Asker {
    /// Each number begins at a place of its own.
    fn new(questions: &Arc<Vec<Question>>, number: usize, under_way: usize) -> Self {
        let next = number * questions.len() / SOCKETS;
        Self { questions: questions.clone(), next, under_way: vec![None; under_way], seen: Seen::default() }
    }

    async fn run(mut self, at: SocketAddr, end: Instant) -> Seen {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(at).await.unwrap();
        let all = timeout_at((end + LOST).into(), self.ask(&socket, end)).await;
        if all.is_err() {
            self.seen.errors += self.under_way.iter().flatten().count() as u64;
        }
        self.seen
    }

    async fn ask(&mut self, socket: &UdpSocket, end: Instant) {
        let mut answer = [0; 1500];
        for id in 0..self.under_way.len() {
            self.send(socket, id).await;
        }
        while self.under_way.iter().any(Option::is_some) {
            match socket.recv(&mut answer).await {
                Ok(length) => {
                    let Some(id) = self.read(&answer[..length]) else { continue };
                    if Instant::now() < end {
                        self.send(socket, id).await;
                    }
                }
                // Nobody listens there yet.
                Err(_) => {
                    self.seen.errors += 1;
                    return;
                }
            }
        }
    }

    async fn send(&mut self, socket: &UdpSocket, id: usize) {
        self.next = (self.next + 1) % self.questions.len();
        let (question, code) = &self.questions[self.next];
        let mut message = [0; 128];
        message[..question.len()].copy_from_slice(question);
        message[1] = u8::try_from(id).unwrap();
        self.under_way[id] = Some((Instant::now(), *code));
        // What is refused is not answered, and counts as lost.
        let _ = socket.send(&message[..question.len()]).await;
    }

    /// Judges an answer; the id that is free again.
    fn read(&mut self, answer: &[u8]) -> Option<usize> {
        let id = usize::from(*answer.get(1)?);
        let (sent, code) = self.under_way.get_mut(id)?.take()?;
        let answers = u8::from(code == NO_ERROR);
        if answer.len() > 12 && answer[3] & 15 == code && answer[7] == answers {
            self.seen.answered(sent);
        } else {
            self.seen.errors += 1;
        }
        Some(id)
    }
}
