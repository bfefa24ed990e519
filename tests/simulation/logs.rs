//! What is logged in some of the runs, so that it can be searched for secrets.

use std::{
    io,
    sync::{Arc, Mutex},
};

/// One seed in so many.
const SHARE: u64 = 16;

/// The log of one run.
pub struct Logs(Option<Page>);

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub fn of(seed: u64) -> Self {
        Self((seed.is_multiple_of(SHARE) && std::env::var("LOG").is_err()).then(Page::default))
    }

    /// Does it and keeps what is logged meanwhile, if this run is one of those.
    pub fn kept<T>(&self, what: impl FnOnce() -> T) -> T {
        let Some(page) = self.0.clone() else { return what() };
        let filter = tracing_subscriber::EnvFilter::new("loopback_operator=debug");
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time();
        tracing::subscriber::with_default(lines.with_writer(move || page.clone()).finish(), what)
    }

    pub fn text(&self) -> String {
        let page = self.0.as_ref().map(|page| page.0.lock().unwrap().clone()).unwrap_or_default();
        String::from_utf8_lossy(&page).into_owned()
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
