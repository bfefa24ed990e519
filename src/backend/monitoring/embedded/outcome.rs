//! What a probe found.

use std::{io, time::Duration};

use strum::EnumCount;
use tokio::time::Instant;

use crate::rules::monitoring::{Measure, Parameter};

/// Why a probe did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One CamelCase word.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
    /// The cause is on our side: nothing can be said about the object.
    pub ours: bool,
}

impl Failure {
    /// The object did not answer as it should.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), ours: false }
    }

    /// The object could not be asked.
    pub fn ours(reason: &'static str, message: impl Into<String>) -> Self {
        Self { ours: true, ..Self::new(reason, message) }
    }

    /// What the system says of a socket.
    pub fn io(doing: &str, problem: &io::Error) -> Self {
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL (Linux and macOS): the machine that asks is at its limits
        let exhausted = matches!(problem.raw_os_error(), Some(12 | 23 | 24 | 49 | 55 | 99 | 105));
        let message = format!("{doing}: {problem}");
        match problem.kind() {
            _ if exhausted => Self::ours("Exhausted", message),
            io::ErrorKind::ConnectionRefused => {
                Self::new("ConnectionRefused", format!("{doing}: the connection was refused: nothing listens there"))
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::new("ConnectionReset", message)
            }
            io::ErrorKind::TimedOut => Self::new("Timeout", message),
            io::ErrorKind::UnexpectedEof => Self::new("ConnectionClosed", message),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::new("Unreachable", message),
            _ => Self::new("ConnectFailed", message),
        }
    }
}

/// What is noted while a probe runs.
#[derive(Clone, Debug)]
pub struct Trace {
    /// When it must have ended.
    pub deadline: Instant,
    /// What it does at the moment, for a message.
    pub doing: &'static str,
    /// The HTTP status of the last answer.
    pub status: Option<u16>,
    /// Measured so far.
    pub values: Values,
}

/// One value for each parameter that was measured.
pub type Values = [Option<Measure>; Parameter::COUNT];

impl Trace {
    /// Nothing yet.
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, doing: "starting", status: None, values: [None; Parameter::COUNT] }
    }

    /// Notes a value.
    pub fn set(&mut self, parameter: Parameter, measure: Measure) {
        if let Some(value) = self.values.get_mut(parameter as usize) {
            *value = Some(measure);
        }
    }

    /// Adds a time: a probe that follows redirects has several of each.
    pub fn add(&mut self, parameter: Parameter, time: Duration) {
        let before = self.values.get(parameter as usize).copied().flatten().unwrap_or_default();
        let sum = before.to_thousandths().saturating_add(Measure::duration(time).to_thousandths());
        self.set(parameter, Measure::thousandths(sum));
    }
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Measured values by parameter; all absent when the cause of a failure is on our side.
    pub values: Values,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Whether it succeeded.
    pub result: Result<(), Failure>,
}

impl Outcome {
    /// Puts together what was noted and how it ended.
    pub fn of(mut trace: Trace, took: Duration, result: Result<(), Failure>) -> Self {
        if result.as_ref().is_err_and(|failure| failure.ours) {
            return Self { values: [None; Parameter::COUNT], status: None, result };
        }
        trace.set(Parameter::ResponseUp, Measure::flag(result.is_ok()));
        // an answer that was not expected took its time as well
        if result.is_ok() || trace.values.get(Parameter::ResponseSize as usize).is_some_and(Option::is_some) {
            trace.set(Parameter::TimingTotal, Measure::duration(took));
        }
        if let Some(status) = trace.status {
            trace.set(Parameter::ResponseStatus, Measure::whole(status.into()));
        }
        Self { values: trace.values, status: trace.status, result }
    }

    /// What was measured of a parameter.
    #[must_use]
    pub fn value(&self, parameter: Parameter) -> Option<Measure> {
        self.values.get(parameter as usize).copied().flatten()
    }
}
