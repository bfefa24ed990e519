//! Logs: structured events on standard error.

use std::{fmt, io::stderr};

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Why logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter {filter:?} is not valid, write for instance `info` or `info,loopback_operator=debug`")]
    Filter {
        /// As it was given.
        filter: String,
        /// Where it is wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A process sets up logging once.
    #[error("logging is set up already")]
    AlreadySet(#[from] TryInitError),
    /// The subscriber that this handle belongs to is gone.
    #[error("the log filter cannot be changed any more")]
    Gone(#[from] reload::Error),
}

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Telemetry {
    /// Sets up logging for the whole process. `filter` has the syntax of `RUST_LOG`.
    ///
    /// # Errors
    /// A filter that does not parse, or logging that is set up already.
    pub fn start(format: LogFormat, filter: &str) -> Result<Self, TelemetryError> {
        let (filter, handle) = reload::Layer::new(parse(filter)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
        let lines = match format {
            LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&stderr())).boxed(),
            LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(JsonLines).boxed(),
        };
        let lines = lines.with_filter(filter_fn(|metadata| !silent(metadata.target())));
        tracing_subscriber::registry().with(filter).with(lines).try_init()?;
        Ok(Self { filter: handle })
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// A filter that does not parse; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), TelemetryError> {
        Ok(self.filter.reload(parse(filter)?)?)
    }
}

/// Whether a library's own lines are left out: it calls a client's mistake an error of ours, and writes whole requests with
/// their signatures. What it does we say ourselves.
fn silent(target: &str) -> bool {
    target == "s3s" || target.starts_with("s3s::")
}

/// One object a line: the fields of the event and of the spans around it, side by side. The format that tracing brings
/// has the names of spans in a field `name`, where the name of the Kubernetes object belongs.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.extend(read(&fields.fields));
            }
        }
        let (mut fields, mut time) = (String::new(), String::new());
        context.format_fields(Writer::new(&mut fields), event)?;
        line.extend(read(&fields));
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        line.insert("timestamp".into(), time.into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("target".into(), metadata.target().into());
        writeln!(out, "{}", Value::Object(line))
    }
}

/// What [`JsonFields`] wrote.
fn read(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_library_is_silent() {
        assert!(silent("s3s") && silent("s3s::ops"));
        assert!(!silent("loopback_operator::backend") && !silent("s3something"));
    }

    #[test]
    fn a_bad_filter_and_a_second_start_are_errors() {
        let bad = Telemetry::start(LogFormat::Human, "info,=,");
        assert!(matches!(bad, Err(TelemetryError::Filter { .. })), "{bad:?}");
        // Another test may have been first; then ours is the second start already.
        let first = Telemetry::start(LogFormat::Json, "warn");
        assert!(matches!(Telemetry::start(LogFormat::Json, "warn"), Err(TelemetryError::AlreadySet(_))));
        if let Ok(telemetry) = first {
            assert!(telemetry.set_filter("no=such=filter").is_err());
            telemetry.set_filter("error").unwrap();
        }
    }
}
