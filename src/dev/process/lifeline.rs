//! Ends a child where the kernel has no parent-death signal (macOS): a shell waits for its input to close, which happens
//! when we end, however we end, and kills the child.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// While it lives, nothing happens. When it is dropped, it goes without doing anything: the child is its owner's business.
#[derive(Debug)]
pub(super) struct Lifeline(Child);

impl Lifeline {
    /// Ties the process of this id to ours.
    pub(super) fn new(process: u32) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"cat >/dev/null; kill -9 "$1""#, "sh", &process.to_string()]);
        // `Child` keeps our end of the pipe open; a group of its own, or Ctrl-C would end it first.
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(shell.spawn()?))
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // The shell first, so that it does not see the pipe close. Both fail only if it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
