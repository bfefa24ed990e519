//! One client's connection, from accept to end.

use std::{collections::BTreeSet, future::pending, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    connect::connect,
    plane::Shared,
    pool::{Lease, Pool, Target},
    relay::relay,
};

/// Why a connection is ended from our side: its listener is gone, its origin is no longer admitted, its target is gone.
struct NotWanted;

enum Ended {
    Finished,
    BrokenOff,
    NotWanted,
}

/// Serves one connection. Ends when both sides have said all, when either breaks off, or when it is not wanted any more.
pub async fn serve(mut client: TcpStream, peer: IpAddr, mut pools: watch::Receiver<Arc<Pool>>, shared: Arc<Shared>) {
    let pool = Arc::clone(&pools.borrow_and_update());
    let opened = select! {
        biased;
        NotWanted = not_wanted(peer, None, pools.clone(), Duration::ZERO) => None,
        opened = open(&pool, &shared) => opened,
    };
    drop(pool);
    let Some((lease, mut upstream)) = opened else { return reset(&client) };
    let drain = shared.limits.target_drain;
    let ended = select! {
        biased;
        relayed = relay(&mut client, &mut upstream, &shared.buffers) => match relayed {
            Ok(()) => Ended::Finished,
            Err(_) => Ended::BrokenOff,
        },
        NotWanted = not_wanted(peer, Some(lease.target()), pools, drain) => Ended::NotWanted,
    };
    match ended {
        Ended::Finished => {}
        Ended::BrokenOff => {
            reset(&client);
            reset(&upstream);
        }
        Ended::NotWanted => {
            // both learn of it by FIN; bytes that they still send are answered with a reset
            let _ = client.shutdown().await;
            let _ = upstream.shutdown().await;
        }
    }
}

/// Makes the end of a connection a reset: the peer learns that it was not served, or not to the end.
pub fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Opens a connection to a target, to the next best one when that fails. Each address is tried once.
async fn open(pool: &Pool, shared: &Shared) -> Option<(Lease, TcpStream)> {
    let until = Instant::now() + shared.limits.connect_total;
    let mut tried = BTreeSet::new();
    while let Some(lease) = pool.pick(&tried) {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let address = lease.target().address;
        match connect(address, shared.limits.connect_timeout.min(left), &shared.own).await {
            Ok(stream) => return Some((lease, stream)),
            Err(problem) => {
                tracing::debug!(%address, %problem, "cannot connect to a target");
                if let Some(failure) = problem.failure() {
                    lease.target().stumbled(failure);
                }
                tried.insert(address);
            }
        }
    }
    None
}

/// Returns when the connection is not wanted any more.
async fn not_wanted(
    peer: IpAddr,
    target: Option<&Target>,
    mut pools: watch::Receiver<Arc<Pool>>,
    drain: Duration,
) -> NotWanted {
    let mut deadline = None;
    loop {
        if !pools.borrow_and_update().origins().admits(peer) {
            return NotWanted;
        }
        if deadline.is_none() && target.is_some_and(Target::retired) {
            deadline = Some(Instant::now() + drain);
        }
        let expired = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        select! {
            biased;
            () = expired => return NotWanted,
            changed = pools.changed() => if changed.is_err() { return NotWanted },
        }
    }
}
