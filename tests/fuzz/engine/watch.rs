//! Ends the process when one input takes for ever: nothing else would.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

type Current = Mutex<Option<(Instant, Vec<u8>)>>;

/// Looks at what runs until it is dropped.
pub struct Watch(Arc<Current>);

impl Watch {
    pub fn new(name: &'static str, limit: Duration) -> Self {
        let current = Arc::new(Mutex::new(None));
        let seen = Arc::downgrade(&current);
        std::thread::spawn(move || look(name, limit, &seen));
        Self(current)
    }

    pub fn begin(&self, input: &[u8]) {
        *lock(&self.0) = Some((Instant::now(), input.to_vec()));
    }

    pub fn end(&self) {
        *lock(&self.0) = None;
    }
}

fn lock(current: &Current) -> MutexGuard<'_, Option<(Instant, Vec<u8>)>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(name: &str, limit: Duration, seen: &Weak<Current>) {
    while let Some(current) = seen.upgrade() {
        if let Some((begin, input)) = &*lock(&current)
            && begin.elapsed() > limit
        {
            eprintln!("{name}: hangs\n  {}", super::failed(name, input));
            std::process::exit(101);
        }
        drop(current);
        std::thread::sleep(Duration::from_millis(500));
    }
}
