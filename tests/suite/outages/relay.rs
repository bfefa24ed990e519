//! A relay for TCP that can hold everything up, so that neither side hears of the other and neither is told so.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A relay.
pub struct Relay {
    port: u16,
    frozen: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Relay {
    /// To a port of 127.0.0.1.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, frozen) = watch::channel(false);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, SocketAddr::from(([127, 0, 0, 1], to)), frozen.clone()));
            }
        });
        Self { port, frozen: sender, serving }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds everything up from now on, or lets all of it go on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn carry(from: TcpStream, to: SocketAddr, frozen: watch::Receiver<bool>) {
    let Ok(to) = TcpStream::connect(to).await else { return };
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    tokio::join!(one_way(from_read, to_write, frozen.clone()), one_way(to_read, from_write, frozen));
}

async fn one_way(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        drop(frozen.wait_for(|frozen| !frozen).await);
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    drop(to.shutdown().await);
}
