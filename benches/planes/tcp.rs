//! Balancing TCP connections over two targets.

use std::{io, net::SocketAddr, time::Instant};

use loopback_operator::protocol::{
    Intent,
    load_balancer::{LoadBalancer, member},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Ground,
    http1::{ANSWER, LAST_ANSWER, Responder},
    ours::Ours,
    peer::{Missing, Peer, Plan, file, free, missing},
    table::Table,
    turns::{Field, Seen, callers, in_turn},
};

/// Connections at a time.
const CLIENTS: usize = 32;
const PORT: u16 = 8080;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: planes\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: planes\r\nConnection: close\r\n\r\n";
/// nginx has it in a file of its own, where it is not compiled in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

pub async fn measure(ground: &Ground, table: &mut Table) {
    let targets = [Responder::start().await.at, Responder::start().await.at];
    let ours = Ours::start(&ground.folder("tcp")).await;
    let at = balancer(&ours, targets).await;
    let peers = vec![haproxy(ground, targets).await, nginx(ground, targets).await];
    let field = Field { ours: (at, ours.process.id()), peers };
    let case = format!("TCP, {CLIENTS} connections, many requests each");
    let load = async |at, end| callers(CLIENTS, |_| keeping(at, end)).await;
    table.add(in_turn(&case, ground.time, &field, load).await);
    let case = format!("TCP, {CLIENTS} clients, one connection a request");
    let load = async |at, end| callers(CLIENTS, |_| anew(at, end)).await;
    table.add(in_turn(&case, ground.time, &field, load).await);
}

async fn balancer(ours: &Ours, [a, b]: [SocketAddr; 2]) -> SocketAddr {
    let target = |at: SocketAddr| json!({"address": at.ip(), "port": at.port()});
    let intent = json!({"name": "planes", "services": {"web": {"port": PORT, "protocol": "TCP"}},
        "targets": {"a": target(a), "b": target(b)}});
    let made = ours.create(LoadBalancer::COLLECTION, intent).await;
    let listens = |state: &str| state == member::LISTENING;
    let made = ours
        .once(LoadBalancer::COLLECTION, &made.id, |object| {
            object.reality.members.get("web").is_some_and(|web| listens(&web.state))
        })
        .await;
    SocketAddr::new(made.typed::<LoadBalancer>().unwrap().reality.state.addresses[0].address, PORT)
}

async fn serves(at: SocketAddr) -> bool {
    once(at).await.is_ok()
}

async fn haproxy(ground: &Ground, [a, b]: [SocketAddr; 2]) -> Result<Peer, Missing> {
    let (folder, at) = (ground.folder("haproxy"), free());
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen planes\n  bind {at}\n  balance roundrobin\n  server a {a}\n  server b {b}\n"
    );
    let arguments = vec!["-db".into(), "-f".into(), file(&folder, "haproxy.cfg", &text)];
    let plan = Plan { name: "HAProxy, TCP", program: "haproxy", packages: "haproxy", arguments, at, folder };
    plan.start(serves).await
}

async fn nginx(ground: &Ground, [a, b]: [SocketAddr; 2]) -> Result<Peer, Missing> {
    let (name, packages) = ("nginx, stream", "nginx libnginx-mod-stream");
    if !std::path::Path::new(STREAM_MODULE).is_file() {
        return Err(missing(name, packages));
    }
    let (folder, at) = (ground.folder("nginx"), free());
    let path = folder.to_string_lossy().into_owned();
    // One process: a worker would outlive a master that is killed.
    let text = format!(
        "load_module {STREAM_MODULE};\ndaemon off;\nmaster_process off;\nworker_processes 1;\n\
         pid {path}/pid;\nerror_log {path}/log;\nevents {{ worker_connections 4096; }}\n\
         stream {{\n  upstream targets {{ server {a}; server {b}; }}\n\
         server {{ listen {at}; proxy_pass targets; }}\n}}\n"
    );
    let log = format!("{path}/log");
    let arguments = vec!["-e".into(), log, "-p".into(), path.clone(), "-c".into(), file(&folder, "nginx.conf", &text)];
    Plan { name, program: "nginx", packages, arguments, at, folder }.start(serves).await
}

/// One connection for all requests.
async fn keeping(at: SocketAddr, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        // One that broke is followed by another.
        if keep(at, end, &mut seen).await.is_err() {
            seen.errors += 1;
        }
    }
    seen
}

async fn keep(at: SocketAddr, end: Instant, seen: &mut Seen) -> io::Result<()> {
    let mut stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let mut answer = [0; ANSWER.len()];
    loop {
        let began = Instant::now();
        if began >= end {
            return Ok(());
        }
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut answer).await?;
        seen.answered(began);
    }
}

/// One connection for each request.
async fn anew(at: SocketAddr, end: Instant) -> Seen {
    let mut seen = Seen::default();
    loop {
        let began = Instant::now();
        if began >= end {
            return seen;
        }
        match once(at).await {
            Ok(mut stream) => {
                seen.answered(began);
                // The target ends the connection: our ports would be used up if it were us.
                seen.errors += u64::from(!matches!(stream.read(&mut [0]).await, Ok(0)));
            }
            Err(_) => seen.errors += 1,
        }
    }
}

async fn once(at: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(LAST_REQUEST).await?;
    let mut answer = [0; LAST_ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}
