//! TCP: a connection that opens is good.

use std::time::Duration;

use socket2::SockRef;

use super::{
    outcome::{Failure, Trace},
    prober::Prober,
};
use crate::backend::monitoring::settings::TcpSettings;

/// Opens a connection and closes it.
pub async fn probe(prober: &Prober, tcp: &TcpSettings, trace: &mut Trace) -> Result<(), Failure> {
    let stream = prober.connect(&tcp.host, tcp.port, trace).await?;
    // Closed by a reset: else each probe would leave a port in TIME_WAIT here, and many probes would use all of them up.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    Ok(())
}
